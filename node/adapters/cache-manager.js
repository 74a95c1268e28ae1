// A store for cache-manager: since its version 6, a Keyv.
'use strict';

const { peer } = require('../peer.js');
const { KeyvMemcache } = require('./keyv.js');

/**
 * A Keyv on a cache in this process. An error of the store is one of cache-manager's, which is what it says of `set` and
 * the others, and not an event of the Keyv. A value for which there is no room is no error: `wrap` would lose what it has made.
 */
function memcacheStore({ namespace = 'keyv', ttl, ...options } = {}) {
  // The program may have another version of it.
  const { Keyv } = peer('keyv', 'cache-manager');
  return new Keyv({ store: new KeyvMemcache(options), namespace, ttl, throwOnErrors: true });
}

module.exports = { memcacheStore };
