import { EventEmitter } from 'node:events';
import type { Cache } from '../index.js';
import type { AdapterOptions } from './shared.js';

/**
 * A store for Keyv 5 or later.
 *
 * Keyv's serializer makes the values. Keys may have any length; the end of a key of more than 250
 * bytes is stored as a hash. Each Keyv needs a store of its own. Stores may share a cache.
 *
 * @example
 * ```js
 * const store = new KeyvMemcache({ memoryLimit: 64 << 20 });
 * const keyv = new Keyv({ store, namespace: 'users' });
 * await keyv.set('1', { name: 'Ada' }, 60_000);
 * await keyv.get('1'); // => { name: 'Ada' }
 * ```
 */
export class KeyvMemcache extends EventEmitter {
  /**
   * Creates a store.
   *
   * @param options - Options of a new cache, or `cache`.
   * @throws {ConfigError} if an option is invalid.
   * @throws {StartError} if the system refuses the memory or the thread of the cache.
   * @example
   * ```js
   * const keyv = new Keyv({ store: new KeyvMemcache({ name: 'users' }) });
   * ```
   */
  constructor(options?: AdapterOptions);

  /**
   * The cache that keeps the values.
   *
   * @example
   * ```js
   * new KeyvMemcache({ cache }).cache === cache; // => true
   * ```
   */
  readonly cache: Cache;

  /**
   * Options that Keyv reads.
   *
   * @example
   * ```js
   * typeof new KeyvMemcache().opts; // => 'object'
   * ```
   */
  opts: object;

  /**
   * The namespace, which Keyv 5 sets.
   *
   * @example
   * ```js
   * const store = new KeyvMemcache();
   * new Keyv({ store, namespace: 'users' });
   * store.namespace; // => 'users'
   * ```
   */
  namespace?: string | undefined;

  /**
   * Returns the value of a key.
   *
   * @param key - The key, of any length.
   * @returns A promise of what Keyv's serializer made. It is `undefined` if there is no value.
   * @throws {ClosedError} if the cache is closed. Errors reject the promise.
   * @example
   * ```js
   * const store = new KeyvMemcache();
   * await store.get('report'); // => undefined
   * ```
   */
  get<Value>(key: string): Promise<Value | undefined>;

  /**
   * Returns the values of several keys.
   *
   * @param keys - The keys, of any length.
   * @returns A promise of the values in the order of the keys, `undefined` for a missing one.
   * @throws {ClosedError} if the cache is closed. Errors reject the promise.
   * @example
   * ```js
   * const store = new KeyvMemcache();
   * await store.set('a', '1');
   * await store.getMany(['a', 'b']); // => ['1', undefined]
   * ```
   */
  getMany<Value>(keys: string[]): Promise<Array<Value | undefined>>;

  /**
   * Returns whether there is a value that has not expired, to the millisecond.
   *
   * @param key - The key, of any length.
   * @returns A promise of whether there is one.
   * @throws {ClosedError} if the cache is closed. Errors reject the promise.
   * @example
   * ```js
   * const store = new KeyvMemcache();
   * await store.has('report'); // => false
   * ```
   */
  has(key: string): Promise<boolean>;

  /**
   * Returns for several keys whether there is a value.
   *
   * @param keys - The keys, of any length.
   * @returns A promise of the answers in the order of the keys.
   * @throws {ClosedError} if the cache is closed. Errors reject the promise.
   * @example
   * ```js
   * const store = new KeyvMemcache();
   * await store.set('a', '1');
   * await store.hasMany(['a', 'b']); // => [true, false]
   * ```
   */
  hasMany(keys: string[]): Promise<boolean[]>;

  /**
   * Stores a value.
   *
   * @param key - The key, of any length.
   * @param value - What Keyv's serializer made: a string or bytes.
   * @param ttl - The TTL in milliseconds. As in Keyv, `undefined`, 0, NaN and Infinity mean no
   * expiry, and a negative number expires at once. More than 100 years mean no expiry, too. The
   * cache keeps the value up to two seconds longer; `has` and Keyv check the milliseconds.
   * @returns A promise of whether the value was stored. It is `false` if the value is larger than
   * `itemSizeMax`, or if the cache is full and evictions are off. The key has no value then.
   * @throws {TypeError} (`ERR_INVALID_ARG_TYPE`) if `ttl` is not a number, or `value` neither a
   * string nor bytes. Errors reject the promise.
   * @throws {ClosedError} if the cache is closed.
   * @example
   * ```js
   * const store = new KeyvMemcache();
   * await store.set('report', '{"year":1815}', 60_000); // => true
   * ```
   */
  set(key: string, value: unknown, ttl?: number): Promise<boolean>;

  /**
   * Stores several values, each as {@link KeyvMemcache.set} does.
   *
   * @param entries - Keys, values and TTLs.
   * @returns A promise of an array: for each value, whether it was stored.
   * @throws {TypeError} (`ERR_INVALID_ARG_TYPE`) if a `ttl` is not a number, or a `value` neither a
   * string nor bytes. Errors reject the promise.
   * @throws {ClosedError} if the cache is closed.
   * @example
   * ```js
   * const store = new KeyvMemcache();
   * await store.setMany([{ key: 'a', value: '1' }]); // => [true]
   * ```
   */
  // biome-ignore lint/suspicious/noExplicitAny: Keyv 5 wants void, and Keyv 6 an array
  setMany(entries: Array<{ key: string; value: unknown; ttl?: number }>): Promise<any>;

  /**
   * Removes a value.
   *
   * @param key - The key, of any length.
   * @returns A promise of whether there was a value.
   * @throws {ClosedError} if the cache is closed. Errors reject the promise.
   * @example
   * ```js
   * const store = new KeyvMemcache();
   * await store.delete('report'); // => false
   * ```
   */
  delete(key: string): Promise<boolean>;

  /**
   * Removes several values.
   *
   * @param keys - The keys, of any length.
   * @returns A promise of whether there was a value for any of them.
   * @throws {ClosedError} if the cache is closed. Errors reject the promise.
   * @example
   * ```js
   * const store = new KeyvMemcache();
   * await store.set('a', '1');
   * await store.deleteMany(['a', 'b']); // => true
   * ```
   */
  deleteMany(keys: string[]): Promise<boolean>;

  /**
   * Removes the values of the namespace. Without one, it removes all items of the cache.
   *
   * @returns A promise that is fulfilled afterwards.
   * @throws {ClosedError} if the cache is closed. Errors reject the promise.
   * @example
   * ```js
   * const store = new KeyvMemcache();
   * await store.clear();
   * ```
   */
  clear(): Promise<void>;

  /**
   * Iterates over keys and values.
   *
   * @param namespace - The namespace. The default is all items of the cache.
   * @returns An async iterator of pairs. The end of a key of more than 250 bytes is a hash.
   * @throws {ClosedError} if the cache is closed.
   * @example
   * ```js
   * const store = new KeyvMemcache();
   * await store.set('a', '1');
   * for await (const pair of store.iterator()) console.assert(pair.join('=') === 'a=1');
   * ```
   */
  iterator<Value>(namespace?: string): AsyncGenerator<Array<string | Awaited<Value> | undefined>, void>;

  /**
   * Closes the cache, unless it was passed as `cache`.
   *
   * @returns A promise that is fulfilled afterwards.
   * @example
   * ```js
   * const store = new KeyvMemcache();
   * await store.disconnect();
   * store.cache.closed; // => true
   * ```
   */
  disconnect(): Promise<void>;
}
