import { TestEnvironment as NodeEnvironment } from 'jest-environment-node';
import type { Cluster, ClusterOptions, Server } from '../index.js';

/**
 * Jest's environment for Node, with a server for each test file.
 *
 * The address is in the environment variable `MEMCACHED`. `testEnvironmentOptions.memcache` are
 * options of the server. Errors of `memcache` match `toThrow(Error)` and
 * `toThrow(InvalidKeyError)`.
 *
 * @example
 * ```js
 * // jest.config.js
 * module.exports = { testEnvironment: 'memcache-rs/jest' };
 * ```
 */
declare class TestEnvironment extends NodeEnvironment {}

declare namespace TestEnvironment {
  export { TestEnvironment };

  /**
   * The constructor of an environment.
   *
   * @example
   * ```js
   * const { TestEnvironment, withMemcache } = await import('memcache-rs/jest');
   * withMemcache(TestEnvironment);
   * ```
   */
  // biome-ignore lint/suspicious/noExplicitAny: TypeScript requires it of a base class of a mixin
  type Environment = new (...args: any[]) => { setup(): Promise<void>; teardown(): Promise<void> };

  /**
   * Adds a server to another environment.
   *
   * @param environment - The class of the environment.
   * @returns A class derived from it, in which `memcache` and `memcacheCluster` are global.
   * @example
   * ```js
   * // environment.js
   * const { TestEnvironment } = require('jest-environment-node');
   * const { withMemcache } = require('memcache-rs/jest');
   * module.exports = withMemcache(TestEnvironment);
   * ```
   */
  export function withMemcache<Kind extends Environment>(environment: Kind): Kind;
}

export = TestEnvironment;

declare global {
  /**
   * The server of this test file.
   *
   * For each test it is running and empty, without faults, and on the time of the machine.
   *
   * @example
   * ```js
   * memcache.cache.set('session', 'Ada', 1800);
   * memcache.clock.freeze().advance(1800);
   * ```
   */
  var memcache: Server;

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
   * const cluster = await memcacheCluster(2);
   * await cluster.kill(1);
   * ```
   */
  function memcacheCluster(size?: number, options?: ClusterOptions): Promise<Cluster>;
}
