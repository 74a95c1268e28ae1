import { TestEnvironment as NodeEnvironment } from 'jest-environment-node';
import type { Cluster, ClusterOptions, Server } from '../index.js';

/**
 * Jest's environment for Node, with a memcached for each test file, whose address is in MEMCACHED, in the environment. What
 * `memcache` throws are errors of the test: `toThrow(Error)` and `toThrow(InvalidKeyError)` match them.
 */
declare class TestEnvironment extends NodeEnvironment {}

declare namespace TestEnvironment {
  export { TestEnvironment };

  // biome-ignore lint/suspicious/noExplicitAny: what TypeScript calls a class of which another is made
  type Environment = new (...args: any[]) => { setup(): Promise<void>; teardown(): Promise<void> };
  /** Gives another environment the same. */
  export function withMemcache<Kind extends Environment>(environment: Kind): Kind;
}

export = TestEnvironment;

declare global {
  /** The server of this test file: for each test empty, without faults, its time as it is. */
  var memcache: Server;
  /** Starts several servers, 3 if nothing is said, which end with the test. */
  function memcacheCluster(size?: number, options?: ClusterOptions): Promise<Cluster>;
}
