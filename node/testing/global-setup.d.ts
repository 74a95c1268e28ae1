/**
 * Starts one memcached for a whole run of Vitest or Jest: the `globalSetup` of either. The runner calls it.
 *
 * The address is in `MEMCACHED`, in the environment, and in Vitest in `inject('memcached')`. In Jest, a server that an earlier
 * call has started is stopped first, so that watch mode has one at any time; `memcache-rs/global-teardown` stops the last.
 *
 * @param project Vitest's project, or Jest's global configuration.
 * @param jestProject Jest's project configuration, whose `testEnvironmentOptions.memcache` are options of the server.
 * @returns A function that stops the server, which Vitest calls.
 * @throws {ConfigError} If the options cannot work. The promise is rejected.
 * @throws {StartError} If the system refuses the server. The promise is rejected.
 * @example
 * ```js
 * // jest.config.js
 * module.exports = { globalSetup: 'memcache-rs/global-setup', globalTeardown: 'memcache-rs/global-teardown' };
 * ```
 */
declare function setup(project: object, jestProject?: object): Promise<() => Promise<void>>;
export = setup;
