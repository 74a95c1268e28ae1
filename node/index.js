// memcached in your process and your tests: the public classes.
'use strict';

const { load } = require('./native.js');
const { Cache } = require('./cache.js');
const { Clock } = require('./clock.js');
const { classes } = require('./errors.js');
const { FaultRule, Faults } = require('./faults.js');
const { Cluster, ClusterClock, Server } = require('./server.js');
const { Watch } = require('./watch.js');

const { MEMCACHED_VERSION, VERSION } = load();

module.exports = {
  MEMCACHED_VERSION,
  VERSION,
  Cache,
  Clock,
  Cluster,
  ClusterClock,
  FaultRule,
  Faults,
  Server,
  Watch,
  ...classes,
};
