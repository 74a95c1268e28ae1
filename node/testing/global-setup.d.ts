/**
 * Starts one server for a whole run of Vitest or Jest, as its `globalSetup`.
 *
 * The address is in the environment variable `MEMCACHED`, and in Vitest in `inject('memcached')`.
 * In Jest, a call first stops the server of the call before, so that watch mode has one at any
 * time. `memcache-rs/global-teardown` stops the last one.
 *
 * @param project - Vitest's project, or Jest's global configuration.
 * @param jestProject - Jest's project configuration. Its `testEnvironmentOptions.memcache` are
 * options of the server.
 * @returns A promise of a function that stops the server, which Vitest calls. It may be rejected
 * with:
 * @throws {ConfigError} if an option is invalid.
 * @throws {StartError} if the system refuses the server.
 * @example
 * ```js
 * // jest.config.js
 * module.exports = {
 *   globalSetup: 'memcache-rs/global-setup',
 *   globalTeardown: 'memcache-rs/global-teardown',
 * };
 * ```
 */
declare function setup(project: object, jestProject?: object): Promise<() => Promise<void>>;
export = setup;
