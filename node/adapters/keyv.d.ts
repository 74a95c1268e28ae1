import { EventEmitter } from 'node:events';
import type { Cache } from '../index.js';
import type { AdapterOptions } from './shared.js';

/**
 * A store for Keyv, 5 or later: `new Keyv({ store: new KeyvMemcache() })`. Values are what Keyv's serializer makes, which are
 * strings.
 */
export class KeyvMemcache extends EventEmitter {
  constructor(options?: AdapterOptions);
  readonly cache: Cache;
  opts: object;
  /** Keyv 5 sets it. */
  namespace?: string | undefined;
  get<Value>(key: string): Promise<Value | undefined>;
  getMany<Value>(keys: string[]): Promise<Array<Value | undefined>>;
  has(key: string): Promise<boolean>;
  hasMany(keys: string[]): Promise<boolean[]>;
  /** `ttl` is milliseconds; the cache keeps the value so long at least, and up to two seconds longer. */
  set(key: string, value: unknown, ttl?: number): Promise<boolean>;
  // biome-ignore lint/suspicious/noExplicitAny: Keyv 5 wants void, but takes, as Keyv 6 does, whether each was stored
  setMany(entries: Array<{ key: string; value: unknown; ttl?: number }>): Promise<any>;
  delete(key: string): Promise<boolean>;
  /** Whether any was there. */
  deleteMany(keys: string[]): Promise<boolean>;
  /** Removes what is in the namespace, or without one everything in the cache. */
  clear(): Promise<void>;
  /** Of a key longer than 250 bytes it gives what is stored, whose end is a hash. */
  iterator<Value>(namespace?: string): AsyncGenerator<Array<string | Awaited<Value> | undefined>, void>;
  /** Closes the cache, unless it was given. */
  disconnect(): Promise<void>;
}
