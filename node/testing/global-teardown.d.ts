/**
 * Stops the memcached that `memcache-rs/global-setup` has started in Jest: its `globalTeardown`. Jest calls it. Vitest needs
 * none.
 *
 * @returns A promise that is fulfilled when nothing of the server is left. Nothing happens if there is none.
 * @example
 * ```js
 * // jest.config.js
 * module.exports = { globalSetup: 'memcache-rs/global-setup', globalTeardown: 'memcache-rs/global-teardown' };
 * ```
 */
declare function teardown(): Promise<void>;
export = teardown;
