// Memcacheds for tests of node:test.
'use strict';

const { Fixture } = require('./fixture.js');

/** Starts a server for a test, which ends with it. */
async function memcache(t, options) {
  const fixture = held(t, options);
  await fixture.renew();
  return fixture.server;
}

/** Starts several servers for a test, which end with it. */
async function memcacheCluster(t, size, options) {
  return held(t, options).cluster(size);
}

function held(t, options) {
  if (typeof t?.after !== 'function') {
    throw new TypeError(
      'a memcached is of a test: give the context of a test or of beforeEach; for a suite, use Server.start',
    );
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
