// The same as by require.
import helpers from './node-test.js';

export const { memcache, memcacheCluster } = helpers;
