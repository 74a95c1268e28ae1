// getOrSet: one caller makes the value, and the others wait for it.
'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { setImmediate: turn } = require('node:timers/promises');
const { Cache } = require('../index.js');
const { message, run, thread, whenever } = require('./support.js');

function cache(t, options) {
  const made = new Cache(options);
  t.after(() => made.close());
  return made;
}

/** Returns a promise with the functions that settle it. */
function gate() {
  const it = {};
  it.promise = new Promise((resolve, reject) => Object.assign(it, { resolve, reject }));
  return it;
}

test('one makes, all have it', async (t) => {
  const c = cache(t);
  c.clock.freeze();
  const { promise, resolve } = gate();
  let made = 0;
  const make = () => {
    made += 1;
    return promise;
  };
  const all = Array.from({ length: 100 }, (_, n) => c.getOrSet(n % 2 ? 'key' : Buffer.from('key'), make, 60));
  await turn();
  resolve('value');
  const values = await Promise.all(all);
  assert.equal(made, 1);
  assert.ok(values.every((value) => Buffer.isBuffer(value) && value.toString() === 'value'));
  // Each has bytes of its own.
  values[0].fill(0);
  assert.equal(values[99].toString(), 'value');
  assert.equal(c.getItem('key').ttl, 60);
  assert.equal(String(await c.getOrSet('key', () => assert.fail('it is there'))), 'value');
});

test('make may return any value, now or later', async (t) => {
  const c = cache(t);
  assert.deepEqual(await c.getOrSet('a', () => 'text'), Buffer.from('text'));
  assert.deepEqual(await c.getOrSet('b', () => new Uint8Array([1, 2])), Buffer.from([1, 2]));
  assert.deepEqual(await c.getOrSet('c', async () => Buffer.alloc(100_000)), Buffer.alloc(100_000));
  assert.deepEqual(c.get('b'), Buffer.from([1, 2]));
  // The maker may change its memory.
  const own = Buffer.from('own');
  const given = await c.getOrSet('own', () => own);
  own.fill(0);
  assert.equal(String(given), 'own');
  await assert.rejects(
    c.getOrSet('d', () => 5),
    { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' },
  );
  await assert.rejects(
    c.getOrSet('', () => ''),
    { name: 'InvalidKeyError' },
  );
  await assert.rejects(
    c.getOrSet('e', () => '', -1),
    { name: 'InvalidTTLError' },
  );
});

test('the caller of a failed make gets its error, and the next caller tries', async (t) => {
  const c = cache(t);
  const { promise, reject } = gate();
  const first = c.getOrSet('key', () => promise);
  const others = [1, 2, 3].map((n) => c.getOrSet('key', async () => `by ${n}`));
  reject(new Error('no'));
  await assert.rejects(first, { message: 'no' });
  assert.deepEqual((await Promise.all(others)).map(String), ['by 1', 'by 1', 'by 1']);
  await assert.rejects(
    c.getOrSet('other', () => {
      throw new Error('at once');
    }),
    { message: 'at once' },
  );
  assert.equal(String(await c.getOrSet('other', () => 'good')), 'good');
});

test('while a value is made anew, other callers get the old one', async (t) => {
  const c = cache(t);
  c.clock.freeze();
  const options = { ttl: 10, staleFor: 30 };
  await c.getOrSet('key', () => 'old', options);
  assert.equal(c.getItem('key').ttl, 40);
  c.clock.advance(11);
  const { promise, resolve } = gate();
  const winner = c.getOrSet('key', () => promise, options);
  assert.equal(String(await c.getOrSet('key', () => assert.fail('another does'), options)), 'old');
  resolve('new');
  assert.equal(String(await winner), 'new');
  assert.equal(String(await c.getOrSet('key', () => assert.fail('it is there'), options)), 'new');
  const date = new Date(c.clock.time() * 1000 + 5000);
  await c.getOrSet('date', () => '1', { ttl: date, staleFor: 10 });
  assert.equal(c.getItem('date').ttl, 15);
});

test('one caller makes an invalidated value anew', async (t) => {
  const c = cache(t);
  c.set('key', 'old', 60);
  assert.equal(c.invalidate('key'), true);
  assert.equal(c.invalidate('nothing'), false);
  await assert.rejects(
    c.getOrSet('key', async () => Promise.reject(new Error('no'))),
    { message: 'no' },
  );
  // After a failure the next caller is chosen.
  const { promise, resolve } = gate();
  const winner = c.getOrSet('key', () => promise);
  assert.equal(String(await c.getOrSet('key', () => assert.fail('another does'))), 'old');
  resolve('new');
  assert.equal(String(await winner), 'new');
  // A failure does not touch a value that was stored since.
  c.invalidate('key');
  const { promise: other, reject } = gate();
  const loser = c.getOrSet('key', () => other);
  c.set('key', 'newer');
  reject(new Error('no'));
  await assert.rejects(loser, { message: 'no' });
  assert.equal(c.getItem('key').stale, false);
});

test('a delete while a value was made was lost', async (t) => {
  for (const remove of ['delete', 'flush', 'flushPrefix']) {
    const c = cache(t);
    const { promise, resolve } = gate();
    const first = c.getOrSet('key', () => promise);
    await turn();
    c[remove]('key');
    // It comes after the delete, so it must not get the value from before.
    const second = c.getOrSet('key', () => 'new');
    resolve('old');
    assert.deepEqual((await Promise.all([first, second])).map(String), ['old', 'new'], remove);
    assert.equal(c.getString('key'), 'new');
  }
});

test('a newer value outlives the one that was made', async (t) => {
  const c = cache(t);
  c.clock.freeze();
  const make = async () => {
    c.set('key', 'newer', 5);
    return 'made';
  };
  assert.equal(String(await c.getOrSet('key', make, 60)), 'made');
  assert.equal(c.getItem('key').ttl, 5);
  c.invalidate('key');
  assert.equal(String(await c.getOrSet('key', make, 60)), 'made');
  assert.equal(c.getString('key'), 'newer');
  c.invalidate('key');
  const remove = async () => {
    assert.ok(c.delete('key'));
    return 'made';
  };
  assert.equal(String(await c.getOrSet('key', remove, 60)), 'made');
  assert.equal(c.get('key'), undefined);
});

test('make must not ask for its own key', async (t) => {
  const c = cache(t);
  await assert.rejects(
    c.getOrSet('key', () => c.getOrSet('key', () => '')),
    { name: 'MemcacheError', message: /own key 'key'/ },
  );
  assert.equal(String(await c.getOrSet('key', () => c.getOrSet('other', () => 'inner'))), 'inner');
});

test('a value that does not fit is made once, and all callers get it', async (t) => {
  const c = cache(t);
  const large = Buffer.alloc(2 << 20, 'x');
  const { promise, resolve } = gate();
  let made = 0;
  const make = () => {
    made += 1;
    return promise;
  };
  const all = [1, 2, 3, 4, 5].map(() => c.getOrSet('key', make, 60));
  resolve(large);
  assert.ok((await Promise.all(all)).every((value) => value.equals(large)));
  assert.equal(made, 1);
  // It was not stored.
  assert.equal(c.has('key'), false);
  assert.equal(String(await c.getOrSet('key', () => 'small')), 'small');
  // The stale value it should replace is gone, too.
  c.invalidate('key');
  assert.ok((await c.getOrSet('key', () => large)).equals(large));
  assert.equal(c.has('key'), false);
});

test('a value for which no memory is left is returned anyway', async (t) => {
  const c = cache(t, { memoryLimit: 8 << 20, evictions: false });
  const value = Buffer.alloc(100_000, 'x');
  let n = 0;
  for (; n < 200; n += 1) assert.ok((await c.getOrSet(`key${n}`, () => value)).equals(value));
  assert.ok(c.size < n);
});

test('a bad TTL is refused before make runs', async (t) => {
  const c = cache(t);
  const make = () => assert.fail('it is made');
  for (const options of [-1, Number.NaN, { ttl: 1e12 }, { ttl: 60, staleFor: 1e12 }, { ttl: '60' }]) {
    await assert.rejects(c.getOrSet('key', make, options), { name: 'InvalidTTLError' }, String(options));
  }
  for (const options of [{ tll: 60 }, new Map([['ttl', 60]]), [60]]) {
    await assert.rejects(c.getOrSet('key', make, options), { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' });
  }
});

test('a cache that is closed while make runs loses no value and no waiter', async () => {
  const c = new Cache();
  const { promise, resolve } = gate();
  const first = c.getOrSet('key', () => promise);
  const second = c.getOrSet('key', () => assert.fail('the first does'));
  c.close();
  resolve('value');
  assert.deepEqual((await Promise.all([first, second])).map(String), ['value', 'value']);
  await assert.rejects(
    c.getOrSet('key', () => ''),
    { name: 'ClosedError' },
  );
});

test('threads share a flight', async (t) => {
  const name = 'threads share a flight';
  const c = cache(t, { name });
  const workers = Array.from({ length: 4 }, () =>
    thread(
      `const cache = new memcache.Cache({ name: data });
       parent.postMessage('ready');
       let made = 0;
       parent.once('message', async () => {
         const values = await Promise.all(Array.from({ length: 50 }, () => cache.getOrSet('key', async () => {
           made += 1;
           await new Promise((resolve) => setTimeout(resolve, 50));
           return 'value';
         })));
         parent.postMessage([made, values.filter((value) => Buffer.from(value).toString() === 'value').length]);
       });`,
      name,
    ),
  );
  await Promise.all(workers.map(message));
  const answers = workers.map(message);
  for (const worker of workers) worker.postMessage('go');
  const all = await Promise.all(answers);
  assert.equal(
    all.reduce((sum, [made]) => sum + made, 0),
    1,
  );
  assert.ok(all.every(([, good]) => good === 50));
  assert.equal(c.getString('key'), 'value');
});

test('a thread that ends while it makes a value leaves no caller waiting', async (t) => {
  const name = 'a thread that ends';
  const c = cache(t, { name });
  for (const end of ['terminate', 'exit', 'throw']) {
    c.delete('key');
    const worker = thread(
      `const cache = new memcache.Cache({ name: data });
       void cache.getOrSet('key', () => new Promise(() => {}));
       parent.once('message', (how) => { if (how === 'exit') process.exit(); throw new Error('thrown'); });
       parent.postMessage('flying');`,
      name,
    );
    worker.on('error', () => {});
    await message(worker);
    const waits = [1, 2].map((n) => c.getOrSet('key', () => `made by ${n}`));
    if (end === 'terminate') await worker.terminate();
    else worker.postMessage(end);
    assert.deepEqual((await Promise.all(waits)).map(String), ['made by 1', 'made by 1']);
  }
});

test('after a thread that ends while it makes a value anew, the next caller does', async (t) => {
  const name = 'a thread that ends, anew';
  const c = cache(t, { name });
  for (const end of ['terminate', 'exit', 'throw']) {
    c.set('key', 'old');
    c.invalidate('key');
    const worker = thread(
      `const cache = new memcache.Cache({ name: data });
       void cache.getOrSet('key', () => new Promise(() => {}));
       parent.once('message', (how) => { if (how === 'exit') process.exit(); throw new Error('thrown'); });
       parent.postMessage('making');`,
      name,
    );
    await message(worker);
    assert.equal(String(await c.getOrSet('key', () => assert.fail('another does'))), 'old');
    const exit = whenever(worker, 'exit');
    if (end === 'terminate') await worker.terminate();
    else worker.postMessage(end);
    await exit;
    assert.equal(String(await c.getOrSet('key', () => 'new')), 'new', end);
  }
});

test('a waiter keeps its process alive, a leader does not', async () => {
  const done = await run(`
    const { Worker, isMainThread } = require('node:worker_threads');
    const cache = new memcache.Cache({ name: 'c' });
    const worker = new Worker(\`
      const memcache = require(\${JSON.stringify(${JSON.stringify(require.resolve('../index.js'))})});
      const { parentPort } = require('node:worker_threads');
      const cache = new memcache.Cache({ name: 'c' });
      void cache.getOrSet('key', () => new Promise((resolve) => setTimeout(resolve, 100, 'value')));
      parentPort.postMessage('flying');\`, { eval: true });
    worker.once('message', async () => {
      worker.unref();
      console.log(String(await cache.getOrSet('key', () => 'mine')));
    });`);
  assert.deepEqual(done, { stdout: 'value\n', stderr: '', code: 0, signal: null });
});
