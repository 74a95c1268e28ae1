import type { Cache, CacheOptions } from '../index.js';

/**
 * Options of the cache of an adapter: those of a new cache, or `cache` alone.
 *
 * @example
 * ```js
 * new KeyvMemcache({ memoryLimit: 16 << 20 });
 * new KeyvMemcache({ cache });
 * ```
 */
export interface AdapterOptions extends CacheOptions {
  /**
   * An open cache, such as a server's, or a namespace of one. It keeps its settings. The adapter
   * does not close it.
   */
  cache?: Cache;
}
