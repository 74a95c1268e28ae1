// Memory, threads and descriptors are freed. The numbers are compared with those after a first
// round.
'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { setImmediate: turn } = require('node:timers/promises');
const { Cache, Server } = require('../index.js');
const { ask, collect, place, thread, usage, message } = require('./support.js');

/** KiB by which the size of V8's heap varies. */
const NOISE = 60 * 1024;

async function servers(count) {
  for (let n = 0; n < count; n += 1) {
    const server = await Server.start();
    server.cache.set('key', 'value');
    server.cache.get('key');
    if (n % 50 === 0) assert.equal(await ask(place(server), 'get key'), 'VALUE key 0 5\r\nvalue\r\nEND\r\n');
    if (n % 10 === 0) void server.watch().next();
    await server.close();
  }
  await collect();
}

test('1,000 servers', { timeout: 300_000 }, async () => {
  await servers(100);
  const before = usage();
  await servers(1000);
  const after = usage();
  assert.ok(after.threads <= before.threads, `${after.threads} threads, ${before.threads} before`);
  assert.ok(after.descriptors <= before.descriptors, `${after.descriptors} descriptors, ${before.descriptors} before`);
  assert.ok(after.resident <= before.resident + NOISE, `${after.resident} KiB, ${before.resident} before`);
});

test('1,000,000 values', { timeout: 300_000 }, async (t) => {
  const cache = new Cache({ memoryLimit: 16 << 20 });
  t.after(() => cache.close());
  const [value, large, out] = [Buffer.alloc(100, 'x'), Buffer.alloc(20_000, 'y'), Buffer.alloc(20_000)];
  async function values(count) {
    for (let n = 0; n < count; n += 1) {
      const key = `key:${n % 10_000}`;
      cache.set(key, n % 100 === 0 ? large : value, 60);
      cache.get(key);
      cache.getString(key);
      cache.getInto(key, out);
      if (n % 100 === 0) cache.getMany([key, 'nothing', 'key:1']);
      if (n % 1000 === 0) assert.throws(() => cache.get(''));
      // Node runs finalizers between turns.
      if (n % 10_000 === 0) await collect();
    }
    await collect();
  }
  await values(100_000);
  const before = usage().resident;
  await values(1_000_000);
  const after = usage().resident;
  assert.ok(after <= before + NOISE, `${after} KiB, ${before} before`);
});

test('10,000 caches that are not closed', { timeout: 300_000 }, async () => {
  async function caches(count) {
    for (let n = 0; n < count; n += 1) {
      const cache = new Cache({ memoryLimit: 2 << 20 });
      cache.set('key', 'value');
      cache.get('key');
      // V8 knows their memory and collects them. Node runs their finalizers between turns.
      if (n % 10 === 0) await turn();
    }
    const { threads } = usage();
    assert.ok(threads < 300, `${threads} threads`);
    await collect();
  }
  await caches(500);
  const before = usage();
  await caches(10_000);
  const after = usage();
  assert.ok(after.threads <= before.threads + 2, `${after.threads} threads, ${before.threads} before`);
  assert.ok(after.resident <= before.resident + NOISE, `${after.resident} KiB, ${before.resident} before`);
});

test('100,000 calls of getOrSet', { timeout: 300_000 }, async (t) => {
  const cache = new Cache({ memoryLimit: 4 << 20 });
  t.after(() => cache.close());
  async function flights(count) {
    for (let n = 0; n < count; n += 100) {
      await Promise.all(Array.from({ length: 100 }, (_, m) => cache.getOrSet(`key:${n}:${m >> 1}`, () => 'value')));
    }
    await collect();
  }
  await flights(10_000);
  const before = usage().resident;
  await flights(100_000);
  const after = usage().resident;
  assert.ok(after <= before + NOISE, `${after} KiB, ${before} before`);
});

test('100 threads', { timeout: 300_000 }, async () => {
  async function threads(count) {
    for (let n = 0; n < count; n += 1) {
      const worker = thread(`
        const cache = new memcache.Cache();
        cache.set('key', 'value');
        const kept = [cache.get('key')];
        const server = await memcache.Server.start({ cache });
        globalThis.kept = [kept, server, server.watch()];
        parent.postMessage('done');`);
      await message(worker);
      await worker.terminate();
    }
    await collect();
  }
  await threads(20);
  const before = usage();
  await threads(100);
  const after = usage();
  assert.ok(after.threads <= before.threads + 2, `${after.threads} threads, ${before.threads} before`);
  assert.ok(after.descriptors <= before.descriptors + 2, `${after.descriptors} descriptors, ${before.descriptors} before`);
  assert.ok(after.resident <= before.resident + NOISE, `${after.resident} KiB, ${before.resident} before`);
});
