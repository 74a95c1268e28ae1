import type { SuiteContext, TestContext } from 'node:test';
import type { Cluster, ClusterOptions, Server, ServerOptions } from '../index.js';

/** That of a test. Types say that `beforeEach` may give a suite's, which it does not, and which is refused. */
type Context = TestContext | SuiteContext;

/** Starts a server for a test, which ends with it. If the test fails, the last commands that the server saw are shown. */
export function memcache(t: Context, options?: ServerOptions): Promise<Server>;
/** Starts several servers, 3 if nothing is said, in the same way. */
export function memcacheCluster(t: Context, size?: number, options?: ClusterOptions): Promise<Cluster>;
