#!/usr/bin/env node
// Runs the daemon: `npx memcached-rs -p 11211 -m 64`. `-h` lists the flags.
'use strict';

require('../native.js')
  .load()
  .runDaemon(['memcached-rs', ...process.argv.slice(2)]);
