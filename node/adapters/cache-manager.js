// A store for cache-manager 6 and later, whose stores are Keyvs. cache-manager.d.ts documents it.
'use strict';

const { requirePeer } = require('../resolve-peer.js');
const { KeyvMemcache } = require('./keyv.js');

function memcacheStore({ namespace = 'keyv', ttl, ...options } = {}) {
  // The program may have another version of Keyv beside the one that cache-manager loads.
  const { Keyv } = requirePeer('keyv', 'cache-manager');
  // cache-manager then rejects `set` and the others, as it promises, and the Keyv emits no error.
  return new Keyv({ store: new KeyvMemcache(options), namespace, ttl, throwOnErrors: true });
}

module.exports = { memcacheStore };
