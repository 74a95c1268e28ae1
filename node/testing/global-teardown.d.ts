/**
 * Stops the server of `memcache-rs/global-setup` in Jest, as its `globalTeardown`.
 *
 * Vitest needs no teardown.
 *
 * @returns A promise that is fulfilled when the server has stopped, or if there is none.
 * @example
 * ```js
 * // jest.config.js
 * module.exports = {
 *   globalSetup: 'memcache-rs/global-setup',
 *   globalTeardown: 'memcache-rs/global-teardown',
 * };
 * ```
 */
declare function teardown(): Promise<void>;
export = teardown;
