import type { Keyv } from 'keyv';
import type { StoreOptions } from './cache-manager.js';

export type { StoreOptions };

// Declared again, because a class with private fields, such as Keyv, has one type for each module
// system.

/**
 * Creates a store for cache-manager 6 or later.
 *
 * A value that does not fit into the cache is not an error: `set` and `wrap` of cache-manager
 * return it, and it is not kept.
 *
 * @param options - Options of a new cache, or `cache`, with `namespace` and `ttl`.
 * @returns A Keyv, of the version that cache-manager loads.
 * @throws {ConfigError} if an option is invalid.
 * @throws {StartError} if the system refuses the memory or the thread of the cache.
 * @example
 * ```js
 * const cache = createCache({ stores: [memcacheStore({ name: 'pages' })] });
 * const page = await cache.wrap('page:1', async () => '<h1>Slow to make</h1>', 60_000);
 * page; // => '<h1>Slow to make</h1>'
 * ```
 */
export function memcacheStore(options?: StoreOptions): Keyv;
