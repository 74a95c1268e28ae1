// Servers for tests of node:test. node-test.d.ts documents the functions.
'use strict';

const { inspect } = require('node:util');
const { typeError } = require('../options.js');
const { Fixture } = require('./fixture.js');

async function memcache(t, options) {
  const fixture = fixtureOf(t, options);
  await fixture.reset();
  return fixture.server;
}

async function memcacheCluster(t, size, options) {
  return fixtureOf(t, options).cluster(size);
}

/** Creates a fixture that ends with a test. */
function fixtureOf(t, options) {
  if (typeof t?.after !== 'function') {
    throw typeError(`t must be the context of a test or of beforeEach, got ${inspect(t)}; in a suite, use Server.start`);
  }
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

module.exports = { memcache, memcacheCluster };
