// Servers for tests of node:test. node-test.d.ts documents the functions.
'use strict';

const { inspect } = require('node:util');
const { Cache } = require('../cache.js');
const { classes } = require('../errors.js');
const { typeError } = require('../options.js');
const { Fixture } = require('./fixture.js');

async function memcache(t, options) {
  const fixture = fixtureOf(t, options);
  await fixture.reset();
  return fixture.server;
}

async function memcacheCluster(t, size, options) {
  return fixtureOf(t).cluster(size, options);
}

async function warmCache(t, source, into) {
  checkContext(t);
  const cache = into === undefined ? new Cache() : (into.cache ?? into);
  if (into === undefined) t.after(() => cache.close());
  const { noMemory, tooLarge } = await cache.load(source, { replace: true, ttl: 'paused', strict: true });
  const left = noMemory + tooLarge;
  if (left > 0) {
    throw new classes.OutOfMemoryError(
      `all items of the snapshot must fit in the cache, got ${left} that do not: pass a Cache with a larger memoryLimit or itemSizeMax`,
    );
  }
  return cache;
}

function checkContext(t) {
  if (typeof t?.after !== 'function') {
    throw typeError(`t must be the context of a test or of beforeEach, got ${inspect(t)}; in a suite, use Server.start`);
  }
}

/** Creates a fixture that ends with a test. */
function fixtureOf(t, options) {
  checkContext(t);
  const fixture = new Fixture(options);
  t.after(async () => {
    if (t.error) {
      fixture.show((text) => {
        for (const line of text.split('\n')) t.diagnostic(line);
      });
    }
    await fixture.close();
  });
  return fixture;
}

module.exports = { memcache, memcacheCluster, warmCache };
