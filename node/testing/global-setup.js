// A global setup for Vitest and Jest: one memcached for the whole run, for what runs in processes of its own.
'use strict';

const { Fixture } = require('./fixture.js');

/** Vitest gives the project, and ends it by what this returns; Jest gives two configurations, and its end is the end. */
async function setup(project, jestProject) {
  const inVitest = typeof project?.provide === 'function';
  const fixture = new Fixture(inVitest ? project.config.provide?.memcache : jestProject?.testEnvironmentOptions.memcache);
  await fixture.renew();
  process.env.MEMCACHED = fixture.place;
  if (inVitest) project.provide('memcached', fixture.place);
  return () => fixture.close();
}

module.exports = setup;
