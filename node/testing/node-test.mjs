// The same objects as through require.
import helpers from './node-test.js';

export const { memcache, memcacheCluster, warmCache } = helpers;
