// A global setup for Vitest and Jest: one memcached for the whole run, for what runs in processes of its own.
'use strict';

const { Fixture } = require('./fixture.js');

/** The end of Jest's server, for the global teardown, or for the next setup where there is no teardown. */
let endOfJest;

/**
 * Starts a memcached and tells its address in MEMCACHED. Vitest gives one project, and calls what this returns at the end. Jest
 * gives two configurations, ignores what this returns, and calls it anew for each run in watch mode.
 */
async function setup(project, jestProject) {
  const inVitest = typeof project?.provide === 'function';
  if (!inVitest) await teardown();
  const fixture = new Fixture(inVitest ? project.config.provide?.memcache : jestProject?.testEnvironmentOptions?.memcache);
  await fixture.renew();
  process.env.MEMCACHED = fixture.place;
  const end = () => fixture.close();
  if (inVitest) project.provide('memcached', fixture.place);
  else endOfJest = end;
  return end;
}

/** Stops the memcached that the last setup of Jest has started, if it runs. */
async function teardown() {
  const end = endOfJest;
  endOfJest = undefined;
  await end?.();
}

module.exports = setup;
module.exports.teardown = teardown;
