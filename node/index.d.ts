/// <reference types="node" />

/**
 * The memcached version whose behaviour this package has.
 *
 * @example
 * ```js
 * MEMCACHED_VERSION; // => '1.6.45'
 * ```
 */
export const MEMCACHED_VERSION: string;

/**
 * The version of this package.
 *
 * @example
 * ```js
 * VERSION; // => '0.1.0'
 * ```
 */
export const VERSION: string;

/**
 * A key or a value: a string, which is stored as UTF-8, or bytes.
 *
 * A key has 1 to 250 bytes. Values come back as Buffers.
 *
 * @example
 * ```js
 * cache.set('name', 'Ada');
 * cache.getString(Buffer.from('name')); // => 'Ada'
 * ```
 */
export type BinaryLike = string | Uint8Array;

/**
 * How long an item lives: seconds from now, or a Date.
 *
 * Fractions of a second are rounded up. 0, or a Date in the past, expires at once. `undefined` and
 * `null` mean that the item does not expire. The longest TTL is 100 years.
 *
 * @example
 * ```js
 * cache.set('minute', 'value', 60);
 * cache.set('tomorrow', 'value', new Date(Date.now() + 86_400_000));
 * cache.set('no expiry', 'value');
 * ```
 */
export type Ttl = number | Date | null | undefined;

/**
 * Options of the calls that store a value.
 *
 * @example
 * ```js
 * cache.set('user:1', 'Ada', { ttl: 60, flags: 1 });
 * ```
 */
export interface StoreOptions {
  /** How long the item lives. */
  ttl?: Ttl;
  /** Client flags, 32 bits. Clients of a server see them. The default is 0. */
  flags?: number;
}

/**
 * Options of {@link Cache.incr} and {@link Cache.decr}.
 *
 * @example
 * ```js
 * cache.incr('visits', 1, { initial: 1, ttl: 3600 }); // => 1
 * ```
 */
export interface CountOptions {
  /** The count to store if there is no item. Without it, such a call returns `undefined`. */
  initial?: number | bigint;
  /** How long an item lives that is created with `initial`. */
  ttl?: Ttl;
  /** Whether the count is returned as a bigint. The default is `false`. */
  bigint?: boolean;
}

/**
 * Options of {@link Cache.getOrSet}.
 *
 * @example
 * ```js
 * const report = await cache.getOrSet('report', () => 'made', { ttl: 60, staleFor: 30 });
 * String(report); // => 'made'
 * ```
 */
export interface FlightOptions {
  /** How long the value is fresh. */
  ttl?: Ttl;
  /**
   * Seconds after `ttl` in which callers still get the old value.
   *
   * One caller makes the new value in that time.
   */
  staleFor?: number;
}

/**
 * Options of a new {@link Cache}.
 *
 * @example
 * ```js
 * const sessions = new Cache({ name: 'sessions', memoryLimit: 16 << 20 });
 * ```
 */
export interface CacheOptions {
  /**
   * The name under which all threads of this process share one cache. The first `new Cache` with a
   * name creates it. Without a name, the cache belongs to the object.
   */
  name?: string;
  /** Bytes for items and their index. The default is 64 MiB. */
  memoryLimit?: number;
  /**
   * Bytes that one item may take, 1,024 to 1 GiB. The default is 1 MiB.
   */
  itemSizeMax?: number;
  /**
   * Whether the cache evicts the least useful items to make room. The default is `true`. Otherwise
   * a store in a full cache throws an {@link OutOfMemoryError}.
   */
  evictions?: boolean;
  /**
   * Further settings by name, such as `{ lruCrawler: false }`. docs/settings.md of the repository
   * lists them, with `_` in their names.
   */
  settings?: Readonly<Record<string, boolean | number | string | readonly number[]>>;
}

/**
 * The metadata of an item.
 *
 * @example
 * ```js
 * cache.set('user:1', 'Ada', { ttl: 60, flags: 1 });
 * const { flags, length } = cache.info('user:1');
 * [flags, length]; // => [1, 3]
 * ```
 */
export interface ItemInfo {
  /** Client flags, 32 bits. */
  flags: number;
  /** A number that changes with each store, for {@link Cache.cas}. */
  cas: bigint;
  /** Seconds until the item expires, or `undefined` if it does not expire. */
  ttl: number | undefined;
  /** Seconds since the item was last used. */
  idle: number;
  /** Bytes of the value. */
  length: number;
  /** Whether the item was read before. */
  fetched: boolean;
  /** Whether the item was invalidated, and not stored again yet. */
  stale: boolean;
}

/**
 * A key that many requests are for. The numbers are estimates from samples of the last 2 to 4
 * seconds.
 *
 * @example
 * ```js
 * const watched = new Cache({ settings: { sampleRate: 1 } });
 * watched.set('user:1', 'Ada');
 * const [{ key, writes, share }] = watched.hotKeys(1);
 * [String(key), writes, share]; // => ['user:1', 1, 1]
 * ```
 */
export interface HotKey {
  /** The key. */
  key: Buffer;
  /** Gets, including those that missed. */
  reads: number;
  /** Other requests: stores, deletes, touches, increments. */
  writes: number;
  /** Requests that may be missing in both numbers, at most, beside the error of sampling. */
  error: number;
  /** The part of all requests that are for this key, from 0 to 1. */
  share: number;
}

/**
 * A value with its metadata.
 *
 * @example
 * ```js
 * cache.set('user:1', 'Ada');
 * const { value, fetched } = cache.getItem('user:1');
 * [String(value), fetched]; // => ['Ada', false]
 * ```
 */
export interface Item extends ItemInfo {
  /** The value. */
  value: Buffer;
}

/**
 * Statistics by memcached's names.
 *
 * Whole numbers are numbers; beyond 2^53 they are rounded. Other statistics are strings.
 *
 * @example
 * ```js
 * cache.stats().curr_items; // => 0
 * ```
 */
export type Stats = Record<string, number | string>;

/**
 * A metric family, in the form of prom-client.
 *
 * @example
 * ```js
 * cache.metricFamilies().every(({ name }) => name.startsWith('memcache')); // => true
 * ```
 */
export interface MetricFamily {
  /** The name, with `_total` if counters of this name have it. */
  name: string;
  /** One sentence about the values. */
  help: string;
  /** The type. */
  type: 'counter' | 'gauge' | 'histogram';
  /** The samples. Those of a histogram have a `metricName` with its end, such as `_bucket`. */
  values: { metricName?: string; labels: Record<string, string>; value: number }[];
}

/**
 * How far a save or a load is.
 *
 * @example
 * ```js
 * cache.set('user:1', 'Ada');
 * const seen = [];
 * await cache.saveToBuffer({ progress: ({ items, allItems }) => seen.push([items, allItems]) });
 * seen; // => [[1, 1]]
 * ```
 */
export interface Progress {
  /** Items so far. */
  items: number;
  /** Bytes of keys and values so far. */
  bytes: number;
  /** About how many items there are in all. 0 if that is not known. */
  allItems: number;
}

/**
 * Options of {@link Cache.save}, {@link Cache.saveToBuffer} and {@link Cache.load}.
 *
 * @example
 * ```js
 * const snapshot = await cache.saveToBuffer({ threads: 1, signal: AbortSignal.timeout(60_000) });
 * snapshot.length > 0; // => true
 * ```
 */
export interface SnapshotOptions {
  /** The number of threads, 1 to 256. */
  threads?: number;
  /**
   * Receives the progress, about once a MiB, and more often while `rate` delays a save.
   *
   * If it returns `false`, the operation ends with a {@link CancelledError}. If it throws, the
   * promise is rejected with that error.
   */
  progress?: (progress: Progress) => unknown;
  /** Ends the operation. The promise is then rejected with the reason of the signal. */
  signal?: AbortSignal;
}

/**
 * Options of {@link Cache.save} and {@link Cache.saveToBuffer}.
 *
 * @example
 * ```js
 * const snapshot = await cache.saveToBuffer({ codec: 'none', note: 'empty' });
 * (await cache.load(snapshot)).note; // => 'empty'
 * ```
 */
export interface SaveOptions extends SnapshotOptions {
  /** How items are stored: `'lz4'`, the default, or `'none'`, without compression. */
  codec?: 'lz4' | 'none';
  /** Most bytes to write in a second. */
  rate?: number;
  /** A text of at most 4,096 bytes that {@link Cache.load} returns. */
  note?: string;
}

/**
 * Options of {@link Cache.load}.
 *
 * @example
 * ```js
 * const snapshot = await cache.saveToBuffer();
 * (await cache.load(snapshot, { ttl: 'paused', strict: true })).items; // => 0
 * ```
 */
export interface LoadOptions extends SnapshotOptions {
  /**
   * Whether items replace those that are in the cache. The default is `false`: those stay, because
   * they are newer.
   */
  replace?: boolean;
  /**
   * How TTLs go on. With `'wall'`, the default, items expire at the time at which they were to
   * expire. With `'paused'`, the time between the save and the load does not count.
   */
  ttl?: 'wall' | 'paused';
  /** Whether damage is an error. The default is `false`. */
  strict?: boolean;
}

/**
 * The result of {@link Cache.save}.
 *
 * @example
 * ```js
 * cache.set('user:1', 'Ada');
 * const { items, bytes } = await cache.save(join(tmpdir(), 'saved.mcrs'));
 * [items, bytes]; // => [1, 9]
 * ```
 */
export interface Saved {
  /** Items. */
  items: number;
  /** Bytes of keys and values. */
  bytes: number;
  /** Bytes of the file. */
  fileBytes: number;
  /** Items that were left out because there was no memory to copy them. */
  skipped: number;
  /** Seconds that it took. */
  seconds: number;
}

/**
 * The result of {@link Cache.load}.
 *
 * @example
 * ```js
 * cache.set('user:1', 'Ada');
 * const { items, existing } = await cache.load(await cache.saveToBuffer());
 * [items, existing]; // => [0, 1]
 * ```
 */
export interface Loaded {
  /** Items that were stored. Some may have been evicted again, if memory is full. */
  items: number;
  /** Bytes of the keys and values of those items. */
  bytes: number;
  /** Items that were left out because they have expired. */
  expired: number;
  /** Items that were left out because the cache had their keys. */
  existing: number;
  /** Items that were left out because they are larger than `itemSizeMax`. */
  tooLarge: number;
  /** Items that were left out because memory is full. */
  noMemory: number;
  /** Items that are known to be lost by damage. */
  damaged: number;
  /** The first ten places of damage, in the order of the file. */
  damage: Damage[];
  /** Whether the end of the snapshot is missing. */
  truncated: boolean;
  /** Seconds that it took. */
  seconds: number;
  /** The time of the save, by the clock of the saved cache. */
  savedAt: Date;
  /** The note that was saved. */
  note: string;
  /** Name and version of the program that saved it. */
  program: string;
}

/**
 * A place of damage in a snapshot.
 *
 * @example
 * ```js
 * const snapshot = await cache.saveToBuffer();
 * const { damage } = await cache.load(snapshot.subarray(0, -1));
 * damage[0].kind; // => 'truncated'
 * ```
 */
export interface Damage {
  /** The offset in the file. */
  offset: number;
  /**
   * The kind of the damage.
   *
   * `'data'` is a block that differs from its checksum, and `'lost'` are bytes in place of a block.
   * `'codec'` is a block that this version cannot unpack, and `'no_memory'` one that did not fit in
   * memory. `'truncated'` is a missing end.
   */
  kind: 'data' | 'lost' | 'codec' | 'no_memory' | 'truncated' | 'other';
  /** Items that are known to be lost. */
  items: number;
  /** Bytes in place of a block. */
  bytes: number;
}

/**
 * An in-process cache with memcached's semantics.
 *
 * Keys and values are strings or bytes, and values come back as Buffers. A call that finds no item
 * returns `undefined`. All calls are synchronous except {@link Cache.getOrSet} and those for
 * snapshots: {@link Cache.save}, {@link Cache.saveToBuffer} and {@link Cache.load}.
 *
 * A cache that a {@link Server} created settles first: each call sees the commands that clients
 * have sent before it. The call then blocks the event loop until the server has carried them out.
 * That takes microseconds for an idle server, and at most a second for a busy one. A cache that was
 * passed to the server as `cache` does not settle.
 *
 * @example
 * ```js
 * const cache = new Cache({ memoryLimit: 64 << 20 });
 * cache.set('user:1', 'Ada', 60);
 * cache.getString('user:1'); // => 'Ada'
 * cache.close();
 * ```
 */
export class Cache implements Iterable<[Buffer, Buffer]> {
  /**
   * Creates a cache, or opens the cache of a name.
   *
   * @param options - Name, size and eviction. Options of an open cache must match it.
   * @throws {ConfigError} if an option is invalid, or differs from the open cache.
   * @throws {StartError} if the system refuses the memory or the thread of the cache.
   * @example
   * ```js
   * const cache = new Cache({ name: 'pages' });
   * cache.name; // => 'pages'
   * ```
   */
  constructor(options?: CacheOptions);

  /**
   * Returns the value of a key.
   *
   * @param key - The key.
   * @returns The value, or `undefined` if there is no item. The Buffer never changes. Buffers of
   * small values share memory and cannot be transferred to another thread.
   * @throws {InvalidKeyError} if the key does not have 1 to 250 bytes.
   * @throws {TypeError} (`ERR_INVALID_ARG_TYPE`) if the key is neither a string nor bytes.
   * @throws {ClosedError} if the cache is closed.
   * @example
   * ```js
   * cache.set('user:1', 'Ada');
   * cache.get('user:1'); // => Buffer.from('Ada')
   * cache.get('user:2'); // => undefined
   * ```
   */
  get(key: BinaryLike): Buffer | undefined;

  /**
   * Returns the value of a key as a string.
   *
   * @param key - The key.
   * @returns The value decoded as UTF-8, or `undefined` if there is no item. Invalid bytes become
   * U+FFFD.
   * @throws {InvalidKeyError} if the key does not have 1 to 250 bytes.
   * @throws {ValueTooLargeError} if the value is longer than a string can be.
   * @throws {TypeError} (`ERR_INVALID_ARG_TYPE`) if the key is neither a string nor bytes.
   * @throws {ClosedError} if the cache is closed.
   * @example
   * ```js
   * cache.set('user:1', 'Ada');
   * cache.getString('user:1'); // => 'Ada'
   * ```
   */
  getString(key: BinaryLike): string | undefined;

  /**
   * Copies the value of a key into a buffer.
   *
   * This is the fastest way to read. If another thread removes the item during the call, `buffer`
   * may be modified although the call returns -1.
   *
   * @param key - The key.
   * @param buffer - The buffer to write to. If the value is longer, its first bytes are copied.
   * @returns The length of the value, or -1 if there is no item.
   * @throws {InvalidKeyError} if the key does not have 1 to 250 bytes.
   * @throws {TypeError} (`ERR_INVALID_ARG_TYPE`) if an argument has the wrong type.
   * @throws {ClosedError} if the cache is closed.
   * @example
   * ```js
   * const buffer = Buffer.alloc(1024);
   * cache.set('user:1', 'Ada');
   * const length = cache.getInto('user:1', buffer);
   * buffer.toString('utf8', 0, length); // => 'Ada'
   * ```
   */
  getInto(key: BinaryLike, buffer: Uint8Array): number;

  /**
   * Returns the value of a key with its CAS number.
   *
   * @param key - The key.
   * @returns The value, and the number for {@link Cache.cas}, or `undefined` if there is no item.
   * @throws {InvalidKeyError} if the key does not have 1 to 250 bytes.
   * @throws {TypeError} (`ERR_INVALID_ARG_TYPE`) if the key is neither a string nor bytes.
   * @throws {ClosedError} if the cache is closed.
   * @example
   * ```js
   * cache.set('user:1', 'Ada');
   * const { value, cas } = cache.gets('user:1');
   * cache.cas('user:1', `${value} L.`, cas); // => true
   * ```
   */
  gets(key: BinaryLike): { value: Buffer; cas: bigint } | undefined;

  /**
   * Returns the value of a key with its metadata.
   *
   * @param key - The key.
   * @returns The item as it was before this call, or `undefined` if there is none.
   * @throws {InvalidKeyError} if the key does not have 1 to 250 bytes.
   * @throws {TypeError} (`ERR_INVALID_ARG_TYPE`) if the key is neither a string nor bytes.
   * @throws {ClosedError} if the cache is closed.
   * @example
   * ```js
   * cache.set('user:1', 'Ada', { flags: 1 });
   * const { value, flags } = cache.getItem('user:1');
   * [String(value), flags]; // => ['Ada', 1]
   * ```
   */
  getItem(key: BinaryLike): Item | undefined;

  /**
   * Returns the metadata of a key without its value.
   *
   * The call does not count as a use of the item.
   *
   * @param key - The key.
   * @returns The metadata, or `undefined` if there is no item.
   * @throws {InvalidKeyError} if the key does not have 1 to 250 bytes.
   * @throws {TypeError} (`ERR_INVALID_ARG_TYPE`) if the key is neither a string nor bytes.
   * @throws {ClosedError} if the cache is closed.
   * @example
   * ```js
   * cache.set('user:1', 'Ada', 60);
   * cache.info('user:1').length; // => 3
   * ```
   */
  info(key: BinaryLike): ItemInfo | undefined;

  /**
   * Returns the value of a key, and gives the item a new TTL.
   *
   * @param key - The key.
   * @param ttl - The new TTL.
   * @returns The value, or `undefined` if there is no item.
   * @throws {InvalidKeyError} if the key does not have 1 to 250 bytes.
   * @throws {InvalidTTLError} if `ttl` is negative, over 100 years, or not a time.
   * @throws {TypeError} (`ERR_INVALID_ARG_TYPE`) if the key is neither a string nor bytes.
   * @throws {ClosedError} if the cache is closed.
   * @example
   * ```js
   * cache.set('session', 'Ada', 60);
   * cache.getAndTouch('session', 3600); // => Buffer.from('Ada')
   * ```
   */
  getAndTouch(key: BinaryLike, ttl?: Ttl): Buffer | undefined;

  /**
   * Returns the values of several keys.
   *
   * @param keys - The keys.
   * @returns A map of the values by the given keys. Missing items are left out. The values share
   * memory and cannot be transferred to another thread.
   * @throws {InvalidKeyError} if a key does not have 1 to 250 bytes.
   * @throws {TypeError} (`ERR_INVALID_ARG_TYPE`) if a key is neither a string nor bytes.
   * @throws {ClosedError} if the cache is closed.
   * @example
   * ```js
   * cache.set('a', '1');
   * cache.getMany(['a', 'b']); // => new Map([['a', Buffer.from('1')]])
   * ```
   */
  getMany<K extends BinaryLike>(keys: Iterable<K>): Map<K, Buffer>;

  /**
   * Returns whether there is an item.
   *
   * The call does not count as a use of the item.
   *
   * @param key - The key.
   * @returns Whether there is an item.
   * @throws {InvalidKeyError} if the key does not have 1 to 250 bytes.
   * @throws {TypeError} (`ERR_INVALID_ARG_TYPE`) if the key is neither a string nor bytes.
   * @throws {ClosedError} if the cache is closed.
   * @example
   * ```js
   * cache.has('user:1'); // => false
   * ```
   */
  has(key: BinaryLike): boolean;

  /**
   * Stores a value.
   *
   * @param key - The key.
   * @param value - The value.
   * @param options - The TTL, or an object with `ttl` and `flags`.
   * @throws {InvalidKeyError} if the key does not have 1 to 250 bytes.
   * @throws {InvalidTTLError} if `ttl` is negative, over 100 years, or not a time.
   * @throws {ValueTooLargeError} if the item would be larger than `itemSizeMax`.
   * @throws {OutOfMemoryError} if the cache is full and evictions are off.
   * @throws {TypeError} (`ERR_INVALID_ARG_TYPE`) if an argument has the wrong type, or an
   * option does not exist.
   * @throws {RangeError} (`ERR_OUT_OF_RANGE`) if `flags` is not an integer of 32 bits.
   * @throws {ClosedError} if the cache is closed.
   * @example
   * ```js
   * cache.set('user:1', 'Ada', 60);
   * cache.set('user:2', Buffer.from('Grace'), { ttl: 60, flags: 1 });
   * ```
   */
  set(key: BinaryLike, value: BinaryLike, options?: Ttl | StoreOptions): void;

  /**
   * Stores several values.
   *
   * An error leaves the values before it stored.
   *
   * @param values - Pairs of keys and values, or an object of values by key.
   * @param options - The TTL, or an object with `ttl` and `flags`, for all of them.
   * @throws {InvalidKeyError} if a key does not have 1 to 250 bytes.
   * @throws {InvalidTTLError} if `ttl` is negative, over 100 years, or not a time.
   * @throws {ValueTooLargeError} if an item would be larger than `itemSizeMax`.
   * @throws {OutOfMemoryError} if the cache is full and evictions are off.
   * @throws {TypeError} (`ERR_INVALID_ARG_TYPE`) if an argument has the wrong type, or an
   * option does not exist.
   * @throws {RangeError} (`ERR_OUT_OF_RANGE`) if `flags` is not an integer of 32 bits.
   * @throws {ClosedError} if the cache is closed.
   * @example
   * ```js
   * cache.setMany({ a: '1', b: '2' }, 60);
   * cache.setMany(new Map([['c', '3']]));
   * cache.size; // => 3
   * ```
   */
  setMany(
    values: Iterable<readonly [BinaryLike, BinaryLike]> | Readonly<Record<string, BinaryLike>>,
    options?: Ttl | StoreOptions,
  ): void;

  /**
   * Stores a value if there is no item.
   *
   * @param key - The key.
   * @param value - The value.
   * @param options - The TTL, or an object with `ttl` and `flags`.
   * @returns Whether the value was stored.
   * @throws {InvalidKeyError} if the key does not have 1 to 250 bytes.
   * @throws {InvalidTTLError} if `ttl` is negative, over 100 years, or not a time.
   * @throws {ValueTooLargeError} if the item would be larger than `itemSizeMax`.
   * @throws {OutOfMemoryError} if the cache is full and evictions are off.
   * @throws {TypeError} (`ERR_INVALID_ARG_TYPE`) if an argument has the wrong type, or an
   * option does not exist.
   * @throws {RangeError} (`ERR_OUT_OF_RANGE`) if `flags` is not an integer of 32 bits.
   * @throws {ClosedError} if the cache is closed.
   * @example
   * ```js
   * cache.add('lock', 'mine', 30); // => true
   * cache.add('lock', 'yours', 30); // => false
   * ```
   */
  add(key: BinaryLike, value: BinaryLike, options?: Ttl | StoreOptions): boolean;

  /**
   * Stores a value if there is an item.
   *
   * @param key - The key.
   * @param value - The value.
   * @param options - The TTL, or an object with `ttl` and `flags`.
   * @returns Whether the value was stored.
   * @throws {InvalidKeyError} if the key does not have 1 to 250 bytes.
   * @throws {InvalidTTLError} if `ttl` is negative, over 100 years, or not a time.
   * @throws {ValueTooLargeError} if the item would be larger than `itemSizeMax`.
   * @throws {OutOfMemoryError} if the cache is full and evictions are off.
   * @throws {TypeError} (`ERR_INVALID_ARG_TYPE`) if an argument has the wrong type, or an
   * option does not exist.
   * @throws {RangeError} (`ERR_OUT_OF_RANGE`) if `flags` is not an integer of 32 bits.
   * @throws {ClosedError} if the cache is closed.
   * @example
   * ```js
   * cache.replace('user:1', 'Ada'); // => false
   * ```
   */
  replace(key: BinaryLike, value: BinaryLike, options?: Ttl | StoreOptions): boolean;

  /**
   * Appends bytes to the value of a key.
   *
   * TTL and flags of the item stay.
   *
   * @param key - The key.
   * @param value - The bytes to append.
   * @returns Whether they were appended. `false` if there is no item, or if it would be larger than
   * `itemSizeMax`.
   * @throws {InvalidKeyError} if the key does not have 1 to 250 bytes.
   * @throws {ValueTooLargeError} if `value` alone is larger than `itemSizeMax`.
   * @throws {OutOfMemoryError} if the cache is full and evictions are off.
   * @throws {TypeError} (`ERR_INVALID_ARG_TYPE`) if an argument is neither a string nor
   * bytes.
   * @throws {ClosedError} if the cache is closed.
   * @example
   * ```js
   * cache.set('log', 'one');
   * cache.append('log', ',two'); // => true
   * cache.getString('log'); // => 'one,two'
   * ```
   */
  append(key: BinaryLike, value: BinaryLike): boolean;

  /**
   * Prepends bytes to the value of a key.
   *
   * TTL and flags of the item stay.
   *
   * @param key - The key.
   * @param value - The bytes to prepend.
   * @returns Whether they were prepended. `false` if there is no item, or if it would be larger
   * than `itemSizeMax`.
   * @throws {InvalidKeyError} if the key does not have 1 to 250 bytes.
   * @throws {ValueTooLargeError} if `value` alone is larger than `itemSizeMax`.
   * @throws {OutOfMemoryError} if the cache is full and evictions are off.
   * @throws {TypeError} (`ERR_INVALID_ARG_TYPE`) if an argument is neither a string nor
   * bytes.
   * @throws {ClosedError} if the cache is closed.
   * @example
   * ```js
   * cache.set('log', 'two');
   * cache.prepend('log', 'one,'); // => true
   * cache.getString('log'); // => 'one,two'
   * ```
   */
  prepend(key: BinaryLike, value: BinaryLike): boolean;

  /**
   * Stores a value if the item has not changed since {@link Cache.gets}.
   *
   * @param key - The key.
   * @param value - The value.
   * @param cas - The CAS number that `gets` returned.
   * @param options - The TTL, or an object with `ttl` and `flags`.
   * @returns Whether the value was stored, or `undefined` if there is no item.
   * @throws {InvalidKeyError} if the key does not have 1 to 250 bytes.
   * @throws {InvalidTTLError} if `ttl` is negative, over 100 years, or not a time.
   * @throws {ValueTooLargeError} if the item would be larger than `itemSizeMax`.
   * @throws {OutOfMemoryError} if the cache is full and evictions are off.
   * @throws {TypeError} (`ERR_INVALID_ARG_TYPE`) if an argument has the wrong type, or an
   * option does not exist.
   * @throws {RangeError} (`ERR_OUT_OF_RANGE`) if `cas` is 0 or has more than 64 bits, or
   * `flags` is not an integer of 32 bits.
   * @throws {ClosedError} if the cache is closed.
   * @example
   * ```js
   * cache.set('stock', '5');
   * const { value, cas } = cache.gets('stock');
   * cache.cas('stock', String(Number(value) - 1), cas); // => true
   * cache.cas('stock', '0', cas); // => false
   * ```
   */
  cas(key: BinaryLike, value: BinaryLike, cas: bigint, options?: Ttl | StoreOptions): boolean | undefined;

  /**
   * Adds to a count.
   *
   * The count is stored as a decimal number and wraps at 2^64.
   *
   * @param key - The key.
   * @param delta - The number to add, from 0 to 2^64 - 1. The default is 1.
   * @param options - `initial`, `ttl` and `bigint`.
   * @returns The new count, or `undefined` if there is no item and no `initial`.
   * @throws {InvalidKeyError} if the key does not have 1 to 250 bytes.
   * @throws {InvalidTTLError} if `ttl` is negative, over 100 years, or not a time.
   * @throws {NotANumberError} if the stored value is not a decimal number of 64 bits.
   * @throws {OutOfMemoryError} if the cache is full and evictions are off.
   * @throws {TypeError} (`ERR_INVALID_ARG_TYPE`) if an argument has the wrong type, or an
   * option does not exist.
   * @throws {RangeError} (`ERR_OUT_OF_RANGE`) if `delta` or `initial` is out of range. Also
   * if the new count is above 2^53 - 1 and `bigint` is not set; that count is stored.
   * @throws {ClosedError} if the cache is closed.
   * @example
   * ```js
   * cache.incr('visits'); // => undefined
   * cache.incr('visits', 1, { initial: 1 }); // => 1
   * cache.incr('visits'); // => 2
   * cache.incr('visits', 2n ** 60n, { bigint: true }); // => 2n ** 60n + 2n
   * ```
   */
  incr(
    key: BinaryLike,
    delta: number | bigint | undefined,
    options: CountOptions & { initial: number | bigint; bigint: true },
  ): bigint;
  incr(key: BinaryLike, delta: number | bigint | undefined, options: CountOptions & { bigint: true }): bigint | undefined;
  incr(
    key: BinaryLike,
    delta: number | bigint | undefined,
    options: CountOptions & { initial: number | bigint; bigint?: false },
  ): number;
  incr(key: BinaryLike, delta?: number | bigint, options?: CountOptions & { bigint?: false }): number | undefined;

  /**
   * Subtracts from a count.
   *
   * The count is stored as a decimal number and stops at 0.
   *
   * @param key - The key.
   * @param delta - The number to subtract, from 0 to 2^64 - 1. The default is 1.
   * @param options - `initial`, `ttl` and `bigint`.
   * @returns The new count, or `undefined` if there is no item and no `initial`.
   * @throws {InvalidKeyError} if the key does not have 1 to 250 bytes.
   * @throws {InvalidTTLError} if `ttl` is negative, over 100 years, or not a time.
   * @throws {NotANumberError} if the stored value is not a decimal number of 64 bits.
   * @throws {OutOfMemoryError} if the cache is full and evictions are off.
   * @throws {TypeError} (`ERR_INVALID_ARG_TYPE`) if an argument has the wrong type, or an
   * option does not exist.
   * @throws {RangeError} (`ERR_OUT_OF_RANGE`) if `delta` or `initial` is out of range. Also
   * if the new count is above 2^53 - 1 and `bigint` is not set; that count is stored.
   * @throws {ClosedError} if the cache is closed.
   * @example
   * ```js
   * cache.decr('seats', 1, { initial: 10 }); // => 10
   * cache.decr('seats', 3); // => 7
   * cache.decr('seats', 100); // => 0
   * ```
   */
  decr(
    key: BinaryLike,
    delta: number | bigint | undefined,
    options: CountOptions & { initial: number | bigint; bigint: true },
  ): bigint;
  decr(key: BinaryLike, delta: number | bigint | undefined, options: CountOptions & { bigint: true }): bigint | undefined;
  decr(
    key: BinaryLike,
    delta: number | bigint | undefined,
    options: CountOptions & { initial: number | bigint; bigint?: false },
  ): number;
  decr(key: BinaryLike, delta?: number | bigint, options?: CountOptions & { bigint?: false }): number | undefined;

  /**
   * Gives an item a new TTL.
   *
   * @param key - The key.
   * @param ttl - The new TTL.
   * @returns Whether there is an item.
   * @throws {InvalidKeyError} if the key does not have 1 to 250 bytes.
   * @throws {InvalidTTLError} if `ttl` is negative, over 100 years, or not a time.
   * @throws {TypeError} (`ERR_INVALID_ARG_TYPE`) if the key is neither a string nor bytes.
   * @throws {ClosedError} if the cache is closed.
   * @example
   * ```js
   * cache.set('session', 'Ada', 60);
   * cache.touch('session', 3600); // => true
   * ```
   */
  touch(key: BinaryLike, ttl?: Ttl): boolean;

  /**
   * Removes an item.
   *
   * @param key - The key.
   * @returns Whether there was an item.
   * @throws {InvalidKeyError} if the key does not have 1 to 250 bytes.
   * @throws {TypeError} (`ERR_INVALID_ARG_TYPE`) if the key is neither a string nor bytes.
   * @throws {ClosedError} if the cache is closed.
   * @example
   * ```js
   * cache.set('user:1', 'Ada');
   * cache.delete('user:1'); // => true
   * cache.delete('user:1'); // => false
   * ```
   */
  delete(key: BinaryLike): boolean;

  /**
   * Removes several items.
   *
   * @param keys - The keys.
   * @returns The number of items that were removed.
   * @throws {InvalidKeyError} if a key does not have 1 to 250 bytes.
   * @throws {TypeError} (`ERR_INVALID_ARG_TYPE`) if a key is neither a string nor bytes.
   * @throws {ClosedError} if the cache is closed.
   * @example
   * ```js
   * cache.setMany({ a: '1', b: '2' });
   * cache.deleteMany(['a', 'b', 'c']); // => 2
   * ```
   */
  deleteMany(keys: Iterable<BinaryLike>): number;

  /**
   * Marks an item as stale, so that {@link Cache.getOrSet} makes it anew.
   *
   * The old value stays readable until then. One caller of `getOrSet` makes the new one.
   *
   * @param key - The key.
   * @param ttl - The new TTL of the old value. Without it, the TTL stays.
   * @returns Whether there is an item.
   * @throws {InvalidKeyError} if the key does not have 1 to 250 bytes.
   * @throws {InvalidTTLError} if `ttl` is negative, over 100 years, or not a time.
   * @throws {TypeError} (`ERR_INVALID_ARG_TYPE`) if the key is neither a string nor bytes.
   * @throws {ClosedError} if the cache is closed.
   * @example
   * ```js
   * cache.set('page', 'old');
   * cache.invalidate('page', 30); // => true
   * String(await cache.getOrSet('page', () => 'new')); // => 'new'
   * ```
   */
  invalidate(key: BinaryLike, ttl?: Ttl): boolean;

  /**
   * Removes all items.
   *
   * @throws {ClosedError} if the cache is closed.
   * @example
   * ```js
   * cache.set('user:1', 'Ada');
   * cache.flush();
   * cache.size; // => 0
   * ```
   */
  flush(): void;

  /**
   * Removes all items whose keys begin with a prefix, in constant time. Later gets find none of the
   * items, and their memory is freed in the background.
   *
   * @param prefix - The prefix, 1 to 250 bytes.
   * @throws {InvalidKeyError} if the prefix does not have 1 to 250 bytes.
   * @throws {TypeError} (`ERR_INVALID_ARG_TYPE`) if the prefix is neither a string nor binary.
   * @throws {ClosedError} if the cache is closed.
   * @example
   * ```js
   * cache.set('site1:page', 'old');
   * cache.set('site2:page', 'other');
   * cache.flushPrefix('site1:');
   * cache.has('site1:page'); // => false
   * cache.has('site2:page'); // => true
   * ```
   */
  flushPrefix(prefix: BinaryLike): void;

  /**
   * Removes all items, as {@link Cache.flush} does. This is the name that a Map has.
   *
   * @throws {ClosedError} if the cache is closed.
   * @example
   * ```js
   * cache.set('user:1', 'Ada');
   * cache.set('post:1', 'Hello');
   * cache.namespace('user:').clear();
   * cache.has('user:1'); // => false
   * cache.has('post:1'); // => true
   * ```
   */
  clear(): void;

  /**
   * Returns a handle of the items whose keys begin with a prefix, without that prefix.
   *
   * It has all methods of a cache. Keys, iteration, `size` and `clear` are those of the namespace.
   * `clear` takes constant time; `size` and iteration examine all keys of the cache. Statistics,
   * the clock, snapshots and `close` are those of the whole cache, and a server that gets the
   * handle serves the whole cache.
   *
   * A key and the prefix have 1 to 250 bytes together. A namespace of a namespace has both
   * prefixes.
   *
   * @param prefix - The prefix, such as `'users:'`.
   * @returns The handle.
   * @throws {InvalidKeyError} if the prefix does not have 1 to 250 bytes.
   * @throws {TypeError} (`ERR_INVALID_ARG_TYPE`) if the prefix is neither a string nor binary.
   * @throws {ClosedError} if the cache is closed.
   * @example
   * ```js
   * const users = cache.namespace('users:');
   * users.set('1', 'Ada');
   * cache.getString('users:1'); // => 'Ada'
   * users.clear();
   * cache.has('users:1'); // => false
   * ```
   */
  namespace(prefix: BinaryLike): Cache;

  /**
   * Limits the bytes of the items of a namespace.
   *
   * A store that exceeds the limit evicts other items of the namespace, old ones first, and none of
   * others. `stats('quotas')` reports limits, bytes and evictions. A new limit examines all items
   * of the cache, so set limits before items are stored.
   *
   * @param limit - Most bytes, as `stats` counts them. `undefined` removes the limit.
   * @throws {ConfigError} if this is not a namespace, its prefix overlaps with that of another
   * quota, or there are 1,024 quotas.
   * @throws {TypeError} (`ERR_INVALID_ARG_TYPE`) if `limit` is not a whole number.
   * @throws {ClosedError} if the cache is closed.
   * @example
   * ```js
   * const site = cache.namespace('site1:');
   * site.setQuota(1500);
   * site.set('a', Buffer.alloc(1000));
   * site.set('b', Buffer.alloc(1000));
   * site.has('a'); // => false
   * cache.stats('quotas')['quota:1:evicted']; // => 1
   * ```
   */
  setQuota(limit: number | undefined): void;

  /**
   * The prefix of a namespace, or an empty Buffer.
   *
   * @example
   * ```js
   * cache.namespace('users:').namespace('drafts:').prefix; // => Buffer.from('users:drafts:')
   * ```
   */
  get prefix(): Buffer;

  /**
   * Returns the value of a key, or makes and stores it.
   *
   * If several callers in any threads ask at once, one of them calls `make` and the others wait for
   * its value. If `make` throws, its caller gets the error and the next caller tries. The same
   * holds if the thread of that caller ends. `make` must not wait for the value of the same key.
   *
   * A value that the cache cannot keep is still returned to all callers. The cache cannot keep it
   * if it is larger than `itemSizeMax` or the cache was closed while `make` ran. The same holds if
   * the cache is full and evictions are off.
   *
   * A newer value that was stored while `make` ran stays. If the key was deleted or flushed while
   * `make` ran, this caller gets the value, and the cache does not store it. A caller that waits
   * then calls its own `make`.
   *
   * @param key - The key.
   * @param make - Returns the value, or a promise of it.
   * @param options - The TTL, or an object with `ttl` and `staleFor`.
   * @returns A promise of the value. The Buffer belongs to the caller. The promise is rejected with
   * the error of `make`, or with one of these:
   * @throws {InvalidKeyError} if the key does not have 1 to 250 bytes.
   * @throws {InvalidTTLError} if `ttl` or `staleFor` is invalid. `make` is not called then.
   * @throws {TypeError} (`ERR_INVALID_ARG_TYPE`) if an argument has the wrong type, or `make`
   * returns neither a string nor bytes.
   * @throws {MemcacheError} if `make` asks for the value of the same key.
   * @throws {ClosedError} if the cache is already closed.
   * @example
   * ```js
   * const make = async () => JSON.stringify({ year: 1815 });
   * const report = await cache.getOrSet('report', make, { ttl: 60, staleFor: 30 });
   * JSON.parse(report.toString()).year; // => 1815
   * ```
   */
  getOrSet(
    key: BinaryLike,
    make: () => BinaryLike | PromiseLike<BinaryLike>,
    options?: Ttl | FlightOptions,
  ): Promise<Buffer>;

  /**
   * The number of items.
   *
   * Expired items count until they are removed.
   *
   * @throws {ClosedError} if the cache is closed.
   * @example
   * ```js
   * cache.set('user:1', 'Ada');
   * cache.size; // => 1
   * ```
   */
  readonly size: number;

  /**
   * Iterates over the keys.
   *
   * The keys are collected when the iteration starts, in no particular order.
   *
   * @returns An iterator of keys.
   * @throws {ClosedError} if the cache is closed when the iteration starts.
   * @example
   * ```js
   * cache.set('user:1', 'Ada');
   * Array.from(cache.keys(), String); // => ['user:1']
   * ```
   */
  keys(): IterableIterator<Buffer>;

  /**
   * Iterates over the values.
   *
   * Items that are removed during the iteration are left out.
   *
   * @returns An iterator of values.
   * @throws {ClosedError} if the cache is closed.
   * @example
   * ```js
   * cache.set('user:1', 'Ada');
   * Array.from(cache.values(), String); // => ['Ada']
   * ```
   */
  values(): IterableIterator<Buffer>;

  /**
   * Iterates over keys and values.
   *
   * Items that are removed during the iteration are left out.
   *
   * @returns An iterator of pairs.
   * @throws {ClosedError} if the cache is closed.
   * @example
   * ```js
   * cache.set('user:1', 'Ada');
   * for (const [key, value] of cache.entries()) console.assert(`${key}=${value}` === 'user:1=Ada');
   * ```
   */
  entries(): IterableIterator<[Buffer, Buffer]>;

  /**
   * Iterates over keys and values, as {@link Cache.entries} does.
   *
   * @returns An iterator of pairs.
   * @throws {ClosedError} if the cache is closed.
   * @example
   * ```js
   * cache.set('user:1', 'Ada');
   * const [[key]] = cache;
   * String(key); // => 'user:1'
   * ```
   */
  [Symbol.iterator](): IterableIterator<[Buffer, Buffer]>;

  /**
   * Saves all items to a file or a stream, while the cache is in use.
   *
   * A thread of its own does the work, and the event loop goes on. A file of this path is replaced
   * when the new one is complete and on the disk. Until then, and after an error, the old file
   * stays. Only this user may read the file. A stream is ended, or destroyed after an error. The
   * thread waits while the stream is full.
   *
   * Each item is saved as it is at one moment, but not all items at the same moment. An item that
   * is deleted during the save may be in the file.
   *
   * @param path - The path of the file, a `file:` URL, or a writable stream.
   * @param options - Codec, threads, rate, note, progress and signal.
   * @returns A promise of the counters. It may be rejected with the error of the stream, or with:
   * @throws {BusyError} if another save to this path is under way, or the cache was flushed three
   * times during the save.
   * @throws {FileError} if the system refuses an operation on the file, such as on a full disk.
   * @throws {CancelledError} if `progress` returned `false`.
   * @throws {ConfigError} if `codec` or `note` is invalid.
   * @throws {TypeError} (`ERR_INVALID_ARG_TYPE`) if an argument has the wrong type, or an option
   * does not exist.
   * @throws {RangeError} (`ERR_OUT_OF_RANGE`) if `threads` or `rate` is out of range.
   * @throws {ClosedError} if the cache is closed.
   * @example
   * ```js
   * const path = join(tmpdir(), 'cache.mcrs');
   * cache.set('user:1', 'Ada');
   * await cache.save(path);
   *
   * const warm = new Cache();
   * await warm.load(path);
   * warm.getString('user:1'); // => 'Ada'
   * ```
   */
  save(path: string | URL | NodeJS.WritableStream | WritableStream, options?: SaveOptions): Promise<Saved>;

  /**
   * Saves all items to a Buffer, while the cache is in use.
   *
   * @param options - Codec, threads, rate, note, progress and signal.
   * @returns A promise of the snapshot, for {@link Cache.load}. It may be rejected with:
   * @throws {BusyError} if the cache was flushed during the save.
   * @throws {FileError} if the snapshot does not fit in memory, or in a Buffer.
   * @throws {CancelledError} if `progress` returned `false`.
   * @throws {ConfigError} if `codec` or `note` is invalid.
   * @throws {TypeError} (`ERR_INVALID_ARG_TYPE`) if an option has the wrong type, or does not
   * exist.
   * @throws {RangeError} (`ERR_OUT_OF_RANGE`) if `threads` or `rate` is out of range.
   * @throws {ClosedError} if the cache is closed.
   * @example
   * ```js
   * cache.set('user:1', 'Ada');
   * const snapshot = await cache.saveToBuffer();
   * cache.flush();
   * await cache.load(snapshot);
   * cache.getString('user:1'); // => 'Ada'
   * ```
   */
  saveToBuffer(options?: SaveOptions): Promise<Buffer>;

  /**
   * Loads the items of a snapshot, while the cache is in use.
   *
   * A thread of its own does the work, and the event loop goes on. The snapshot may come from a
   * cache with other settings, and from another machine. Items that do not fit in memory are left
   * out and counted, and so are damaged parts. After an error, items that were loaded before it
   * stay.
   *
   * @param source - The path of a file, a `file:` URL, a readable stream, or the bytes of a
   * snapshot, which are copied. The stream is destroyed if something of it is left.
   * @param options - What to do with older items, TTLs and damage; threads, progress and signal.
   * @returns A promise of the counters. It may be rejected with the error of the stream, or with:
   * @throws {BadSnapshotError} if it is not a snapshot that this version can read, or if it is
   * damaged and `strict` is set.
   * @throws {FileError} if the file cannot be read.
   * @throws {CancelledError} if `progress` returned `false`.
   * @throws {ConfigError} if `ttl` is invalid.
   * @throws {TypeError} (`ERR_INVALID_ARG_TYPE`) if an argument has the wrong type, or an option
   * does not exist.
   * @throws {RangeError} (`ERR_OUT_OF_RANGE`) if `threads` is out of range.
   * @throws {ClosedError} if the cache is closed.
   * @example
   * ```js
   * cache.set('session', 'Ada', 60);
   * const snapshot = await cache.saveToBuffer();
   * cache.clock.freeze().advance(3600);
   * (await cache.load(snapshot, { replace: true })).expired; // => 1
   * (await cache.load(snapshot, { replace: true, ttl: 'paused' })).items; // => 1
   * cache.info('session').ttl; // => 60
   * ```
   */
  load(
    source: string | URL | Uint8Array | AsyncIterable<Uint8Array> | ReadableStream<Uint8Array>,
    options?: LoadOptions,
  ): Promise<Loaded>;

  /**
   * Returns a group of statistics.
   *
   * @param group - `''`, `'items'`, `'slabs'`, `'sizes'`, `'quotas'`, `'settings'`, `'conns'`,
   * `'latency'` or `'hotkeys'`. The default is `''`, the general statistics.
   * @returns The statistics by memcached's names.
   * @throws {ConfigError} if there is no such group.
   * @throws {TypeError} (`ERR_INVALID_ARG_TYPE`) if `group` is not a string.
   * @throws {ClosedError} if the cache is closed.
   * @example
   * ```js
   * cache.get('user:1');
   * cache.stats().get_misses; // => 1
   * ```
   */
  stats(group?: string): Stats;

  /**
   * Returns metrics as text, for a monitoring system.
   *
   * The names are those of Prometheus' memcached exporter, and further ones that begin with
   * `memcache_rs_`. `MemcacheRegistry` of `memcache-rs/prom-client` adds them to prom-client.
   *
   * @param format - `'prometheus'`, the default, for the text form 0.0.4, or `'openmetrics'` for
   * OpenMetrics 1.0.
   * @returns The text.
   * @throws {ConfigError} if there is no such format.
   * @throws {TypeError} (`ERR_INVALID_ARG_TYPE`) if `format` is not a string.
   * @throws {ClosedError} if the cache is closed.
   * @example
   * ```js
   * cache.metrics().includes('memcached_current_items 0'); // => true
   * ```
   */
  metrics(format?: 'prometheus' | 'openmetrics'): string;

  /**
   * Returns metrics as a list of families.
   *
   * @returns The families, in the order of the text.
   * @throws {ClosedError} if the cache is closed.
   * @example
   * ```js
   * const isWanted = ({ name }) => name === 'memcached_current_items';
   * cache.metricFamilies().find(isWanted).values; // => [{ labels: {}, value: 0 }]
   * ```
   */
  metricFamilies(): MetricFamily[];

  /**
   * Returns the keys that had the most requests in the last 2 to 4 seconds. The numbers are
   * estimates from samples: one of `sampleRate` requests is counted, 128 by default.
   *
   * @param most - The number of keys, at most 512. The default is 10.
   * @returns The keys, the one with the most requests first.
   * @throws {TypeError} (`ERR_INVALID_ARG_TYPE`) if `most` is not a number.
   * @throws {RangeError} (`ERR_OUT_OF_RANGE`) if `most` is not an integer from 0 to 512.
   * @throws {ClosedError} if the cache is closed.
   * @example
   * ```js
   * const watched = new Cache({ settings: { sampleRate: 1 } });
   * watched.get('user:1');
   * watched.hotKeys().map(({ key, reads }) => [String(key), reads]); // => [['user:1', 1]]
   * ```
   */
  hotKeys(most?: number): HotKey[];

  /**
   * The clock, which a test can stop and move.
   *
   * @throws {ClosedError} if the cache is closed.
   * @example
   * ```js
   * cache.set('session', 'Ada', 60);
   * cache.clock.advance(60);
   * cache.has('session'); // => false
   * ```
   */
  readonly clock: Clock;

  /**
   * The name under which threads share the cache, or `undefined`.
   *
   * @example
   * ```js
   * new Cache({ name: 'pages' }).name; // => 'pages'
   * ```
   */
  readonly name: string | undefined;

  /**
   * Closes this object, and frees a cache without a name.
   *
   * A named cache is freed when its last object is closed. Further calls do nothing.
   *
   * @example
   * ```js
   * cache.close();
   * cache.closed; // => true
   * ```
   */
  close(): void;

  /**
   * Whether this object is closed.
   *
   * @example
   * ```js
   * cache.closed; // => false
   * ```
   */
  readonly closed: boolean;

  /**
   * Closes this object, as {@link Cache.close} does, at the end of a `using` block.
   *
   * @example
   * ```js
   * cache[Symbol.dispose]();
   * cache.closed; // => true
   * ```
   */
  [Symbol.dispose](): void;
}

/**
 * The clock of a cache, in whole seconds.
 *
 * The clock runs with the system until a test moves it. The clock of a server settles first, as
 * {@link Server.settle} describes.
 *
 * @example
 * ```js
 * cache.set('session', 'Ada', 60);
 * cache.clock.freeze().advance(59);
 * cache.has('session'); // => true
 * cache.clock.advance(1);
 * cache.has('session'); // => false
 * ```
 */
export class Clock {
  private constructor();

  /**
   * Stops time.
   *
   * @returns This clock.
   * @throws {ClosedError} if the cache is closed.
   * @example
   * ```js
   * const clock = cache.clock.freeze();
   * clock.resume();
   * ```
   */
  freeze(): this;

  /**
   * Lets time run again from where it stands.
   *
   * Does nothing if the cache is closed.
   *
   * @example
   * ```js
   * cache.clock.freeze();
   * cache.clock.resume();
   * ```
   */
  resume(): void;

  /**
   * Sets the clock to the time of the system, and lets it run.
   *
   * A `Date` that a test runner has replaced does not matter.
   *
   * @throws {ClosedError} if the cache is closed.
   * @example
   * ```js
   * cache.clock.advance(3600);
   * cache.clock.reset();
   * ```
   */
  reset(): void;

  /**
   * Moves time.
   *
   * @param seconds - Whole seconds, backwards if negative.
   * @throws {ConfigError} if `seconds` is not an integer, or the clock would be 34 years
   * before the creation of the cache, or 102 years after.
   * @throws {TypeError} (`ERR_INVALID_ARG_TYPE`) if `seconds` is not a number.
   * @throws {ClosedError} if the cache is closed.
   * @example
   * ```js
   * const { clock } = cache;
   * const start = clock.freeze().time();
   * clock.advance(60);
   * clock.time() - start; // => 60
   * ```
   */
  advance(seconds: number): void;

  /**
   * Returns the time of the clock.
   *
   * @returns Seconds since 1970.
   * @throws {ClosedError} if the cache is closed.
   * @example
   * ```js
   * Number.isInteger(cache.clock.time()); // => true
   * ```
   */
  time(): number;

  /**
   * Lets time run again, as {@link Clock.resume} does, at the end of a `using` block.
   *
   * @example
   * ```js
   * const clock = cache.clock.freeze();
   * clock[Symbol.dispose]();
   * ```
   */
  [Symbol.dispose](): void;
}

/**
 * The conditions of a fault. All given ones must hold.
 *
 * @example
 * ```js
 * server.faults.miss({ command: 'get', key: 'user:*', times: 1 });
 * ```
 */
export interface FaultConditions {
  /** The name of a command, such as `get`, `set` or `mg`. */
  command?: string;
  /** A pattern of keys, in which `*` stands for any bytes. */
  key?: BinaryLike;
  /** How often the fault applies at most. */
  times?: number;
  /** How likely the fault applies, from 0 to 1. */
  probability?: number;
}

/**
 * An injected fault, which applies until it is removed.
 *
 * @example
 * ```js
 * const fault = server.faults.drop({ command: 'get' });
 * fault.remove(); // => 0
 * ```
 */
export class FaultRule {
  private constructor();

  /**
   * Removes the fault.
   *
   * @returns How often it applied, or 0 if the server has stopped before.
   * @example
   * ```js
   * const fault = server.faults.miss();
   * fault.remove(); // => 0
   * ```
   */
  remove(): number;

  /**
   * Removes the fault, as {@link FaultRule.remove} does, at the end of a `using` block.
   *
   * @example
   * ```js
   * const fault = server.faults.miss();
   * fault[Symbol.dispose]();
   * ```
   */
  [Symbol.dispose](): void;
}

/**
 * The injected faults of a server.
 *
 * Faults apply to the commands of clients, not to the handles of the program. Each call settles
 * first, as {@link Server.settle} describes, so a fault applies to later commands only.
 *
 * @example
 * ```js
 * server.faults.error('out of order', { command: 'get', times: 1 });
 * server.faults.clear();
 * ```
 */
export class Faults {
  private constructor();

  /**
   * Delays commands.
   *
   * @param seconds - How long a command waits.
   * @param when - The conditions. The default is each command.
   * @returns The fault, for its removal.
   * @throws {ConfigError} if `seconds` is negative, or a condition is invalid.
   * @throws {TypeError} (`ERR_INVALID_ARG_TYPE`) if an argument has the wrong type.
   * @throws {ClosedError} if the server has stopped.
   * @example
   * ```js
   * server.faults.delay(0.5, { command: 'get' });
   * ```
   */
  delay(seconds: number, when?: FaultConditions): FaultRule;

  /**
   * Runs commands, and delays their replies.
   *
   * Later commands of the connection run in between. Their replies wait behind the delayed one.
   *
   * @param seconds - How long a reply waits.
   * @param when - The conditions. The default is each command.
   * @returns The fault, for its removal.
   * @throws {ConfigError} if `seconds` is negative, or a condition is invalid.
   * @throws {TypeError} (`ERR_INVALID_ARG_TYPE`) if an argument has the wrong type.
   * @throws {ClosedError} if the server has stopped.
   * @example
   * ```js
   * server.faults.delayReply(0.5, { command: 'set' });
   * ```
   */
  delayReply(seconds: number, when?: FaultConditions): FaultRule;

  /**
   * Closes the connection in place of a reply.
   *
   * @param when - The conditions. The default is each command.
   * @returns The fault, for its removal.
   * @throws {ConfigError} if a condition is invalid.
   * @throws {TypeError} (`ERR_INVALID_ARG_TYPE`) if an argument has the wrong type.
   * @throws {ClosedError} if the server has stopped.
   * @example
   * ```js
   * server.faults.drop({ command: 'set', times: 1 });
   * ```
   */
  drop(when?: FaultConditions): FaultRule;

  /**
   * Answers `SERVER_ERROR` in place of running a command.
   *
   * @param message - The text behind `SERVER_ERROR`, one line. The default is `injected`.
   * @param when - The conditions. The default is each command.
   * @returns The fault, for its removal.
   * @throws {ConfigError} if `message` has several lines, or a condition is invalid.
   * @throws {TypeError} (`ERR_INVALID_ARG_TYPE`) if an argument has the wrong type.
   * @throws {ClosedError} if the server has stopped.
   * @example
   * ```js
   * server.faults.error('out of order', { command: 'get' });
   * server.faults.error({ key: 'user:*' });
   * ```
   */
  error(message: string, when?: FaultConditions): FaultRule;
  error(when?: FaultConditions): FaultRule;

  /**
   * Makes reads find no item.
   *
   * @param when - The conditions. The default is each read.
   * @returns The fault, for its removal.
   * @throws {ConfigError} if a condition is invalid.
   * @throws {TypeError} (`ERR_INVALID_ARG_TYPE`) if an argument has the wrong type.
   * @throws {ClosedError} if the server has stopped.
   * @example
   * ```js
   * server.faults.miss({ probability: 0.1 });
   * ```
   */
  miss(when?: FaultConditions): FaultRule;

  /**
   * Cuts replies off, and closes the connection.
   *
   * @param after - The number of bytes that a client still receives.
   * @param when - The conditions. The default is each command.
   * @returns The fault, for its removal.
   * @throws {ConfigError} if `after` is not an integer from 0, or a condition is invalid.
   * @throws {TypeError} (`ERR_INVALID_ARG_TYPE`) if an argument has the wrong type.
   * @throws {ClosedError} if the server has stopped.
   * @example
   * ```js
   * server.faults.truncate(9, { command: 'get' });
   * ```
   */
  truncate(after: number, when?: FaultConditions): FaultRule;

  /**
   * Removes all faults.
   *
   * @throws {ClosedError} if the server has stopped.
   * @example
   * ```js
   * server.faults.drop();
   * server.faults.clear();
   * ```
   */
  clear(): void;
}

/**
 * A kind of events, by memcached's name.
 *
 * @example
 * ```js
 * server.watch('evictions', 'deletions').close();
 * ```
 */
export type EventKind =
  | 'fetchers'
  | 'mutations'
  | 'deletions'
  | 'evictions'
  | 'connevents'
  | 'proxyreqs'
  | 'proxyevents'
  | 'proxyuser';

/**
 * An event of a server.
 *
 * @example
 * ```js
 * const watch = server.watch('deletions');
 * server.cache.set('user:1', 'Ada');
 * server.cache.delete('user:1');
 * const { value } = await watch.next();
 * [value.type, String(value.key)]; // => ['deleted', 'user:1']
 * ```
 */
export interface Event {
  /**
   * memcached's name of the event, such as `item_get`, `item_store`, `deleted`, `eviction`,
   * `conn_new` or `proxy_backend`. `skipped` means that events were lost.
   */
  type: string;
  /** When it happened, in seconds since 1970. */
  time: number;
  /** The key, if the event has one. */
  key: Buffer | undefined;
  /**
   * All fields of memcached's log line. In a `proxy_req`, the field `type` is memcached's number
   * for the kind of the reply.
   */
  fields: Record<string, string>;
}

/**
 * An async iterator of the events of a server.
 *
 * It ends when it is closed or the server stops. Waiting for an event does not keep the process
 * alive.
 *
 * @example
 * ```js
 * const watch = server.watch('mutations');
 * server.cache.set('user:1', 'Ada');
 * for await (const { type } of watch) {
 *   console.assert(type === 'item_store');
 *   break;
 * }
 * ```
 */
export class Watch implements AsyncIterableIterator<Event> {
  private constructor();

  /**
   * Waits for the next event.
   *
   * @returns A promise of the event, or of the end.
   * @example
   * ```js
   * const watch = server.watch('deletions');
   * server.cache.set('user:1', 'Ada');
   * server.cache.delete('user:1');
   * (await watch.next()).value.type; // => 'deleted'
   * ```
   */
  next(): Promise<IteratorResult<Event, undefined>>;

  /**
   * Ends the watch and drops its events. A `for await` loop calls it.
   *
   * @returns A promise of the end.
   * @example
   * ```js
   * const watch = server.watch();
   * (await watch.return()).done; // => true
   * ```
   */
  return(): Promise<IteratorResult<Event, undefined>>;

  /**
   * Ends the watch. Events that have arrived can still be read.
   *
   * @example
   * ```js
   * const watch = server.watch();
   * watch.close();
   * (await watch.next()).done; // => true
   * ```
   */
  close(): void;

  /**
   * Returns this iterator.
   *
   * @returns This iterator.
   * @example
   * ```js
   * const watch = server.watch();
   * watch[Symbol.asyncIterator]() === watch; // => true
   * ```
   */
  [Symbol.asyncIterator](): this;

  /**
   * Ends the watch, as {@link Watch.close} does, at the end of a `using` block.
   *
   * @example
   * ```js
   * const watch = server.watch();
   * watch[Symbol.dispose]();
   * ```
   */
  [Symbol.dispose](): void;

  /**
   * Ends the watch, as {@link Watch.close} does, at the end of an `await using` block.
   *
   * @returns A promise that is fulfilled at once.
   * @example
   * ```js
   * const watch = server.watch();
   * await watch[Symbol.asyncDispose]();
   * ```
   */
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * The paths of TLS files in PEM format. Other options are refused.
 *
 * @example
 * ```js
 * const files = (await Server.start({ tls: 'test' })).tls;
 * const server = await Server.start({ tls: { certificate: files.certificate, key: files.key } });
 * server.url.startsWith('memcaches://127.0.0.1:'); // => true
 * ```
 */
export interface Tls {
  /** The server's certificate, and those of the authorities above it. */
  certificate: string;
  /** The server's private key. */
  key: string;
  /**
   * The authority that signs the certificates of clients. {@link Server.tlsOptions} uses it for the
   * certificate of the server, too.
   */
  ca?: string;
  /** Whether clients need a certificate. The default is `false`. */
  verifyClients?: boolean;
  /** A certificate for clients, which {@link Server.tlsOptions} returns. */
  clientCertificate?: string;
  /** The private key of `clientCertificate`. */
  clientKey?: string;
}

/**
 * The options of {@link Server.tlsOptions} for `tls.connect`.
 *
 * @example
 * ```js
 * const server = await Server.start({ tls: 'test' });
 * const { host, port, ca } = server.tlsOptions();
 * [host, port, Buffer.isBuffer(ca)]; // => ['127.0.0.1', server.port, true]
 * ```
 */
export interface TlsConnectOptions {
  /** The IP address of the server. */
  host: string;
  /** The port of the server. */
  port: number;
  /** The authority of the server's certificate, as PEM. */
  ca?: Buffer;
  /** The certificate for clients, as PEM. */
  cert?: Buffer;
  /** The private key of `cert`, as PEM. */
  key?: Buffer;
}

/**
 * Options of a {@link Server}.
 *
 * @example
 * ```js
 * const server = await Server.start({ users: { ada: 'secret' }, auth: 'text', idleTimeout: 60 });
 * await server.close();
 * ```
 */
export interface ServerOptions extends CacheOptions {
  /** The TCP port. The default is 0, a free port. */
  port?: number;
  /** The IP address to listen at. The default is 127.0.0.1. */
  host?: string;
  /**
   * The path of a Unix socket, which replaces TCP.
   *
   * `true` means a path in a temporary directory. With `host`, the server listens at both.
   *
   * If a signal ends the process, the socket stays. The next server at the path replaces it. The
   * next server that creates a directory removes those of ended processes.
   */
  unixSocket?: boolean | string;
  /** The access mask of the Unix socket. The default is 0o700. */
  unixMask?: number;
  /** Whether the server also listens at UDP, on the same port. The default is `false`. */
  udp?: boolean;
  /**
   * TLS over TCP: files, or test certificates that are created in memory. With `'test-mutual'`
   * clients need a certificate, too.
   */
  tls?: 'test' | 'test-mutual' | Tls;
  /**
   * Passwords by user name. With it, clients must log in. The setting `rights` limits what each may
   * do, such as `settings: { rights: 'ada all; shop ro,prefix=shop/' }`.
   */
  users?: Readonly<Record<string, string>> | ReadonlyMap<string, string>;
  /**
   * How clients log in: `'sasl'` or `'text'`. The default is `'sasl'`.
   *
   * `'sasl'` is SASL PLAIN in the binary protocol. `'text'` is a login in the text protocols.
   */
  auth?: 'sasl' | 'text';
  /**
   * The cache to serve. The default is a cache of the server's own, which is closed with it.
   *
   * Calls of a cache that is passed here do not settle first, see {@link Server.settle}.
   */
  cache?: Cache;
  /** The number of worker threads. The default is 1. */
  threads?: number;
  /** The number of connections at a time. The default is 1,024. */
  maxConnections?: number;
  /** Seconds after which an idle connection is closed. The default is 0, never. */
  idleTimeout?: number;
  /** Whether clients may stop the server by the command `shutdown`. The default is `false`. */
  shutdownEnabled?: boolean;
  /**
   * Makes the server a proxy: commands with keys go to the backends of this configuration. It is a
   * text in TOML, or the name of a file that ends in `.toml`. The default is none.
   *
   * A start reads it. A mistake rejects the start with a `ConfigError`, whose message has the line.
   * docs/proxy.md in the repository describes the configuration.
   */
  proxy?: string;
  /** The nodes that auto discovery announces, as `host:port` or `host|ip|port`. */
  clusterNodes?: Iterable<string>;
  /** Whether {@link Server.lastCommands} is recorded. The default is `false`. */
  recordCommands?: boolean;
}

/**
 * Options of {@link Server.close}.
 *
 * @example
 * ```js
 * await server.close({ graceful: true, timeout: 10 });
 * ```
 */
export interface CloseOptions {
  /** Whether replies in progress are finished first. The default is `false`. */
  graceful?: boolean;
  /** Seconds that a graceful stop may take. The default is 5. */
  timeout?: number;
}

/**
 * A memcached server in this process.
 *
 * It has threads of its own, and serves any memcached client. It runs until it is closed, or its
 * thread or process ends. It does not keep the process alive, see {@link Server.ref}.
 *
 * @example
 * ```js
 * const server = await Server.start();
 * const socket = net.connect(server.port, server.host);
 * socket.end('set greeting 0 60 5\r\nhello\r\nquit\r\n');
 * await text(socket); // => 'STORED\r\n'
 * server.cache.getString('greeting'); // => 'hello'
 * await server.close();
 * ```
 */
export class Server implements AsyncDisposable {
  /**
   * Creates and starts a server.
   *
   * @param options - Addresses, TLS, users and limits, and the options of the server's own cache.
   * @returns A promise of the server, which accepts connections. It may be rejected with:
   * @throws {ConfigError} if an option is invalid.
   * @throws {StartError} if the system refuses, for example because the port is in use.
   * @example
   * ```js
   * const server = await Server.start({ memoryLimit: 16 << 20 });
   * server.running; // => true
   * await server.close();
   * ```
   */
  static start(options?: ServerOptions): Promise<Server>;

  /**
   * Creates a server that is not running.
   *
   * @param options - Addresses, TLS, users and limits, and the options of the server's own cache.
   * @throws {ConfigError} if an option is invalid.
   * @example
   * ```js
   * const server = new Server();
   * server.running; // => false
   * ```
   */
  constructor(options?: ServerOptions);

  /**
   * Starts the server. Does nothing if it is running.
   *
   * A server that starts again has the same port. Its cache is empty, unless it was passed as
   * `cache`.
   *
   * @returns A promise of this server, which accepts connections. It may be rejected with:
   * @throws {ConfigError} if an option is invalid.
   * @throws {StartError} if the system refuses, for example because the port is in use.
   * @throws {ClosedError} if the cache that was passed as `cache` is closed.
   * @example
   * ```js
   * const { port } = server;
   * await server.close();
   * await server.start();
   * server.port === port; // => true
   * ```
   */
  start(): Promise<this>;

  /**
   * Stops the server. Does nothing if it is not running.
   *
   * @param options - Whether to finish replies first, and how long that may take.
   * @returns A promise that is fulfilled when no thread, connection or file of the server is left.
   * It may be rejected with:
   * @throws {TypeError} (`ERR_INVALID_ARG_TYPE`) if an option has the wrong type, or does not
   * exist. The server keeps running.
   * @throws {RangeError} (`ERR_OUT_OF_RANGE`) if `timeout` is negative. The server keeps
   * running.
   * @example
   * ```js
   * await server.close({ graceful: true });
   * server.running; // => false
   * ```
   */
  close(options?: CloseOptions): Promise<void>;

  /**
   * Stops the server, as {@link Server.close} does, at the end of an `await using` block.
   *
   * @returns A promise that is fulfilled when the server has stopped.
   * @example
   * ```js
   * await server[Symbol.asyncDispose]();
   * server.running; // => false
   * ```
   */
  [Symbol.asyncDispose](): Promise<void>;

  /**
   * Whether the server is running.
   *
   * It is `false` after a client has sent `shutdown`, if that is allowed.
   *
   * @example
   * ```js
   * server.running; // => true
   * ```
   */
  readonly running: boolean;

  /**
   * Keeps the process alive until the server is closed.
   *
   * @returns This server.
   * @throws {ClosedError} if the server is not running.
   * @example
   * ```js
   * server.ref();
   * await server.close();
   * ```
   */
  ref(): this;

  /**
   * Lets the process end while the server is running, which is the default.
   *
   * @returns This server.
   * @example
   * ```js
   * server.ref();
   * server.unref();
   * ```
   */
  unref(): this;

  /**
   * The TCP address as `host:port`.
   *
   * @throws {ClosedError} if the server is not running, or has no TCP address.
   * @example
   * ```js
   * server.address; // => `127.0.0.1:${server.port}`
   * ```
   */
  readonly address: string;

  /**
   * The IP address.
   *
   * @throws {ClosedError} if the server is not running, or has no TCP address.
   * @example
   * ```js
   * server.host; // => '127.0.0.1'
   * ```
   */
  readonly host: string;

  /**
   * The TCP port.
   *
   * @throws {ClosedError} if the server is not running, or has no TCP address.
   * @example
   * ```js
   * server.port > 0; // => true
   * ```
   */
  readonly port: number;

  /**
   * The UDP address as `host:port`, or `undefined` without UDP.
   *
   * @throws {ClosedError} if the server is not running.
   * @example
   * ```js
   * server.udpAddress; // => undefined
   * ```
   */
  readonly udpAddress: string | undefined;

  /**
   * The path of the Unix socket, or `undefined` without one.
   *
   * @throws {ClosedError} if the server is not running.
   * @example
   * ```js
   * const server = await Server.start({ unixSocket: true });
   * server.unixSocket.endsWith('/memcached.sock'); // => true
   * ```
   */
  readonly unixSocket: string | undefined;

  /**
   * The URL of the server.
   *
   * It is `memcache://host:port`, `memcaches://host:port` with TLS, or `memcache:///path` for a
   * Unix socket without TCP.
   *
   * @throws {ClosedError} if the server is not running.
   * @example
   * ```js
   * server.url; // => `memcache://${server.address}`
   * ```
   */
  readonly url: string;

  /**
   * The TLS files, or `undefined` without TLS.
   *
   * Test certificates are kept in memory. The first read writes them to a temporary directory that
   * only this user can access. The directory is removed with the server. If a signal ends the
   * process, the next server that creates a directory removes it. {@link Server.tlsOptions} needs
   * no files.
   *
   * @throws {StartError} if the files cannot be written.
   * @throws {ClosedError} if the server is not running.
   * @example
   * ```js
   * const server = await Server.start({ tls: 'test' });
   * server.tls.ca.endsWith('/ca.pem'); // => true
   * ```
   */
  readonly tls: Tls | undefined;

  /**
   * Returns options with which `tls.connect` connects to this server.
   *
   * They trust the server's certificate, and have one for the client if there is one.
   *
   * @returns The address, and certificates as PEM.
   * @throws {ConfigError} if the server has no TLS.
   * @throws {ClosedError} if the server is not running.
   * @example
   * ```js
   * const server = await Server.start({ tls: 'test' });
   * const socket = tls.connect({ ...server.tlsOptions(), servername: 'localhost' });
   * socket.end('mn\r\nquit\r\n');
   * await text(socket); // => 'MN\r\n'
   * ```
   */
  tlsOptions(): TlsConnectOptions;

  /**
   * The cache that the server serves.
   *
   * The calls of a server's own cache settle first, see {@link Server.settle}.
   *
   * @throws {ClosedError} if the server is not running.
   * @example
   * ```js
   * server.cache.set('user:1', 'Ada');
   * server.cache.size; // => 1
   * ```
   */
  readonly cache: Cache;

  /**
   * The clock of the cache, which a test can stop and move.
   *
   * @throws {ClosedError} if the server is not running.
   * @example
   * ```js
   * server.cache.set('session', 'Ada', 3600);
   * server.clock.advance(3600);
   * server.cache.has('session'); // => false
   * ```
   */
  readonly clock: Clock;

  /**
   * The injected faults.
   *
   * @throws {ClosedError} if the server is not running.
   * @example
   * ```js
   * server.faults.error('out of order', { command: 'get' });
   * ```
   */
  readonly faults: Faults;

  /**
   * Has a proxy try its backends again at once.
   *
   * It forgets their failures, and later requests wait for their connections. A test calls it
   * after it has started a backend again. It does nothing for a server without `proxy`.
   *
   * @throws {ClosedError} if the server is not running.
   * @example
   * ```js
   * server.retryBackends();
   * ```
   */
  retryBackends(): void;

  /**
   * Has a proxy read its configuration again, or another one in its place.
   *
   * Requests that come after it follow it. A mistake changes nothing. Sources of backends are
   * looked up first, for at most 5 seconds.
   *
   * @param config - A text in TOML, or the name of a file that ends in `.toml`. Later reloads and
   * starts read it, too. The default is the configuration so far, such as a file that has changed.
   * @returns A promise that is fulfilled when the proxy follows it. It may be rejected with:
   * @throws {ConfigError} if the configuration has a mistake, whose line the message names. Also if
   * the file cannot be read, or the server was started without `proxy`.
   * @throws {TypeError} (`ERR_INVALID_ARG_TYPE`) if `config` is not a string.
   * @throws {ClosedError} if the server is not running.
   * @example
   * ```js
   * const proxy = await Server.start({ proxy: "route = { error = 'closed' }" });
   * await proxy.reloadProxy(`route = 'main'\npools.main.backends = ['${server.address}']`);
   * await proxy.close();
   * ```
   */
  reloadProxy(config?: string): Promise<void>;

  /**
   * Waits until the commands that clients have sent are carried out.
   *
   * That includes commands without replies, datagrams, and connections that are not accepted yet. A
   * client that does not read its replies, or whose command an injected fault delays, is not waited
   * for. Nor is a request that this process has not written to its socket yet. A delayed reply is
   * waited for.
   *
   * `cache`, `clock`, `faults`, `stats`, `watch` and `lastCommands` settle by themselves before
   * each call, for at most a second, unless the server was given a `cache`. They block the event
   * loop while they wait. `settle` does not block it.
   *
   * @param timeout - Seconds to wait at most. The default is 1.
   * @returns A promise of `true`, or of `false` after `timeout`. Stopping the server ends the wait,
   * too. It may be rejected with:
   * @throws {TypeError} (`ERR_INVALID_ARG_TYPE`) if `timeout` is not a number.
   * @throws {RangeError} (`ERR_OUT_OF_RANGE`) if `timeout` is negative.
   * @throws {ClosedError} if the server is not running.
   * @example
   * ```js
   * await server.settle(); // => true
   * ```
   */
  settle(timeout?: number): Promise<boolean>;

  /**
   * Returns a group of statistics.
   *
   * @param group - `''`, `'items'`, `'slabs'`, `'sizes'`, `'quotas'`, `'settings'`, `'conns'`,
   * `'latency'` or `'hotkeys'`. The default is `''`, the general statistics. A proxy also has
   * `'proxy'`, `'proxyfuncs'`, `'proxybe'` and `'proxypools'`.
   * @returns The statistics by memcached's names.
   * @throws {ConfigError} if there is no such group.
   * @throws {TypeError} (`ERR_INVALID_ARG_TYPE`) if `group` is not a string.
   * @throws {ClosedError} if the server is not running.
   * @example
   * ```js
   * server.stats('settings').num_threads; // => 1
   * ```
   */
  stats(group?: string): Stats;

  /**
   * Returns metrics as text, for a monitoring system.
   *
   * The names are those of Prometheus' memcached exporter, and further ones that begin with
   * `memcache_rs_`. `MemcacheRegistry` of `memcache-rs/prom-client` adds them to prom-client.
   *
   * @param format - `'prometheus'`, the default, for the text form 0.0.4, or `'openmetrics'` for
   * OpenMetrics 1.0.
   * @returns The text.
   * @throws {ConfigError} if there is no such format.
   * @throws {TypeError} (`ERR_INVALID_ARG_TYPE`) if `format` is not a string.
   * @throws {ClosedError} if the server is not running.
   * @example
   * ```js
   * server.metrics().includes('memcached_current_items 0'); // => true
   * ```
   */
  metrics(format?: 'prometheus' | 'openmetrics'): string;

  /**
   * Returns metrics as a list of families.
   *
   * @returns The families, in the order of the text.
   * @throws {ClosedError} if the server is not running.
   * @example
   * ```js
   * const isWanted = ({ name }) => name === 'memcached_current_items';
   * server.metricFamilies().find(isWanted).values; // => [{ labels: {}, value: 0 }]
   * ```
   */
  metricFamilies(): MetricFamily[];

  /**
   * Returns the keys that had the most requests in the last 2 to 4 seconds. The numbers are
   * estimates from samples: one of `sampleRate` requests is counted, 128 by default.
   *
   * @param most - The number of keys, at most 512. The default is 10.
   * @returns The keys, the one with the most requests first.
   * @throws {TypeError} (`ERR_INVALID_ARG_TYPE`) if `most` is not a number.
   * @throws {RangeError} (`ERR_OUT_OF_RANGE`) if `most` is not an integer from 0 to 512.
   * @throws {ClosedError} if the server is not running.
   * @example
   * ```js
   * server.hotKeys(0); // => []
   * ```
   */
  hotKeys(most?: number): HotKey[];

  /**
   * Begins to watch events.
   *
   * A server may have 20 watches at a time.
   *
   * @param kinds - The kinds of events. The default is all kinds.
   * @returns An async iterator of the events from now on.
   * @throws {ConfigError} if there is no such kind, or there are 20 watches.
   * @throws {TypeError} (`ERR_INVALID_ARG_TYPE`) if a kind is not a string.
   * @throws {ClosedError} if the server is not running.
   * @example
   * ```js
   * const watch = server.watch('evictions');
   * watch.close();
   * ```
   */
  watch(...kinds: EventKind[]): Watch;

  /**
   * The last 200 commands of clients, if `recordCommands` is set.
   *
   * A command of the text protocols is its line. One of the binary protocol begins with the word
   * `binary`. Values and passwords are left out. A command of more than 2,048 bytes is cut.
   *
   * @throws {ClosedError} if the server is not running.
   * @example
   * ```js
   * server.lastCommands; // => []
   * ```
   */
  readonly lastCommands: string[];

  /**
   * Forgets the recorded commands.
   *
   * @throws {ClosedError} if the server is not running.
   * @example
   * ```js
   * server.clearCommands();
   * server.lastCommands; // => []
   * ```
   */
  clearCommands(): void;

  /**
   * Replaces the nodes that auto discovery announces.
   *
   * @param nodes - The nodes as `host:port` or `host|ip|port`.
   * @throws {ConfigError} if a node is invalid.
   * @throws {TypeError} (`ERR_INVALID_ARG_TYPE`) if a node is not a string.
   * @throws {ClosedError} if the server is not running.
   * @example
   * ```js
   * server.setClusterNodes([server.address]);
   * ```
   */
  setClusterNodes(nodes: Iterable<string>): void;
}

/**
 * Several servers. Clients shard, or a proxy before the servers does.
 *
 * Each server announces all of them (auto discovery). With `proxy`, clients connect to
 * {@link Cluster.address} alone. Handles of a server, such as its `cache`, first settle the proxy.
 *
 * @example
 * ```js
 * const cluster = await Cluster.start(3);
 * cluster.addresses.length; // => 3
 * await cluster.close();
 *
 * const proxied = await Cluster.start(3, { proxy: true });
 * await proxied.kill(1);
 * proxied.address === proxied.proxy.address; // => true
 * await proxied.close();
 * ```
 */
export class Cluster implements Iterable<Server>, AsyncDisposable {
  /**
   * Creates and starts a cluster.
   *
   * @param size - The number of servers, up to 1,024. The default is 3.
   * @param options - Options of each server.
   * @returns A promise of the cluster. It may be rejected with:
   * @throws {ConfigError} if an option is invalid.
   * @throws {StartError} if the system refuses a server. No server is left then.
   * @example
   * ```js
   * const cluster = await Cluster.start(2, { threads: 2 });
   * cluster.length; // => 2
   * await cluster.close();
   * ```
   */
  static start(size?: number, options?: ClusterOptions): Promise<Cluster>;

  /**
   * Creates a cluster that is not running.
   *
   * @param size - The number of servers, up to 1,024. The default is 3.
   * @param options - Options of each server.
   * @throws {ConfigError} if an option is invalid.
   * @example
   * ```js
   * new Cluster(2).length; // => 2
   * ```
   */
  constructor(size?: number, options?: ClusterOptions);

  /**
   * Starts all servers, or none.
   *
   * @returns A promise of this cluster. It may be rejected with:
   * @throws {StartError} if the system refuses a server. No server is left then.
   * @example
   * ```js
   * const cluster = new Cluster(2);
   * await cluster.start();
   * await cluster.close();
   * ```
   */
  start(): Promise<this>;

  /**
   * Stops one server, as a crash of its process would.
   *
   * Its connections and its items are gone. The others no longer announce it. When the promise is
   * fulfilled, a proxy has noticed it: the next request for a key of the server fails at once, or
   * takes another way by the route. The promise is rejected with an `Error` if the proxy did not
   * notice it in 5 seconds, for example because another server delays replies.
   *
   * @param number - Its position in the cluster, from 0.
   * @returns A promise that is fulfilled when it has stopped. It may be rejected with:
   * @throws {ConfigError} if there is no such server.
   * @example
   * ```js
   * await cluster.kill(1);
   * cluster.servers[1].running; // => false
   * ```
   */
  kill(number: number): Promise<void>;

  /**
   * Starts a killed server again, at its address and empty.
   *
   * When the promise is fulfilled, the server serves the next request, also through a proxy.
   * `start` of the server alone promises neither, and its handles no longer settle the proxy. The
   * promise is rejected with an `Error` if a worker of the proxy did not answer in a second. The
   * server runs then.
   *
   * @param number - Its position in the cluster, from 0.
   * @returns A promise that is fulfilled when it accepts connections. It may be rejected with:
   * @throws {ConfigError} if there is no such server.
   * @throws {StartError} if the system refuses, for example because the port is in use.
   * @example
   * ```js
   * await cluster.kill(1);
   * await cluster.revive(1);
   * cluster.servers[1].running; // => true
   * ```
   */
  revive(number: number): Promise<void>;

  /**
   * Has the proxy follow another configuration, or a file that has changed.
   *
   * Requests that come after it follow it. A mistake changes nothing.
   *
   * @param proxy - As the option of the cluster. It counts for later reloads and starts, too. The
   * default is the one so far, such as a file that has changed.
   * @returns A promise that is fulfilled when the proxy follows it. It may be rejected with:
   * @throws {ConfigError} if the configuration has a mistake, or `proxy` is `false`.
   * @throws {ClosedError} if the cluster has no proxy, or is not running.
   * @example
   * ```js
   * const proxied = await Cluster.start(3, { proxy: true });
   * await proxied.reloadProxy('route = { failover = ["nodes", "next"] }');
   * await proxied.close();
   * ```
   */
  reloadProxy(proxy?: boolean | string): Promise<void>;

  /**
   * Stops all servers.
   *
   * @returns A promise that is fulfilled when they have stopped.
   * @example
   * ```js
   * await cluster.close();
   * cluster.servers.some((server) => server.running); // => false
   * ```
   */
  close(): Promise<void>;

  /**
   * Stops all servers, as {@link Cluster.close} does, at the end of an `await using` block.
   *
   * @returns A promise that is fulfilled when they have stopped.
   * @example
   * ```js
   * await cluster[Symbol.asyncDispose]();
   * ```
   */
  [Symbol.asyncDispose](): Promise<void>;

  /**
   * The servers, running or not.
   *
   * @example
   * ```js
   * const [first] = cluster.servers;
   * first.running; // => true
   * ```
   */
  readonly servers: Server[];

  /**
   * The TCP addresses of the servers as `host:port`. A killed one comes back at its own.
   *
   * @throws {ClosedError} if the cluster was not started.
   * @example
   * ```js
   * cluster.addresses[0] === cluster.servers[0].address; // => true
   * ```
   */
  readonly addresses: string[];

  /**
   * The proxy, with its own faults, statistics and events.
   *
   * @throws {ClosedError} if the cluster has no proxy, or was not started.
   * @example
   * ```js
   * const proxied = await Cluster.start(3, { proxy: true });
   * proxied.proxy.running; // => true
   * await proxied.close();
   * ```
   */
  readonly proxy: Server;

  /**
   * The address of the proxy as `host:port`, which clients of the cluster connect to.
   *
   * @throws {ClosedError} if the cluster has no proxy, or is not running.
   * @example
   * ```js
   * const proxied = await Cluster.start(3, { proxy: true });
   * proxied.address === proxied.proxy.address; // => true
   * await proxied.close();
   * ```
   */
  readonly address: string;

  /**
   * The clock of all servers and of the proxy.
   *
   * @example
   * ```js
   * const [server] = cluster.servers;
   * server.cache.set('session', 'Ada', 60);
   * cluster.clock.advance(60);
   * server.cache.has('session'); // => false
   * ```
   */
  readonly clock: ClusterClock;

  /**
   * The number of servers.
   *
   * @example
   * ```js
   * cluster.length; // => 2
   * ```
   */
  readonly length: number;

  /**
   * Iterates over the servers.
   *
   * @returns An iterator of servers.
   * @example
   * ```js
   * for (const server of cluster) server.faults.drop({ command: 'get', times: 1 });
   * ```
   */
  [Symbol.iterator](): IterableIterator<Server>;
}

/**
 * Options of each server of a {@link Cluster}.
 *
 * With `unixSocket` a `host` is needed, too, because nodes announce TCP addresses.
 *
 * @example
 * ```js
 * const cluster = await Cluster.start(2, { memoryLimit: 16 << 20 });
 * await cluster.close();
 * ```
 */
export interface ClusterOptions extends Omit<ServerOptions, 'cache' | 'name' | 'port' | 'proxy'> {
  /**
   * Puts a proxy before the servers. The options `tls`, `users` and `auth` are then those of the
   * proxy. So are `rights` and `rights_file` in `settings`. The proxy also has `sample_rate`,
   * and those of `settings` that are not about the cache. The default is `false`.
   *
   * `true` leads each key to one server, by ketama. A text is the first part of a configuration of
   * a proxy, in TOML, with a `route` of its own. The name of a file that ends in `.toml` stands for
   * its text. It has two pools beside its own: `nodes` are the servers, and `next` leads each key
   * to the server after that of `nodes`.
   */
  proxy?: boolean | string;
}

/**
 * The clock of a {@link Cluster}: of all its servers and its proxy.
 *
 * @example
 * ```js
 * const cluster = await Cluster.start(2);
 * cluster.clock.freeze();
 * await cluster.close();
 * ```
 */
export class ClusterClock implements Disposable {
  private constructor();

  /**
   * Stops the clock, also of a server that {@link Cluster.revive} starts later.
   *
   * @returns This clock.
   * @throws {ClosedError} if no server is running.
   * @example
   * ```js
   * cluster.clock.freeze().time() === cluster.servers[1].clock.time(); // => true
   * ```
   */
  freeze(): this;

  /**
   * Lets the clock run again, from the time it shows.
   *
   * @throws {ClosedError} if no server is running.
   * @example
   * ```js
   * cluster.clock.freeze().resume();
   * ```
   */
  resume(): void;

  /**
   * Sets the clock to the time of the machine and lets it run.
   *
   * @throws {ClosedError} if no server is running.
   * @example
   * ```js
   * cluster.clock.reset();
   * ```
   */
  reset(): void;

  /**
   * Moves the clock forwards, or backwards if `seconds` is negative.
   *
   * @param seconds - A whole number of seconds.
   * @throws {ConfigError} if `seconds` is not whole, or the clock cannot show that time.
   * @throws {TypeError} (`ERR_INVALID_ARG_TYPE`) if `seconds` is not a number.
   * @throws {ClosedError} if no server is running.
   * @example
   * ```js
   * cluster.clock.advance(60);
   * ```
   */
  advance(seconds: number): void;

  /**
   * Returns the time that the clock shows.
   *
   * @returns A Unix time in seconds.
   * @throws {ClosedError} if no server is running.
   * @example
   * ```js
   * cluster.clock.time() > 1_700_000_000; // => true
   * ```
   */
  time(): number;

  /**
   * Lets the clock run again, at the end of a `using` block.
   *
   * @example
   * ```js
   * cluster.clock[Symbol.dispose]();
   * ```
   */
  [Symbol.dispose](): void;
}

/**
 * The base class of the errors of this package.
 *
 * Its own code is `ERR_MEMCACHE_INTERNAL`. `instanceof` is true for errors of any copy of the
 * package, such as the copies that Jest loads for each test file. The same holds for the other
 * classes.
 *
 * @example
 * ```js
 * try {
 *   cache.get('');
 * } catch (error) {
 *   [error instanceof MemcacheError, error.code]; // => [true, 'ERR_MEMCACHE_INVALID_KEY']
 * }
 * ```
 */
export class MemcacheError extends Error {
  /**
   * Creates an error. Programs need it only in tests.
   *
   * @param message - The message.
   * @param options - The cause.
   * @example
   * ```js
   * new MemcacheError('text').code; // => 'ERR_MEMCACHE_INTERNAL'
   * ```
   */
  constructor(message?: string, options?: ErrorOptions);

  /**
   * The code of the class.
   *
   * @example
   * ```js
   * new ClosedError().code; // => 'ERR_MEMCACHE_CLOSED'
   * ```
   */
  readonly code: string;
}

/**
 * A key does not have 1 to 250 bytes (`ERR_MEMCACHE_INVALID_KEY`).
 *
 * @example
 * ```js
 * assert.throws(() => cache.get(''), InvalidKeyError);
 * ```
 */
export class InvalidKeyError extends MemcacheError {}

/**
 * A TTL is negative, over 100 years, or not a time (`ERR_MEMCACHE_INVALID_TTL`).
 *
 * @example
 * ```js
 * assert.throws(() => cache.set('user:1', 'Ada', -1), InvalidTTLError);
 * ```
 */
export class InvalidTTLError extends MemcacheError {}

/**
 * A value is larger than `itemSizeMax`, or than a string can be (`ERR_MEMCACHE_VALUE_TOO_LARGE`).
 *
 * @example
 * ```js
 * assert.throws(() => cache.set('file', Buffer.alloc(2 << 20)), ValueTooLargeError);
 * ```
 */
export class ValueTooLargeError extends MemcacheError {}

/**
 * The stored value is not a decimal number of 64 bits (`ERR_MEMCACHE_NOT_A_NUMBER`).
 *
 * @example
 * ```js
 * cache.set('visits', 'many');
 * assert.throws(() => cache.incr('visits'), NotANumberError);
 * ```
 */
export class NotANumberError extends MemcacheError {}

/**
 * The cache is full and evictions are off (`ERR_MEMCACHE_OUT_OF_MEMORY`).
 *
 * @example
 * ```js
 * const cache = new Cache({ memoryLimit: 2 << 20, evictions: false });
 * const fill = () => {
 *   for (let n = 0; ; n += 1) cache.set(`key${n}`, Buffer.alloc(1000));
 * };
 * assert.throws(fill, OutOfMemoryError);
 * ```
 */
export class OutOfMemoryError extends MemcacheError {}

/**
 * An option or a setting is invalid (`ERR_MEMCACHE_CONFIG`).
 *
 * @example
 * ```js
 * assert.throws(() => new Cache({ memoryLimit: -1 }), ConfigError);
 * ```
 */
export class ConfigError extends MemcacheError {}

/**
 * The system refuses a server or a cache (`ERR_MEMCACHE_START`).
 *
 * @example
 * ```js
 * const error = await Server.start({ port: server.port }).catch((error) => error);
 * [error instanceof StartError, error.system]; // => [true, 'EADDRINUSE']
 * ```
 */
export class StartError extends MemcacheError {
  /**
   * The system's error number, negative as in Node.
   *
   * @example
   * ```js
   * const error = await Server.start({ port: server.port }).catch((error) => error);
   * error.errno; // => -98
   * ```
   */
  readonly errno?: number;

  /**
   * The name of the system's error, such as `EADDRINUSE`.
   *
   * @example
   * ```js
   * const error = await Server.start({ unixSocket: '/nowhere/socket' }).catch((error) => error);
   * error.system; // => 'ENOENT'
   * ```
   */
  readonly system?: string;
}

/**
 * A closed cache, or a server that is not running, was used (`ERR_MEMCACHE_CLOSED`).
 *
 * @example
 * ```js
 * cache.close();
 * assert.throws(() => cache.get('user:1'), ClosedError);
 * ```
 */
export class ClosedError extends MemcacheError {}

/**
 * The system refuses an operation on a file (`ERR_MEMCACHE_FILE`).
 *
 * @example
 * ```js
 * await assert.rejects(cache.load('/nowhere/file'), FileError);
 * ```
 */
export class FileError extends MemcacheError {
  /**
   * The system's error number, negative as in Node.
   *
   * @example
   * ```js
   * const error = await cache.load('/nowhere/file').catch((error) => error);
   * error.errno; // => -2
   * ```
   */
  readonly errno?: number;

  /**
   * The name of the system's error, such as `ENOSPC`.
   *
   * @example
   * ```js
   * const error = await cache.load('/nowhere/file').catch((error) => error);
   * error.system; // => 'ENOENT'
   * ```
   */
  readonly system?: string;

  /**
   * The path of the file.
   *
   * @example
   * ```js
   * const error = await cache.save('/nowhere/file').catch((error) => error);
   * error.path; // => '/nowhere/file.tmp'
   * ```
   */
  readonly path?: string;
}

/**
 * A file is not a snapshot that this version reads (`ERR_MEMCACHE_BAD_SNAPSHOT`).
 *
 * With the option `strict`, damage is this error, too.
 *
 * @example
 * ```js
 * await assert.rejects(cache.load(Buffer.from('text')), BadSnapshotError);
 * ```
 */
export class BadSnapshotError extends MemcacheError {}

/**
 * Another save is under way, or a flush interrupted the save (`ERR_MEMCACHE_BUSY`).
 *
 * @example
 * ```js
 * cache.set('key', 'value');
 * const path = join(tmpdir(), 'busy.mcrs');
 * const saves = Array.from({ length: 9 }, () => cache.save(path).catch((error) => error));
 * const errors = (await Promise.all(saves)).filter((one) => one instanceof Error);
 * errors.every((error) => error instanceof BusyError); // => true
 * ```
 */
export class BusyError extends MemcacheError {}

/**
 * `progress` returned `false`, which ended a save or a load (`ERR_MEMCACHE_CANCELLED`).
 *
 * @example
 * ```js
 * cache.set('key', 'value');
 * const saving = cache.saveToBuffer({ rate: 1, progress: () => false });
 * await assert.rejects(saving, CancelledError);
 * ```
 */
export class CancelledError extends MemcacheError {}
