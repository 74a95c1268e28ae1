#!/usr/bin/env node
// The daemon `memcached-rs`: `npx memcached-rs -p 11211 -m 64`; `-h` lists its flags.
'use strict';

require('../native.js')
  .load()
  .runDaemon(['memcached-rs', ...process.argv.slice(2)]);
