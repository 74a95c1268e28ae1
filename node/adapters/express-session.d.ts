// biome-ignore-all lint/suspicious/noExplicitAny: errors are any in express-session, too
import { type SessionData, Store } from 'express-session';
import type { Cache } from '../index.js';
import type { AdapterOptions } from './shared.js';

export type SessionOptions = AdapterOptions & {
  /** What keys begin with: sess: */
  prefix?: string;
  /** Seconds that a session lives whose cookie has no end of its own: a day. */
  ttl?: number;
};

/** A store for express-session: `session({ store: new MemcacheStore(), … })`. */
export class MemcacheStore extends Store {
  constructor(options?: SessionOptions);
  readonly cache: Cache;
  get(sid: string, callback: (error: any, session?: SessionData | null) => void): void;
  set(sid: string, session: SessionData, callback?: (error?: any) => void): void;
  touch(sid: string, session: SessionData, callback?: (error?: any) => void): void;
  destroy(sid: string, callback?: (error?: any) => void): void;
  all(callback: (error: any, sessions?: { [sid: string]: SessionData } | null) => void): void;
  length(callback: (error: any, length?: number) => void): void;
  clear(callback?: (error?: any) => void): void;
  /** Closes the cache, unless it was given. */
  close(): void;
}
