import type { Writable } from 'node:stream';
import type { cacheStores } from 'undici';
import type { Cache } from '../index.js';
import type { AdapterOptions } from './shared.js';

/**
 * Options of {@link MemcacheCacheStore}.
 *
 * @example
 * ```js
 * new MemcacheCacheStore({ cache, prefix: 'api:' });
 * ```
 */
export type CacheStoreOptions = AdapterOptions & {
  /** The prefix of the keys. The default is `http:`. */
  prefix?: string;
};

/**
 * A store for the cache interceptor of undici.
 *
 * undici decides by the headers of requests and responses what it stores, reuses and revalidates. A
 * response that is larger than `itemSizeMax`, with its headers, is not kept.
 *
 * @example
 * ```js
 * const store = new MemcacheCacheStore({ memoryLimit: 64 << 20 });
 * setGlobalDispatcher(getGlobalDispatcher().compose(interceptors.cache({ store })));
 * ```
 */
export class MemcacheCacheStore {
  /**
   * Creates a store.
   *
   * @param options - Options of a new cache, or `cache`, with `prefix`.
   * @throws {ConfigError} if an option is invalid.
   * @throws {StartError} if the system refuses the memory or the thread of the cache.
   * @throws {ClosedError} if `cache` is closed.
   * @example
   * ```js
   * const store = new MemcacheCacheStore({ name: 'responses' });
   * store.cache.size; // => 0
   * ```
   */
  constructor(options?: CacheStoreOptions);

  /**
   * The cache that keeps the responses.
   *
   * @example
   * ```js
   * new MemcacheCacheStore({ cache }).cache === cache; // => true
   * ```
   */
  readonly cache: Cache;

  /**
   * Returns the response to a request, if there is one that has not ended.
   *
   * @param request - Method, origin, path and headers. The names of headers are in lower case.
   * @returns The response with its body, or `undefined`.
   * @throws {ClosedError} if the cache is closed.
   * @example
   * ```js
   * const store = new MemcacheCacheStore();
   * store.get({ method: 'GET', origin: 'https://example.com', path: '/' }); // => undefined
   * ```
   */
  get(
    request: CacheRequest,
  ): Exclude<ReturnType<InstanceType<typeof cacheStores.MemoryCacheStore>['get']>, Promise<unknown>>;

  /**
   * Stores the response to a request.
   *
   * @param request - Method, origin, path and headers.
   * @param response - The response without its body.
   * @returns A stream that takes the body. At its end it stores the response. If the response is
   * too large, the stream is destroyed and stores nothing. A closed cache stores nothing, either.
   * @example
   * ```js
   * const store = new MemcacheCacheStore();
   * const request = { method: 'GET', origin: 'https://example.com', path: '/' };
   * const now = Date.now();
   * const times = { cachedAt: now, staleAt: now + 60_000, deleteAt: now + 120_000 };
   * const response = { statusCode: 200, statusMessage: 'OK', headers: {}, ...times };
   * const stream = store.createWriteStream(request, response).end('hello');
   * stream.on('finish', () => console.assert(store.get(request)?.statusCode === 200));
   * ```
   */
  createWriteStream(request: CacheRequest, response: CacheResponse): Writable;

  /**
   * Removes all responses to a method and a URL.
   *
   * @param request - Method, origin and path.
   * @example
   * ```js
   * const store = new MemcacheCacheStore();
   * store.delete({ method: 'GET', origin: 'https://example.com', path: '/' });
   * ```
   */
  delete(request: CacheRequest): void;

  /**
   * Closes the cache, unless it was passed as `cache`.
   *
   * @example
   * ```js
   * const store = new MemcacheCacheStore();
   * store.close();
   * store.cache.closed; // => true
   * ```
   */
  close(): void;
}

/**
 * A request, as undici passes it to a store.
 *
 * @example
 * ```js
 * const headers = { accept: 'text/html' };
 * const request = { method: 'GET', origin: 'https://example.com', path: '/', headers };
 * new MemcacheCacheStore().get(request); // => undefined
 * ```
 */
export type CacheRequest = Parameters<InstanceType<typeof cacheStores.MemoryCacheStore>['get']>[0];

/**
 * A response without its body, as undici passes it to a store. Times are in milliseconds.
 *
 * @example
 * ```js
 * const now = Date.now();
 * const times = { cachedAt: now, staleAt: now + 60_000, deleteAt: now + 120_000 };
 * const response = { statusCode: 200, statusMessage: 'OK', headers: { etag: '"1"' }, ...times };
 * const request = { method: 'GET', origin: 'https://example.com', path: '/' };
 * new MemcacheCacheStore().createWriteStream(request, response).end('hello');
 * ```
 */
export type CacheResponse = Parameters<InstanceType<typeof cacheStores.MemoryCacheStore>['createWriteStream']>[1];
