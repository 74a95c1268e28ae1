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
  /** Whether there is a value that is not over, to the millisecond. */
  has(key: string): Promise<boolean>;
  hasMany(keys: string[]): Promise<boolean[]>;
  /**
   * Stores a value, as Keyv asks it of a store.
   *
   * @param key The key, of any length.
   * @param value What Keyv's serializer has made: a string or bytes.
   * @param ttl Milliseconds that the value lives. As in Keyv, none, 0, NaN and Infinity are for ever, and a negative number is
   * over at once. More than 100 years is for ever, too. The cache keeps the value up to two seconds longer; `has` and Keyv look
   * at the milliseconds.
   * @returns A promise of whether the value is stored. It is false if the value is larger than `itemSizeMax`, or if the memory
   * is used up and evictions are off; the key has no value then.
   * @throws {TypeError} If `ttl` is no number, or the value is neither a string nor bytes. Errors reject the promise.
   * @throws {ClosedError} If the cache is closed.
   * @example
   * ```js
   * const keyv = new Keyv({ store: new KeyvMemcache() });
   * if (!(await keyv.set('report', report, 60_000))) console.warn('the report is not kept');
   * ```
   */
  set(key: string, value: unknown, ttl?: number): Promise<boolean>;
  /** Stores several values, each as `set` does, and gives for each whether it is stored. */
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
