// Clients that spread keys over nodes by themselves. `servers` are texts `host:port`.
'use strict';

// The ring of libmemcached. After `failures` errors the node is out of the ring, and never comes
// back in this client.
function withMemcached(servers) {
  const Memcached = require('memcached');
  return new Memcached(servers, { timeout: 1000, retries: 0, failures: 1, retry: 200, remove: true });
}

// A hash modulo the number of nodes. With `failover` the next node takes the keys of a dead one.
function withMemjs(servers) {
  const memjs = require('memjs');
  const logger = { log() {} };
  return memjs.Client.create(servers.join(','), { failover: true, failoverTime: 1, timeout: 1, retries: 1, logger });
}

// Auto-discovery: it asks `endpoint`, one of the nodes, for all of them, and again every second.
function withDiscovery(endpoint) {
  const Memcached = require('memcached-elasticache');
  return new Memcached(endpoint, { timeout: 1000, retries: 0, failures: 1, retry: 200, autoDiscoverInterval: 1000 });
}

module.exports = { withDiscovery, withMemcached, withMemjs };
