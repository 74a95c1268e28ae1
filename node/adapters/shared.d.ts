import type { Cache, CacheOptions } from '../index.js';

/** The settings of a new cache, which goes with the adapter, or a cache that is there. */
export interface AdapterOptions extends CacheOptions {
  /** One that is there, such as a server's; it keeps its settings, and its owner closes it. */
  cache?: Cache;
}
