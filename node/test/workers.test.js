// Worker threads share caches by name, and may end at any moment.
'use strict';

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { existsSync } = require('node:fs');
const { test } = require('node:test');
const { Cache, Server } = require('../index.js');
const { ask, directories, message, place, refuses, run, thread, usage, whenever } = require('./support.js');

test('a name opens the same cache', async (t) => {
  const cache = new Cache({ name: 'shop', memoryLimit: 16 << 20 });
  t.after(() => cache.close());
  assert.equal(cache.name, 'shop');
  cache.set('key', 'from here');
  const worker = thread(
    `const cache = new memcache.Cache({ name: data, memoryLimit: 16 << 20 });
     const seen = cache.getString('key');
     cache.set('key', 'from there');
     cache.close();
     parent.postMessage(seen);`,
    'shop',
  );
  assert.equal(await message(worker), 'from here');
  assert.equal(cache.getString('key'), 'from there');
  const same = new Cache({ name: 'shop' });
  assert.equal(same.getString('key'), 'from there');
  for (const options of [{ memoryLimit: 32 << 20 }, { itemSizeMax: 4 << 20 }, { evictions: false }]) {
    assert.throws(() => new Cache({ name: 'shop', ...options }), {
      name: 'ConfigError',
      message: /^(memoryLimit|itemSizeMax|evictions) must match the open cache "shop"/,
    });
  }
  // It lives until its last object is closed.
  cache.close();
  assert.equal(same.size, 1);
  same.close();
  const fresh = new Cache({ name: 'shop', evictions: false });
  assert.equal(fresh.size, 0);
  fresh.close();
});

test('threads that open and close one name with other settings', async () => {
  const workers = [64 << 20, 32 << 20].map((memoryLimit) =>
    thread(
      `const end = Date.now() + 2000;
       while (Date.now() < end) {
         try {
           new memcache.Cache({ name: 'other settings', memoryLimit: data }).close();
         } catch (error) {
           if (error.name !== 'ConfigError') throw error;
         }
       }`,
      memoryLimit,
    ),
  );
  const codes = await Promise.all(workers.map((worker) => once(worker, 'exit')));
  assert.deepEqual(codes, [[0], [0]]);
});

test('other threads open the cache of a server by its name', async (t) => {
  const server = await Server.start({ name: 'served' });
  t.after(() => server.close());
  const worker = thread(
    `const cache = new memcache.Cache({ name: data });
     cache.set('key', 'value');
     cache.clock.freeze();
     parent.postMessage('done');`,
    'served',
  );
  await message(worker);
  assert.equal(await ask(place(server), 'get key'), 'VALUE key 0 5\r\nvalue\r\nEND\r\n');
});

test('threads count together', async (t) => {
  const cache = new Cache({ name: 'counting' });
  t.after(() => cache.close());
  cache.set('n', '0');
  const workers = Array.from({ length: 4 }, () =>
    thread(
      `const cache = new memcache.Cache({ name: 'counting' });
       for (let n = 0; n < 20000; n += 1) {
         cache.incr('n');
         cache.set('key' + n % 100, 'x'.repeat(n % 5000));
         const value = cache.get('key' + n % 50);
         if (value !== undefined && !value.every((byte) => byte === 120)) throw new Error('torn');
       }`,
    ),
  );
  await Promise.all(workers.map((worker) => once(worker, 'exit')));
  assert.equal(cache.getString('n'), '80000');
});

for (const end of ['terminate', 'exit', 'throw', 'return']) {
  test(`a thread that ends by ${end} ends its servers`, async () => {
    const before = directories().length;
    const worker = thread(
      `const server = await memcache.Server.start({ tls: 'test', unixSocket: true, host: '127.0.0.1' });
       const watch = server.watch();
       void watch.next();
       parent.once('message', (how) => {
         if (how === 'exit') process.exit(3);
         if (how === 'throw') throw new Error('thrown');
       });
       parent.postMessage([server.port, server.unixSocket]);`,
    );
    const [port, path] = await message(worker);
    assert.equal(await ask({ path }, 'set key 0 0 1', 'x'), 'STORED\r\n');
    const exit = whenever(worker, 'exit');
    if (end === 'terminate') await worker.terminate();
    else worker.postMessage(end);
    await exit;
    assert.ok(await refuses(port));
    assert.equal(existsSync(path), false);
    assert.equal(directories().length, before);
  });
}

test('threads that end while they start or stop a server leave nothing', async () => {
  const before = directories().length;
  const { threads } = usage();
  for (let n = 0; n < 20; n += 1) {
    const worker = thread(
      `parent.postMessage('now');
       for (;;) {
         const server = await memcache.Server.start({ unixSocket: true });
         await server.close();
       }`,
    );
    await message(worker);
    await new Promise((resolve) => setTimeout(resolve, n));
    await worker.terminate();
  }
  assert.equal(directories().length, before);
  assert.ok(usage().threads <= threads + 4, `${usage().threads} threads, ${threads} before`);
});

test('threads load the addon again and again, without the main thread', async () => {
  const done = await run(`
    const { Worker } = require('node:worker_threads');
    const source = 'const { Cache, Server } = require(' + JSON.stringify(${JSON.stringify(require.resolve('../index.js'))}) + ');'
      + 'new Cache({ name: "x" }).set("key", "value"); Server.start().then((server) => server.close());';
    (async () => {
      for (let n = 0; n < 10; n += 1) {
        await Promise.all([1, 2].map(() => new Promise((resolve) => new Worker(source, { eval: true }).on('exit', resolve))));
      }
      console.log('done');
    })();`);
  assert.deepEqual(done, { stdout: 'done\n', stderr: '', code: 0, signal: null });
});
