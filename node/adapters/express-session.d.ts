// biome-ignore-all lint/suspicious/noExplicitAny: errors are any in express-session, too
import { type SessionData, Store } from 'express-session';
import type { Cache } from '../index.js';
import type { AdapterOptions } from './shared.js';

export type SessionOptions = AdapterOptions & {
  /** What keys begin with: sess: */
  prefix?: string;
  /**
   * Seconds that a session lives whose cookie has no end of its own: a day. It is above 0; Infinity, and all above 100 years, is
   * for ever.
   */
  ttl?: number;
};

/**
 * A store for express-session. Each method tells the outcome by its callback, as express-session wants it: so a session that is
 * larger than `itemSizeMax` is a ValueTooLargeError of `set`, and is not kept.
 */
export class MemcacheStore extends Store {
  /**
   * Makes a store.
   *
   * @param options Options of a new cache, or `cache`, with `prefix` and `ttl`.
   * @throws {ConfigError} If the options cannot work: `ttl` must be a number above 0, `prefix` a string.
   * @example
   * ```js
   * app.use(session({ store: new MemcacheStore({ ttl: 3600 }), secret, resave: false, saveUninitialized: false }));
   * ```
   */
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
