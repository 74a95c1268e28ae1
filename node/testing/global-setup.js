// A global setup for Vitest and Jest: one memcached for the whole run.
'use strict';

const { Fixture } = require('./fixture.js');

/** Stops Jest's server. The global teardown calls it, or the next setup if there is no teardown. */
let endOfJest;

/**
 * Vitest passes its project, and calls the returned function at the end. Jest passes two
 * configurations, ignores the returned function, and calls this again for each run in watch mode.
 */
async function setup(project, jestProject) {
  const inVitest = typeof project?.provide === 'function';
  if (!inVitest) await teardown();
  const fixture = new Fixture(inVitest ? project.config.provide?.memcache : jestProject?.testEnvironmentOptions?.memcache);
  await fixture.reset();
  process.env.MEMCACHED = fixture.address;
  const end = () => fixture.close();
  if (inVitest) project.provide('memcached', fixture.address);
  else endOfJest = end;
  return end;
}

async function teardown() {
  const end = endOfJest;
  endOfJest = undefined;
  await end?.();
}

module.exports = setup;
module.exports.teardown = teardown;
