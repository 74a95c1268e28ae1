import type { Cluster, ClusterOptions, Server, ServerOptions } from '../index.mjs';

/**
 * The server of this worker: for each test empty, without faults, its time as it is. Its address is in MEMCACHED, in the
 * environment.
 */
export const memcache: Server;
/** Starts several servers, 3 if nothing is said, which end with the test. */
export function memcacheCluster(size?: number, options?: ClusterOptions): Promise<Cluster>;

declare module 'vitest' {
  interface ProvidedContext {
    /** Settings of that server. */
    memcache: ServerOptions;
    /** What `memcache-rs/global-setup` provides: host:port, or the path of a Unix socket. */
    memcached: string;
  }
}
