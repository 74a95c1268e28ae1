// A setup file for Vitest: a memcached in each worker, empty for each test.
import { beforeEach, inject } from 'vitest';
import fixtures from './fixture.js';

// A worker may run several test files, each of which has this module made anew.
const fixture = fixtures.ofThread(inject('memcache'));
await fixture.renew();

/** The server of this worker. */
export const memcache = fixture.server;
process.env.MEMCACHED = fixture.place;

/** Starts several servers, for this test. */
export const memcacheCluster = (size, options) => fixture.cluster(size, options);

beforeEach(async ({ onTestFinished }) => {
  await fixture.renew();
  onTestFinished(async ({ task }) => {
    if (task.result?.state === 'fail') fixture.show(console.log);
    await fixture.endTest();
  });
});
