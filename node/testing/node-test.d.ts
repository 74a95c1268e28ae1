import type { SuiteContext, TestContext } from 'node:test';
import type { Cache, Cluster, ClusterOptions, Server, ServerOptions } from '../index.js';

/**
 * The context of a test, or of `beforeEach`.
 *
 * Node's types say that `beforeEach` may get the context of a suite. It does not, and such a
 * context is refused.
 *
 * @example
 * ```js
 * import { test } from 'node:test';
 * import { memcache } from 'memcache-rs/node-test';
 *
 * test('expiry', async (t) => {
 *   const server = await memcache(t);
 * });
 * ```
 */
type Context = TestContext | SuiteContext;

/**
 * Starts a server that ends with the test.
 *
 * A test that fails shows the last commands that the server received.
 *
 * @param t - The context of the test, or of `beforeEach`.
 * @param options - Options of the server.
 * @returns A promise of the server. It may be rejected with:
 * @throws {TypeError} (`ERR_INVALID_ARG_TYPE`) if `t` is not the context of a test.
 * @throws {ConfigError} if an option is invalid.
 * @throws {StartError} if the system refuses the server.
 * @example
 * ```js
 * import { test } from 'node:test';
 * import { memcache } from 'memcache-rs/node-test';
 *
 * test('expiry', async (t) => {
 *   const server = await memcache(t);
 *   server.cache.set('session', 'Ada', 1800);
 *   server.clock.freeze().advance(1800);
 *   assert.equal(server.cache.has('session'), false);
 * });
 * ```
 */
export function memcache(t: Context, options?: ServerOptions): Promise<Server>;

/**
 * Starts a cluster that ends with the test.
 *
 * A test that fails shows the last commands that each server received.
 *
 * @param t - The context of the test, or of `beforeEach`.
 * @param size - The number of servers. The default is 3.
 * @param options - Options of each server.
 * @returns A promise of the cluster. It may be rejected with:
 * @throws {TypeError} (`ERR_INVALID_ARG_TYPE`) if `t` is not the context of a test.
 * @throws {ConfigError} if an option is invalid.
 * @throws {StartError} if the system refuses a server.
 * @example
 * ```js
 * import { test } from 'node:test';
 * import { memcacheCluster } from 'memcache-rs/node-test';
 *
 * test('a node fails', async (t) => {
 *   const cluster = await memcacheCluster(t, 2);
 *   await cluster.kill(1);
 * });
 * ```
 */
export function memcacheCluster(t: Context, size?: number, options?: ClusterOptions): Promise<Cluster>;

/**
 * Fills a cache from a snapshot, for one test.
 *
 * Items have the TTL that they had left at the save, however old the snapshot is.
 *
 * @param t - The context of the test, or of `beforeEach`.
 * @param source - What {@link Cache.load} takes: a path, a `file:` URL, bytes or a stream.
 * @param into - A cache or a server to fill. Its items stay, unless the snapshot has their keys.
 * The default is a new cache, which is closed after the test.
 * @returns A promise of the cache. It may be rejected with:
 * @throws {TypeError} (`ERR_INVALID_ARG_TYPE`) if `t` is not the context of a test, or `source` has
 * the wrong type.
 * @throws {BadSnapshotError} if the snapshot is damaged, or is none.
 * @throws {FileError} if the file cannot be read.
 * @throws {OutOfMemoryError} if some items do not fit in the cache.
 * @example
 * ```js
 * import { test } from 'node:test';
 * import { memcache, warmCache } from 'memcache-rs/node-test';
 *
 * test('a report', async (t) => {
 *   const server = await memcache(t);
 *   await warmCache(t, new URL('reports.mcrs', import.meta.url), server);
 *   assert.equal(server.cache.has('report:1815'), true);
 * });
 * ```
 */
export function warmCache(t: Context, source: Parameters<Cache['load']>[0], into?: Cache | Server): Promise<Cache>;
