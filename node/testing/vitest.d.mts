import type { Cluster, ClusterOptions, Server, ServerOptions } from '../index.mjs';

/**
 * The server of this worker.
 *
 * For each test it is running and empty, without faults, and on the time of the machine. Its
 * address is in the environment variable `MEMCACHED`. Options of the server are `provide: {
 * memcache }` in Vitest's configuration.
 *
 * @example
 * ```js
 * import { memcache } from 'memcache-rs/vitest';
 * import { expect, test } from 'vitest';
 *
 * test('expiry', () => {
 *   memcache.cache.set('session', 'Ada', 1800);
 *   memcache.clock.freeze().advance(1800);
 *   expect(memcache.cache.has('session')).toBe(false);
 * });
 * ```
 */
export const memcache: Server;

/**
 * Starts a cluster that ends with the test.
 *
 * @param size - The number of servers. The default is 3.
 * @param options - Options of each server.
 * @returns A promise of the cluster. It may be rejected with:
 * @throws {ConfigError} if an option is invalid.
 * @throws {StartError} if the system refuses a server.
 * @example
 * ```js
 * import { memcacheCluster } from 'memcache-rs/vitest';
 * import { test } from 'vitest';
 *
 * test('a node fails', async () => {
 *   const cluster = await memcacheCluster(2);
 *   await cluster.kill(1);
 * });
 * ```
 */
export function memcacheCluster(size?: number, options?: ClusterOptions): Promise<Cluster>;

declare module 'vitest' {
  /**
   * The values that `provide` and `inject` of Vitest exchange.
   *
   * @example
   * ```js
   * // vitest.config.js
   * import { defineConfig } from 'vitest/config';
   *
   * export default defineConfig({
   *   test: { setupFiles: ['memcache-rs/vitest'], provide: { memcache: { tls: 'test' } } },
   * });
   * ```
   */
  interface ProvidedContext {
    /** Options of the server of `memcache-rs/vitest` or `memcache-rs/global-setup`. */
    memcache: ServerOptions;
    /** The address of `memcache-rs/global-setup`: host:port, or the path of a Unix socket. */
    memcached: string;
  }
}
