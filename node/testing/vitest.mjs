// A setup file for Vitest, with a memcached in each worker. vitest.d.mts documents it.
import { beforeEach, inject } from 'vitest';
import fixtures from './fixture.js';

// A worker may run several test files, and loads this module again for each.
const fixture = fixtures.ofThread(inject('memcache'));
await fixture.reset();

export const memcache = fixture.server;
process.env.MEMCACHED = fixture.address;

export const memcacheCluster = (size, options) => fixture.cluster(size, options);

beforeEach(async ({ onTestFinished }) => {
  await fixture.reset();
  onTestFinished(async ({ task }) => {
    if (task.result?.state === 'fail') fixture.show(console.log);
    await fixture.endTest();
  });
});
