// The store for undici's cache, with undici and a server on this machine.
'use strict';

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { createServer } = require('node:http');
const { test } = require('node:test');
const { promisify } = require('node:util');
const { Agent, cacheStores, fetch, interceptors, request } = require('undici');
const { Cache } = require('memcache-rs');
const { MemcacheCacheStore } = require('memcache-rs/undici');
const { message, thread } = require('./support.js');

/**
 * Starts an origin. `answer` returns the response to a request: its headers, body and status. The
 * body begins with the number of the request.
 */
async function origin(t, answer) {
  const seen = [];
  const server = createServer((req, res) => {
    seen.push(req);
    const { status = 200, headers, body = '' } = answer(req);
    res.writeHead(status, headers).end(status === 304 ? undefined : `${seen.length} ${body}`);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${server.address().port}`, seen };
}

/** Returns a function that requests a URL through a store, and returns the text of the body. */
function client(t, store) {
  const agent = new Agent();
  const dispatcher = agent.compose(interceptors.cache({ store }));
  t.after(() => agent.close());
  return async (url, options) => {
    const { body } = await request(url, { dispatcher, ...options });
    return body.text();
  };
}

function memcacheStore(t, options) {
  const store = new MemcacheCacheStore(options);
  t.after(() => store.close());
  return store;
}

const minute = { 'cache-control': 'max-age=60' };

// Both stores behave alike.
for (const Store of [cacheStores.MemoryCacheStore, MemcacheCacheStore]) {
  const named = (name, run) =>
    test(`${Store.name}: ${name}`, (t) => {
      const store = new Store();
      t.after(() => store.close?.());
      return run(t, store);
    });

  named('a response is reused while it is fresh', async (t, store) => {
    const { url, seen } = await origin(t, () => ({ headers: minute, body: 'hello' }));
    const get = client(t, store);
    assert.equal(await get(url), '1 hello');
    assert.equal(await get(url), '1 hello');
    assert.equal(await get(`${url}/other?q=1`), '2 hello');
    assert.equal(await get(url, { method: 'HEAD' }), '');
    assert.equal(seen.length, 3);
    assert.equal(await get(url, { headers: { 'cache-control': 'no-cache' } }), '4 hello');
    assert.equal(await get(url), '4 hello');
  });

  named('Cache-Control decides what is stored', async (t, store) => {
    const { url, seen } = await origin(t, ({ url }) => ({
      headers: { 'cache-control': decodeURIComponent(url.slice(1)) },
    }));
    const get = client(t, store);
    for (const [directives, requests] of [
      ['no-store', 2],
      ['private, max-age=60', 2],
      ['max-age=0', 2],
      ['max-age=60', 1],
      ['s-maxage=60', 1],
      ['max-age=60, immutable', 1],
    ]) {
      seen.length = 0;
      const place = `${url}/${encodeURIComponent(directives)}`;
      await get(place);
      await get(place);
      assert.equal(seen.length, requests, directives);
    }
  });

  named('a response varies by the headers that it names', async (t, store) => {
    const { url, seen } = await origin(t, ({ headers }) => ({
      headers: { ...minute, vary: 'Accept-Language, X-Unknown' },
      body: headers['accept-language'],
    }));
    const get = client(t, store);
    const inLanguage = (language) => get(url, { headers: language && { 'accept-language': language } });
    assert.deepEqual([await inLanguage('de'), await inLanguage('en'), await inLanguage()], ['1 de', '2 en', '3 ']);
    assert.deepEqual([await inLanguage('de'), await inLanguage('en'), await inLanguage()], ['1 de', '2 en', '3 ']);
    assert.equal(await get(url, { headers: { 'Accept-Language': 'de', other: '1' } }), '1 de');
    assert.equal(seen.length, 3);
    // A request that changes the resource removes all of them.
    await get(url, { method: 'POST', headers: { 'accept-language': 'en' } });
    assert.deepEqual([await inLanguage('de'), await inLanguage('en'), await inLanguage()], ['5 de', '6 en', '7 ']);
  });

  named('a stale response is revalidated by its ETag', async (t, store) => {
    const { url, seen } = await origin(t, ({ headers }) =>
      headers['if-none-match'] === '"tag"'
        ? { status: 304, headers: { etag: '"tag"' } }
        : { headers: { 'cache-control': 'max-age=0', etag: '"tag"' }, body: 'x'.repeat(100_000) },
    );
    const get = client(t, store);
    const first = await get(url);
    assert.equal(first.length, 100_002);
    for (let times = 0; times < 3; times += 1) assert.equal(await get(url), first);
    assert.deepEqual(
      seen.map(({ headers }) => headers['if-none-match']),
      [undefined, '"tag"', '"tag"', '"tag"'],
    );
  });

  named('fetch gets status, headers and bytes', async (t, store) => {
    const { url, seen } = await origin(t, () => ({ status: 404, headers: { ...minute, 'x-list': ['a', 'b'] } }));
    const agent = new Agent();
    t.after(() => agent.close());
    const dispatcher = agent.compose(interceptors.cache({ store }));
    for (let times = 0; times < 3; times += 1) {
      const response = await fetch(url, { dispatcher });
      assert.equal(response.status, 404);
      assert.equal(response.headers.get('x-list'), 'a, b');
      assert.deepEqual(Buffer.from(await response.arrayBuffer()), Buffer.from('1 '));
    }
    assert.equal(seen.length, 1);
  });
}

test('names of headers add up, and end with the last response', async (t) => {
  const store = memcacheStore(t);
  store.cache.clock.freeze();
  const { url, seen } = await origin(t, ({ headers }) => ({
    headers: { 'cache-control': `max-age=${headers.age ?? 60}`, vary: headers.by ?? '' },
  }));
  const get = client(t, store);
  await get(url, { headers: { by: 'a', a: '1' } });
  await get(url, { headers: { by: 'b', a: '1', b: '1', age: '600', 'cache-control': 'no-cache' } });
  await get(url, { headers: { by: 'a', a: '2', b: '1' } });
  // The second one depends on `b` alone, but is kept for this `a`.
  assert.equal(await get(url, { headers: { a: '1', b: '1' } }), '2 ');
  assert.equal(await get(url, { headers: { a: '2', b: '1' } }), '3 ');
  assert.equal(seen.length, 3);
  // undici keeps a response for twice the time that it is fresh.
  store.cache.clock.advance(2 * 60 + 3);
  assert.equal(await get(url, { headers: { by: 'a', a: '2', b: '1' } }), '4 ');
  assert.equal(await get(url, { headers: { a: '1', b: '1' } }), '2 ');
  store.cache.clock.advance(2 * 540);
  assert.deepEqual([...store.cache.keys()], []);
  assert.equal(await get(url, { headers: { a: '1', b: '1' } }), '5 ');
});

test('a response that is too large is not kept, nor is the older one', async (t) => {
  const store = memcacheStore(t, { itemSizeMax: 64 << 10 });
  let length = 1000;
  const { url, seen } = await origin(t, () => ({ headers: minute, body: 'x'.repeat(length) }));
  const get = client(t, store);
  await get(url);
  assert.equal(store.cache.size, 1);
  for (const next of [64 << 10, 1 << 20]) {
    length = next;
    const fresh = { headers: { 'cache-control': 'no-cache' } };
    assert.equal((await get(url, fresh)).length, length + 2);
    assert.equal(store.cache.size, 0);
  }
  assert.equal(seen.length, 3);
});

test('a full cache stores nothing more', async (t) => {
  const store = memcacheStore(t, { memoryLimit: 16 << 20, evictions: false });
  const { url } = await origin(t, () => ({ headers: minute, body: 'x'.repeat(500_000) }));
  const get = client(t, store);
  for (let page = 0; page < 60; page += 1) assert.match(await get(`${url}/${page}`), /x$/);
  const { size } = store.cache;
  assert.ok(size > 0 && size < 60, `${size} items`);
  assert.match(await get(`${url}/0`), /^1 x/);
});

test('a long URL, and stores that share a cache', async (t) => {
  const cache = new Cache();
  t.after(() => cache.close());
  const { url, seen } = await origin(t, () => ({ headers: minute }));
  const [one, two] = ['one:', 'two:'].map((prefix) => client(t, memcacheStore(t, { cache, prefix })));
  const place = `${url}/${'x'.repeat(500)}`;
  assert.deepEqual([await one(`${place}1`), await one(`${place}2`), await one(`${place}1`)], ['1 ', '2 ', '1 ']);
  assert.equal(await two(`${place}1`), '3 ');
  assert.equal(seen.length, 3);
  assert.equal(cache.size, 3);
});

test('threads of a process share responses', async (t) => {
  const store = memcacheStore(t, { name: 'responses' });
  const { url } = await origin(t, () => ({ headers: { ...minute, vary: 'accept' }, body: 'hello' }));
  assert.equal(await client(t, store)(url), '1 hello');
  const worker = thread(
    `const { MemcacheCacheStore } = require(data.store);
     const { Agent, interceptors, request } = require(data.undici);
     const agent = new Agent();
     const dispatcher = agent.compose(interceptors.cache({ store: new MemcacheCacheStore({ name: 'responses' }) }));
     const { body } = await request(data.url, { dispatcher });
     parent.postMessage(await body.text());
     await agent.close();`,
    { url, store: require.resolve('memcache-rs/undici'), undici: require.resolve('undici') },
  );
  assert.equal(await message(worker), '1 hello');
  await once(worker, 'exit');
});

test('bad options and a closed cache', async (t) => {
  assert.throws(() => new MemcacheCacheStore({ prefix: 5 }), { name: 'ConfigError', message: /^prefix must be/ });
  assert.throws(() => new MemcacheCacheStore({ cache: {} }), { name: 'ConfigError' });
  const store = new MemcacheCacheStore();
  const { url } = await origin(t, () => ({ headers: minute }));
  const get = client(t, store);
  store.close();
  await assert.rejects(get(url), { name: 'ClosedError' });
  // A response that was under way when the cache was closed still comes.
  const late = new MemcacheCacheStore({ itemSizeMax: 64 << 10 });
  const { url: other } = await origin(t, () => {
    late.close();
    return { headers: minute, body: 'x'.repeat(100_000) };
  });
  assert.equal((await client(t, late)(other)).length, 100_002);
  const stream = late.createWriteStream({ method: 'GET', origin: other, path: '/' }, { headers: {}, deleteAt: 0 });
  await promisify(stream.end.bind(stream))('body');
  late.delete({ method: 'GET', origin: other, path: '/' });
});

test('both module systems have the same class', async () => {
  assert.equal((await import('memcache-rs/undici')).MemcacheCacheStore, MemcacheCacheStore);
});
