import { type PrometheusContentType, Registry, type RegistryContentType } from 'prom-client';
import type { Cache, Server } from '../index.js';

/**
 * A registry for prom-client 15 with the metrics of a cache or a server.
 *
 * It reads them anew at each scrape. Merge it with other registries at each scrape as well, because
 * a merged registry keeps the values that it had when it was made. Metrics cannot be added to it.
 *
 * The names are those of Prometheus' memcached exporter, and further ones that begin with
 * `memcache_rs_`.
 *
 * @example
 * ```js
 * const registry = new MemcacheRegistry(server);
 * (await registry.metrics()).includes('memcached_current_items 0'); // => true
 * ```
 */
export class MemcacheRegistry<C extends RegistryContentType = PrometheusContentType> extends Registry<C> {
  /**
   * Creates a registry.
   *
   * @param source - The cache or the server.
   * @param contentType - The text form of `metrics()`. The default is Prometheus text.
   * @example
   * ```js
   * const all = Registry.merge([register, new MemcacheRegistry(cache)]);
   * ```
   */
  constructor(source: Cache | Server, contentType?: C);
}
