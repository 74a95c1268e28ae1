import type { Keyv } from 'keyv';
import type { AdapterOptions } from './shared.js';

export type StoreOptions = AdapterOptions & {
  /** What the store's keys begin with, and what alone `clear` removes: keyv. */
  namespace?: string;
  /** Milliseconds that a value lives if nothing else is said. */
  ttl?: number;
};

/**
 * Makes a store for cache-manager, 6 or later.
 *
 * A value that does not fit into the cache is no error: `set` and `wrap` of cache-manager give the value, and it is not kept.
 *
 * @param options Options of a new cache, or `cache`, with `namespace` and `ttl`.
 * @returns A Keyv of the version that cache-manager has.
 * @throws {ConfigError} If the options cannot work.
 * @example
 * ```js
 * const cache = createCache({ stores: [memcacheStore({ name: 'pages' })] });
 * const page = await cache.wrap('page:1', () => render(1), 60_000);
 * ```
 */
export function memcacheStore(options?: StoreOptions): Keyv;
