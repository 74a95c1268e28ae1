/// <reference types="node" />

/** The version of memcached whose behaviour this is. */
export const MEMCACHED_VERSION: string;
/** The version of this package. */
export const VERSION: string;

/** A key, of 1 to 250 bytes, or a value: a string, as UTF-8, or bytes. */
export type Octets = string | Uint8Array;
/**
 * How long an item lives: seconds, of which a part counts as a whole one (0 is over at once), or the moment. Nothing is for
 * ever.
 */
export type Ttl = number | Date | null | undefined;

export interface StoreOptions {
  ttl?: Ttl;
  /** Client flags, 32 bits, which other clients see. */
  flags?: number;
}

export interface CountOptions {
  /** What is stored where there is nothing to count. */
  initial?: number | bigint;
  /** How long that lives. */
  ttl?: Ttl;
}

export interface FlightOptions {
  ttl?: Ttl;
  /**
   * For so many seconds after its ttl the old value is given to all but the one caller that makes the new one, so that
   * nobody waits.
   */
  staleFor?: number;
}

export interface CacheOptions {
  /**
   * The cache of this name in this process, whatever thread made it; a new one if there is none. Without a name the cache
   * is this object's own.
   */
  name?: string;
  /** Bytes that hold items and what finds them: 64 MiB. */
  memoryLimit?: number;
  /** Bytes that an item takes at most: 1 MiB. Rounded up, to a whole 512 KiB, or below that to a power of two, 1024 at least. */
  itemSizeMax?: number;
  /** Whether items go to make room, those that are used least (true); else a store throws an OutOfMemoryError. */
  evictions?: boolean;
}

/** An item as it was when it was read. */
export interface Item {
  value: Buffer;
  flags: number;
  /** Changes with each store. */
  cas: bigint;
  /** Seconds until it expires. */
  ttl: number | undefined;
  /** Seconds since it was last used. */
  idle: number;
  /** Whether it was read before. */
  fetched: boolean;
  /** Whether it was invalidated and not stored again yet. */
  stale: boolean;
}

/** Statistics, by memcached's names. */
export type Stats = Record<string, number | bigint | string>;

/**
 * A cache in this process: strings or bytes in, Buffers out, with what memcached does. Where there is nothing, the answer is
 * undefined. All methods are synchronous, but for `getOrSet`.
 */
export class Cache implements Iterable<[Buffer, Buffer]> {
  constructor(options?: CacheOptions);

  get(key: Octets): Buffer | undefined;
  /** The value as a string of UTF-8. One longer than any string is a ValueTooLargeError. */
  getString(key: Octets): string | undefined;
  /**
   * Copies the value into a buffer and gives its length, or -1 where there is none. Of a value that is longer than the buffer
   * the first bytes are copied. Where another thread removes the value at that moment, the buffer may have been written to.
   */
  getInto(key: Octets, buffer: Uint8Array): number;
  /** The value, with its CAS for `cas`. */
  gets(key: Octets): { value: Buffer; cas: bigint } | undefined;
  /** The value and all else that is known. */
  getItem(key: Octets): Item | undefined;
  /** The value, which gets a new time to live. */
  getAndTouch(key: Octets, ttl?: Ttl): Buffer | undefined;
  /**
   * The values of those of `keys` that are there. They share memory, which is there as long as one of them is, and cannot be
   * transferred to another thread.
   */
  getMany<K extends Octets>(keys: Iterable<K>): Map<K, Buffer>;
  has(key: Octets): boolean;

  set(key: Octets, value: Octets, options?: Ttl | StoreOptions): void;
  setMany(
    values: Iterable<readonly [Octets, Octets]> | Readonly<Record<string, Octets>>,
    options?: Ttl | StoreOptions,
  ): void;
  /** Stores if there is nothing; whether it did. */
  add(key: Octets, value: Octets, options?: Ttl | StoreOptions): boolean;
  /** Stores if there is something; whether it did. */
  replace(key: Octets, value: Octets, options?: Ttl | StoreOptions): boolean;
  /** Puts bytes behind the value; false if there is none, or if it would be larger than `itemSizeMax` allows. */
  append(key: Octets, value: Octets): boolean;
  /** Puts bytes before the value; false if there is none, or if it would be larger than `itemSizeMax` allows. */
  prepend(key: Octets, value: Octets): boolean;
  /** Stores if the item's CAS is still this one, which `gets` gave; undefined if there is no item. */
  cas(key: Octets, value: Octets, cas: bigint, options?: Ttl | StoreOptions): boolean | undefined;
  /** Adds to a number and gives the sum: beyond 2^53 a bigint. It wraps at 2^64. */
  incr(
    key: Octets,
    delta: number | bigint | undefined,
    options: CountOptions & { initial: number | bigint },
  ): number | bigint;
  incr(key: Octets, delta?: number | bigint, options?: CountOptions): number | bigint | undefined;
  /** Takes from a number and gives the difference, 0 at least. */
  decr(
    key: Octets,
    delta: number | bigint | undefined,
    options: CountOptions & { initial: number | bigint },
  ): number | bigint;
  decr(key: Octets, delta?: number | bigint, options?: CountOptions): number | bigint | undefined;
  /** Gives the item a new time to live; false if there is none. */
  touch(key: Octets, ttl?: Ttl): boolean;
  /** Removes the item; false if there was none. */
  delete(key: Octets): boolean;
  /** Removes items and gives how many there were. */
  deleteMany(keys: Iterable<Octets>): number;
  /** Marks the item stale: it is still there, and one caller of `getOrSet` makes it anew. False if there is none. */
  invalidate(key: Octets, ttl?: Ttl): boolean;
  /** Removes everything. */
  flush(): void;

  /**
   * Returns the value of a key, or makes and stores it if there is none.
   *
   * However many callers ask at once, in however many threads, one of them calls `make` and the others wait for its value. If
   * `make` throws, its caller gets the error and the next caller tries. The same holds if the thread of the caller ends, also
   * while it makes a value anew that others still get. `make` must not wait for the value of the same key.
   *
   * A value that cannot be stored is not lost: all callers get it, and it is not kept. This holds for a value that is larger
   * than `itemSizeMax`, for a cache without evictions whose memory is used up, and for a cache that is closed meanwhile.
   *
   * @param key The key, of 1 to 250 bytes.
   * @param make Returns the value, or a promise of it.
   * @param options How long the value lives, or an object with `ttl` and `staleFor`.
   * @returns A promise of the value, as a Buffer that belongs to the caller.
   * @throws {InvalidKeyError} If the key is empty or too long. This error and those below reject the promise.
   * @throws {InvalidTTLError} If `ttl` or `staleFor` is no time to live. `make` is not called then.
   * @throws {TypeError} If an argument is of the wrong kind, or `make` returns neither a string nor bytes.
   * @throws {ClosedError} If the cache is closed already.
   * @throws The error of `make`.
   * @example
   * ```js
   * const page = await cache.getOrSet('page:1', async () => render(1), { ttl: 60, staleFor: 30 });
   * ```
   */
  getOrSet(key: Octets, make: () => Octets | PromiseLike<Octets>, options?: Ttl | FlightOptions): Promise<Buffer>;

  /** How many items there are. */
  readonly size: number;
  keys(): IterableIterator<Buffer>;
  values(): IterableIterator<Buffer>;
  entries(): IterableIterator<[Buffer, Buffer]>;
  [Symbol.iterator](): IterableIterator<[Buffer, Buffer]>;
  /** Of a group: '', 'items', 'slabs', 'sizes', 'settings' or 'conns'. */
  stats(group?: string): Stats;
  readonly clock: Clock;
  readonly name: string | undefined;
  /** Ends the use of this object. A cache without a name is gone then, and one with a name once nobody has it. */
  close(): void;
  readonly closed: boolean;
  [Symbol.dispose](): void;
}

/** The time of a cache: whole seconds, which a test stops and moves. */
export class Clock {
  private constructor();
  /** Stops time. */
  freeze(): this;
  /** Lets time run again from where it stands; so does the end of `using`. */
  resume(): void;
  /**
   * Sets time to the time of this machine, whatever `Date` says, and lets it run.
   *
   * @throws {ClosedError} If the cache is closed.
   * @example
   * server.clock.reset();
   */
  reset(): void;
  /**
   * Moves time by whole seconds, backwards if negative.
   *
   * @throws {ConfigError} If the clock would be 34 years before the cache was made, or 102 years after.
   */
  advance(seconds: number): void;
  /** Now, as a Unix time. */
  time(): number;
  [Symbol.dispose](): void;
}

/** When something goes wrong; all conditions given must hold. */
export interface FaultConditions {
  /** A command's name on the wire: get, set, mg. */
  command?: string;
  /** A pattern of keys, in which * stands for anything. */
  key?: Octets;
  /** At most so many times. */
  times?: number;
  /** From 0 to 1. */
  probability?: number;
}

/** A fault that is injected until it is removed, which the end of `using` does. */
export class FaultRule {
  private constructor();
  /** Takes the fault away and gives how often it was met. */
  remove(): number;
  [Symbol.dispose](): void;
}

/** What goes wrong for the clients of a server. */
export class Faults {
  private constructor();
  /** Commands wait so many seconds first. */
  delay(seconds: number, when?: FaultConditions): FaultRule;
  /** The connection is closed instead. */
  drop(when?: FaultConditions): FaultRule;
  /** Commands answer SERVER_ERROR with this text (injected) and do nothing. */
  error(message: string, when?: FaultConditions): FaultRule;
  error(when?: FaultConditions): FaultRule;
  /** Reads find nothing. */
  miss(when?: FaultConditions): FaultRule;
  /** Replies end after so many bytes, and the connection with them. */
  truncate(after: number, when?: FaultConditions): FaultRule;
  /** Takes all faults away. */
  clear(): void;
}

export type EventKind = 'fetchers' | 'mutations' | 'deletions' | 'evictions' | 'connevents';

/** Something that happened in a server. */
export interface Event {
  /** item_get, item_store, deleted, eviction, conn_new, …, by memcached's names; skipped where some were lost. */
  type: string;
  /** Unix time. */
  time: number;
  key: Buffer | undefined;
  /** Everything that memcached's log line says. */
  fields: Record<string, string>;
}

/**
 * The events of a server, as they happen. It ends when it or the server is closed. Waiting for an event does not keep the
 * process alive.
 */
export class Watch implements AsyncIterableIterator<Event> {
  private constructor();
  next(): Promise<IteratorResult<Event, undefined>>;
  return(): Promise<IteratorResult<Event, undefined>>;
  /** Ends it. Events that were received can still be read. */
  close(): void;
  [Symbol.asyncIterator](): this;
  [Symbol.dispose](): void;
  [Symbol.asyncDispose](): Promise<void>;
}

/** The files that TLS needs: PEM. Other names than these are refused. */
export interface Tls {
  /** The server's certificate and those above it. */
  certificate: string;
  /** Its private key. */
  key: string;
  /** Who signs the certificates of clients, and, for `tlsOptions`, that of the server. */
  ca?: string;
  /** Whether clients need a certificate. */
  verifyClients?: boolean;
  /** For clients that need one. */
  clientCertificate?: string;
  clientKey?: string;
}

export interface ServerOptions extends CacheOptions {
  /** 0, the default: one that is free. */
  port?: number;
  /** An IP address to listen at: 127.0.0.1. */
  host?: string;
  /**
   * A path to listen at in place of TCP, or true for a path in a new directory among the temporary files; with `host`, both. If a
   * signal ends the process, the file stays: a server takes the path over at its next start, and the next server that makes a
   * directory removes that of the ended process.
   */
  unixSocket?: boolean | string;
  /** The access mask of the socket's file: 0o700. */
  unixMask?: number;
  udp?: boolean;
  /**
   * Files, or 'test': certificates are made on the spot and stay in memory; 'test-mutual' has clients show one, too. It is spoken
   * over TCP.
   */
  tls?: 'test' | 'test-mutual' | Tls;
  /** Names with passwords, as a Map of any realm or as an object. */
  users?: Readonly<Record<string, string>> | ReadonlyMap<string, string>;
  /** How they are asked for: by SASL in the binary protocol (sasl), or in the text protocols. */
  auth?: 'sasl' | 'text';
  /** A cache to serve; else the server has one of its own, which goes with it. */
  cache?: Cache;
  /** Worker threads: 1. */
  threads?: number;
  /** 1024. */
  maxConnections?: number;
  /** Seconds after which an idle connection is closed; 0: never. */
  idleTimeout?: number;
  /** Whether clients may shut it down. */
  shutdownEnabled?: boolean;
  /** host:port, or host|ip|port, of the nodes that auto discovery tells of. */
  clusterNodes?: Iterable<string>;
  /** Whether `lastCommands` has anything. */
  recordCommands?: boolean;
}

export interface CloseOptions {
  /** Whether replies that are under way are finished first. */
  graceful?: boolean;
  /** For at most so many seconds: 5. Infinity is however long it takes. */
  timeout?: number;
}

/**
 * A memcached in this process, for any client. It has threads of its own and does not keep the process alive, unless `ref` is
 * called. It runs until it is closed, or its thread of JavaScript ends.
 */
export class Server implements AsyncDisposable {
  /** Starts one; resolves when it accepts connections. */
  static start(options?: ServerOptions): Promise<Server>;
  /** One that does not run yet. */
  constructor(options?: ServerOptions);
  /** Starts it: again at the same address, and empty, unless its cache was given. */
  start(): Promise<this>;
  /** Stops it; resolves when no thread, connection or socket file of it is left. After a TypeError or RangeError it runs on. */
  close(options?: CloseOptions): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
  readonly running: boolean;
  ref(): this;
  unref(): this;

  /** host:port, as clients want it. */
  readonly address: string;
  readonly host: string;
  readonly port: number;
  /** host:port for UDP, if it is spoken. */
  readonly udpAddress: string | undefined;
  /** The path of its Unix socket, if it has one. */
  readonly unixSocket: string | undefined;
  /** memcache://127.0.0.1:PORT, memcaches:// with TLS, or memcache:///path of a Unix socket. */
  readonly url: string;
  /**
   * The files of TLS, or undefined if it is not spoken.
   *
   * Certificates and keys of 'test' are in memory. The first read of this property writes them to a new directory among the
   * temporary files, which only this user can read. The directory goes with the server. If a signal ends the process, the next
   * server that makes a directory removes it. `tlsOptions` needs no files.
   *
   * @throws {ClosedError} If the server does not run.
   * @throws {StartError} If the files cannot be written.
   * @example
   * ```js
   * const server = await Server.start({ tls: 'test' });
   * spawn('client', ['--ca', server.tls.ca, server.address]);
   * ```
   */
  readonly tls: Tls | undefined;
  /**
   * Returns what `tls.connect` needs: it trusts this server, and shows a certificate if there is one. Test certificates are
   * read from memory.
   *
   * @returns Address and certificates, as PEM.
   * @throws {ClosedError} If the server does not run.
   * @throws {ConfigError} If the server does not speak TLS.
   * @example
   * ```js
   * const server = await Server.start({ tls: 'test' });
   * const socket = tls.connect({ ...server.tlsOptions(), servername: 'localhost' });
   * ```
   */
  tlsOptions(): { host: string; port: number; ca?: Buffer; cert?: Buffer; key?: Buffer };

  /** The items, without the socket. */
  readonly cache: Cache;
  readonly clock: Clock;
  readonly faults: Faults;
  /**
   * Waits until what clients of this machine have sent before this call is carried out: commands without replies, datagrams, and
   * connections that are not accepted yet. `cache`, `clock`, `faults`, `stats` and `watch` do this by themselves, unless the
   * server was given a `cache` that was there before. A client that does not read its replies, or that meets an injected delay,
   * is not waited for. What this process has not written to its socket yet is not sent.
   *
   * @param timeout for how many seconds at most; 1 if it is left out
   * @returns whether it is carried out
   * @throws {ClosedError} If the server does not run.
   * @example
   * ```js
   * server.settle();
   * ```
   */
  settle(timeout?: number): boolean;
  /** Of a group: '', 'items', 'slabs', 'sizes', 'settings' or 'conns'. */
  stats(group?: string): Stats;
  /** Events from now on: of all kinds, or of those named. */
  watch(...kinds: EventKind[]): Watch;
  /**
   * The last 200 commands that clients sent, with `recordCommands`; otherwise an empty list.
   *
   * A command of the text protocols is its line. One of the binary protocol begins with the word `binary`. Values and passwords
   * are not part of it, and a command of more than 2,048 bytes is cut.
   *
   * @throws {ClosedError} If the server does not run.
   * @example
   * ```js
   * server.lastCommands; // ['get user:1', 'binary set user:1 0 60 3']
   * ```
   */
  readonly lastCommands: string[];
  clearCommands(): void;
  /** Replaces the nodes that auto discovery tells of. */
  setClusterNodes(nodes: Iterable<string>): void;
}

/** Several servers, for clients that spread their keys; each tells of all of them (auto discovery). */
export class Cluster implements Iterable<Server>, AsyncDisposable {
  /** Starts a cluster of so many nodes: 3. */
  static start(size?: number, options?: ClusterOptions): Promise<Cluster>;
  constructor(size?: number, options?: ClusterOptions);
  /** Starts all nodes, or none. */
  start(): Promise<this>;
  /** Stops one node, as if it had died; the others tell of it no more. */
  stopNode(number: number): Promise<void>;
  /** Starts a node again, at its address, empty. */
  startNode(number: number): Promise<void>;
  /** Stops all nodes. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
  readonly servers: Server[];
  /** host:port of each node. */
  readonly addresses: string[];
  readonly length: number;
  [Symbol.iterator](): IterableIterator<Server>;
}

/** With `unixSocket` they need a `host`, too: nodes tell of addresses. */
export type ClusterOptions = Omit<ServerOptions, 'cache' | 'name' | 'port'>;

/**
 * What all errors of this package are; `code` tells which. `instanceof` is true for errors of any copy of this package, such as
 * those that Jest makes for each test file, and so it is for the other classes.
 */
export class MemcacheError extends Error {
  constructor(message?: string, options?: ErrorOptions);
  readonly code: string;
}
/** A key is empty, or longer than 250 bytes. ERR_MEMCACHE_INVALID_KEY */
export class InvalidKeyError extends MemcacheError {}
/** A time to live is negative, longer than 100 years, or none at all. ERR_MEMCACHE_INVALID_TTL */
export class InvalidTTLError extends MemcacheError {}
/** A value is larger than `itemSizeMax` allows, or than any string. ERR_MEMCACHE_VALUE_TOO_LARGE */
export class ValueTooLargeError extends MemcacheError {}
/** What was to be counted is no decimal number. ERR_MEMCACHE_NOT_A_NUMBER */
export class NotANumberError extends MemcacheError {}
/** The memory limit is reached, and evictions are off. ERR_MEMCACHE_OUT_OF_MEMORY */
export class OutOfMemoryError extends MemcacheError {}
/** Settings that cannot work. ERR_MEMCACHE_CONFIG */
export class ConfigError extends MemcacheError {}
/** A server or a cache could not start, for example because the port is taken. ERR_MEMCACHE_START */
export class StartError extends MemcacheError {
  /** What the system said, negative as in Node. */
  readonly errno?: number;
  /** Its name, such as EADDRINUSE. */
  readonly system?: string;
}
/** A cache was used after it was closed, or a server while it does not run. ERR_MEMCACHE_CLOSED */
export class ClosedError extends MemcacheError {}
