/**
 * Starts one memcached for a whole run of Vitest or Jest. Its address is in MEMCACHED, in the environment, and in Vitest in
 * `inject('memcached')`.
 */
declare function setup(project: object, jestProject?: object): Promise<() => Promise<void>>;
export = setup;
