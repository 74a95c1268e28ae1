// Saving a cache to files and Buffers, and loading it.
'use strict';

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const { randomBytes } = require('node:crypto');
const { once } = require('node:events');
const {
  createReadStream,
  createWriteStream,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');
const { PassThrough, Readable, Writable } = require('node:stream');
const { buffer } = require('node:stream/consumers');
const { test } = require('node:test');
const { pathToFileURL } = require('node:url');
const { createGunzip, createGzip } = require('node:zlib');
const {
  BadSnapshotError,
  BusyError,
  Cache,
  CancelledError,
  ClosedError,
  ConfigError,
  FileError,
  Server,
  VERSION,
} = require('../index.js');
const { ask, place, run, thread } = require('./support.js');

/** Returns a cache that is closed after the test. */
function cacheOf(t, options) {
  const cache = new Cache(options);
  t.after(() => cache.close());
  return cache;
}

/** Returns a cache of 100 values of 100 KiB that do not compress: a snapshot of ten blocks. */
function largeOf(t) {
  const cache = cacheOf(t);
  for (let n = 0; n < 100; n += 1) cache.set(`${n}`, randomBytes(100 << 10));
  return cache;
}

const directoryOf = () => mkdtempSync(join(tmpdir(), 'snapshot-'));
const items = (cache) => new Map(Array.from(cache, ([key, value]) => [String(key), value]));

test('a snapshot has all of an item', async (t) => {
  const [cache, warm] = [cacheOf(t), cacheOf(t)];
  const path = join(directoryOf(), 'cache.mcrs');
  cache.clock.freeze();
  cache.set('plain', 'value');
  cache.set('full', Buffer.from([0, 255]), { ttl: 100, flags: 7 });
  const { seconds, ...saved } = await cache.save(path, { note: 'two items' });
  assert.ok(seconds > 0);
  assert.deepEqual(saved, { items: 2, bytes: 16, fileBytes: statSync(path).size, skipped: 0 });
  assert.equal(statSync(path).mode & 0o777, 0o600);

  const loaded = await warm.load(pathToFileURL(path));
  assert.deepEqual(
    { ...loaded, seconds: 0 },
    {
      items: 2,
      bytes: 16,
      expired: 0,
      existing: 0,
      tooLarge: 0,
      noMemory: 0,
      damaged: 0,
      damage: [],
      truncated: false,
      seconds: 0,
      savedAt: new Date(cache.clock.time() * 1000),
      note: 'two items',
      program: `memcache-rs ${VERSION}`,
    },
  );
  const { value, flags, cas } = warm.getItem('full');
  assert.deepEqual([value, flags, cas], [Buffer.from([0, 255]), 7, cache.info('full').cas]);
});

test('a Buffer is a snapshot, too', async (t) => {
  const [large, warm] = [largeOf(t), cacheOf(t)];
  const snapshot = await large.saveToBuffer({ threads: 2 });
  assert.ok(Buffer.isBuffer(snapshot));
  // The bytes are copied before the call returns.
  const copy = new Uint8Array(snapshot);
  const loading = warm.load(copy);
  copy.fill(0);
  assert.equal((await loading).items, 100);
  assert.deepEqual(items(warm), items(large));
  const path = join(directoryOf(), 'file');
  writeFileSync(path, snapshot);
  assert.equal((await warm.load(path)).existing, 100);
});

test('a stream takes a snapshot, and gives one', async (t) => {
  const [large, warm] = [largeOf(t), cacheOf(t)];
  const path = join(directoryOf(), 'file');
  const file = createWriteStream(path);
  const saved = await large.save(file, { note: 'by a stream' });
  assert.deepEqual([saved.items, saved.fileBytes, file.closed], [100, statSync(path).size, true]);
  const read = createReadStream(path);
  assert.deepEqual((await warm.load(read)).note, 'by a stream');
  assert.deepEqual(items(warm), items(large));
  assert.ok(read.destroyed);
  // From cache to cache, by streams that change the bytes.
  const [gzip, gunzip] = [createGzip(), createGunzip()];
  const [, loaded] = await Promise.all([large.save(gzip), warm.load(gzip.pipe(gunzip), { replace: true })]);
  assert.equal(loaded.items, 100);
});

test('streams of the web, and other sources of bytes', async (t) => {
  const [large, warm] = [largeOf(t), cacheOf(t)];
  const { readable, writable } = new TransformStream();
  const [saved, loaded] = await Promise.all([large.save(writable, { threads: 2 }), warm.load(readable, { threads: 2 })]);
  assert.deepEqual([saved.items, loaded.items], [100, 100]);
  const snapshot = await large.saveToBuffer();
  async function* pieces() {
    yield new Uint8Array(0);
    for (let at = 0; at < snapshot.length; at += 999) yield new Uint8Array(snapshot.subarray(at, at + 999));
  }
  assert.equal((await warm.load(pieces())).existing, 100);
});

test('a save waits for its stream', async (t) => {
  const large = largeOf(t);
  const stream = new PassThrough();
  let most = 0;
  const saving = large.save(stream, { codec: 'none', threads: 1, progress: ({ bytes }) => (most = bytes) });
  // Nothing reads the stream. The thread may have saved a piece more than the stream has.
  await once(stream, 'readable');
  await new Promise((resolve) => setImmediate(resolve));
  assert.ok(most < 5 << 20, `${most} bytes`);
  const [bytes, { fileBytes }] = await Promise.all([buffer(stream), saving]);
  assert.equal(bytes.length, fileBytes);
});

test('errors of streams', async (t) => {
  const large = largeOf(t);
  const mine = new Error('mine');
  const isMine = (error) => error === mine;
  let room = 1 << 20;
  const full = new Writable({
    write(chunk, _, callback) {
      room -= chunk.length;
      callback(room < 0 ? mine : null);
    },
  });
  await assert.rejects(large.save(full), isMine);
  await assert.rejects(large.save(new Writable().destroy()), { code: /^ERR_STREAM_/ });
  const snapshot = await large.saveToBuffer();
  const warm = cacheOf(t);
  async function* failing() {
    yield snapshot.subarray(0, 3 << 20);
    throw mine;
  }
  await assert.rejects(warm.load(failing()), isMine);
  assert.ok(warm.size > 0 && warm.size < 100);
  await assert.rejects(warm.load(Readable.from(['text'])), { code: 'ERR_INVALID_ARG_TYPE', message: /got a piece 'text'/ });
  const junk = Readable.from([Buffer.alloc(1000), Buffer.alloc(1000)]);
  await assert.rejects(warm.load(junk), BadSnapshotError);
  assert.ok(junk.destroyed);
  assert.equal((await warm.load(Readable.from([snapshot.subarray(0, 3 << 20)]))).truncated, true);
});

test('a signal and progress end streams', async (t) => {
  const large = largeOf(t);
  const mine = new Error('mine');
  const isMine = (error) => error === mine;
  const stuck = new Writable({ write() {} });
  const controller = new AbortController();
  const saving = large.save(stuck, { signal: controller.signal });
  controller.abort(mine);
  await assert.rejects(saving, isMine);
  assert.ok(stuck.destroyed);
  const waiting = new PassThrough();
  const another = new AbortController();
  const loading = large.load(waiting, { signal: another.signal });
  another.abort(mine);
  await assert.rejects(loading, isMine);
  assert.ok(waiting.destroyed);
  const sink = new Writable({ write: (_chunk, _encoding, callback) => callback() });
  await assert.rejects(large.save(sink, { progress: () => false, rate: 1 }), CancelledError);
  assert.ok(sink.destroyed);
});

test('options of a save', async (t) => {
  const cache = cacheOf(t);
  cache.set('key', Buffer.alloc(100_000, 'x'));
  assert.ok((await cache.saveToBuffer()).length < 2000);
  assert.ok((await cache.saveToBuffer({ codec: 'none' })).length > 100_000);
  await assert.rejects(cache.saveToBuffer({ codec: 'zip' }), {
    code: 'ERR_MEMCACHE_CONFIG',
    message: /codec must be "lz4"/,
  });
  await assert.rejects(cache.saveToBuffer({ note: 'é'.repeat(2049) }), ConfigError);
  for (const threads of [0, 1.5, 257, Number.NaN]) {
    await assert.rejects(cache.saveToBuffer({ threads }), { name: 'RangeError', code: 'ERR_OUT_OF_RANGE' });
  }
  await assert.rejects(cache.saveToBuffer({ rate: 0 }), { code: 'ERR_OUT_OF_RANGE', message: /rate must be a whole/ });
  for (const bad of [{ codec: 5 }, { rate: '1' }, { progress: {} }, { signal: {} }, { signal: null }, { path: 'x' }, null]) {
    await assert.rejects(cache.saveToBuffer(bad), { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' });
  }
  for (const path of [5, undefined, null, {}, Buffer.from('x'), new URL('http://localhost/')]) {
    await assert.rejects(cache.save(path), {
      code: 'ERR_INVALID_ARG_TYPE',
      message: /path must be a string, a file: URL or a writable stream/,
    });
  }
});

test('options of a load', async (t) => {
  const cache = cacheOf(t);
  cache.clock.freeze();
  cache.set('key', 'old', 60);
  const snapshot = await cache.saveToBuffer();
  cache.set('key', 'new');
  assert.equal((await cache.load(snapshot)).existing, 1);
  assert.equal(cache.getString('key'), 'new');
  cache.clock.advance(59);
  assert.equal((await cache.load(snapshot, { replace: true })).items, 1);
  assert.equal(cache.info('key').ttl, 1);
  cache.clock.advance(1);
  assert.equal((await cache.load(snapshot)).expired, 1);
  await cache.load(snapshot, { ttl: 'paused' });
  assert.equal(cache.info('key').ttl, 60);
  await assert.rejects(cache.load(snapshot, { ttl: 'off' }), { code: 'ERR_MEMCACHE_CONFIG', message: /ttl must be "wall"/ });
  for (const bad of [{ replace: 1 }, { strict: 'yes' }, { codec: 'lz4' }, { ttl: 5 }]) {
    await assert.rejects(cache.load(snapshot, bad), { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' });
  }
});

test('damage is counted or refused', async (t) => {
  const [large, warm] = [largeOf(t), cacheOf(t)];
  const snapshot = await large.saveToBuffer({ codec: 'none' });
  snapshot[snapshot.length >> 1] ^= 1;
  const cut = snapshot.subarray(0, -1);
  const { damaged, damage, truncated, items } = await warm.load(cut);
  assert.deepEqual([truncated, items, damage.length], [true, 100 - damaged, 2]);
  const [{ offset }, end] = damage;
  assert.deepEqual(damage[0], { offset, kind: 'data', items: damaged, bytes: 0 });
  assert.ok(offset < snapshot.length >> 1 && end.offset > offset);
  assert.equal(end.kind, 'truncated');
  await assert.rejects(warm.load(cut, { strict: true }), { code: 'ERR_MEMCACHE_BAD_SNAPSHOT', message: /damaged at byte/ });
  for (const file of ['', 'text', Buffer.alloc(1000)]) await assert.rejects(warm.load(Buffer.from(file)), BadSnapshotError);
});

test('errors of the system', async (t) => {
  const cache = cacheOf(t);
  const directory = directoryOf();
  const missing = join(directory, 'missing', 'file');
  const error = await cache.save(missing).catch((error) => error);
  assert.ok(error instanceof FileError);
  assert.deepEqual(
    [error.code, error.errno, error.system, error.path],
    ['ERR_MEMCACHE_FILE', -2, 'ENOENT', `${missing}.tmp`],
  );
  await assert.rejects(cache.load(missing), { name: 'FileError', system: 'ENOENT', path: missing });
  await assert.rejects(cache.save(directory), { system: 'EISDIR', path: directory });
  await assert.rejects(cache.load(directory), { system: 'EISDIR', path: directory });
  await assert.rejects(cache.load('a\0b'), FileError);
});

test('a full disk leaves the old file', () => {
  // A limit of the file size stands for the disk.
  const directory = directoryOf();
  const path = join(directory, 'file');
  const program = `
    const { Cache } = require(${JSON.stringify(join(__dirname, '..'))});
    const cache = new Cache();
    process.on('SIGXFSZ', () => {});
    for (let n = 0; n < 20; n += 1) cache.set(String(n), require('node:crypto').randomBytes(500_000));
    cache.save(${JSON.stringify(path)}).catch(({ system }) => console.log(system));`;
  writeFileSync(path, 'old');
  // In blocks of a KiB.
  const command = 'ulimit -f 4096; exec "$0" -e "$1"';
  const output = execFileSync('bash', ['-c', command, process.execPath, program], { encoding: 'utf8' });
  assert.equal(output, 'EFBIG\n');
  assert.deepEqual([readdirSync(directory), readFileSync(path, 'utf8')], [['file'], 'old']);
});

test('progress counts up', async (t) => {
  const large = largeOf(t);
  const seen = [];
  const snapshot = await large.saveToBuffer({ progress: (progress) => seen.push(progress) });
  assert.ok(seen.length >= 9);
  assert.deepEqual(
    seen.map(({ items }) => items),
    seen.map(({ items }) => items).sort((a, b) => a - b),
  );
  assert.deepEqual(seen.at(-1), { items: 100, bytes: 100 * (100 << 10) + 190, allItems: 100 });
  const warm = cacheOf(t);
  let calls = 0;
  await warm.load(snapshot, { progress: () => (calls += 1) });
  assert.ok(calls >= 9);
});

test('an operation ends early', async (t) => {
  const large = largeOf(t);
  const directory = directoryOf();
  const path = join(directory, 'file');
  writeFileSync(path, 'old');
  // At this rate the first block takes days.
  const slow = { rate: 1 };
  let calls = 0;
  const progress = () => {
    calls += 1;
    return false;
  };
  await assert.rejects(large.save(path, { ...slow, progress }), CancelledError);
  const mine = new Error('mine');
  const fail = () => {
    calls += 1;
    throw mine;
  };
  await assert.rejects(large.save(path, { ...slow, progress: fail }), (error) => error === mine);
  const controller = new AbortController();
  const abort = () => controller.abort(mine);
  const { signal } = controller;
  await assert.rejects(large.save(path, { ...slow, signal, progress: abort }), (error) => error === mine);
  await assert.rejects(large.save(path, { signal }), (error) => error === mine);
  await assert.rejects(large.load(path, { signal: AbortSignal.abort() }), { name: 'AbortError' });
  assert.ok(calls >= 2);
  assert.deepEqual([readdirSync(directory), readFileSync(path, 'utf8')], [['file'], 'old']);
});

test('two saves to one file, and a flush during a save', async (t) => {
  const large = largeOf(t);
  const path = join(directoryOf(), 'file');
  let second;
  const progress = () => {
    second ??= assert.rejects(large.save(path), BusyError);
  };
  // The first save still runs when the second one begins.
  assert.equal((await large.save(path, { rate: 8 << 20, codec: 'none', progress })).items, 100);
  await second;
  const flush = () => large.flush();
  await assert.rejects(large.saveToBuffer({ rate: 8 << 20, codec: 'none', progress: flush }), {
    code: 'ERR_MEMCACHE_BUSY',
    message: /flushed/,
  });
});

test('the event loop and other calls go on', async (t) => {
  const large = largeOf(t);
  const path = join(directoryOf(), 'pipe');
  execFileSync('mkfifo', [path]);
  const snapshot = await large.saveToBuffer();
  const warm = cacheOf(t);
  // The load waits for bytes that this thread writes.
  const loading = warm.load(path);
  warm.set('key', 'value');
  const writer = thread('require("node:fs").writeFileSync(data.path, data.snapshot);', { path, snapshot });
  const [{ items }] = await Promise.all([loading, once(writer, 'exit')]);
  assert.equal(items, 100);
  assert.equal(warm.size, 101);
});

test('a closed cache, and one that is closed during a save', async (t) => {
  const cache = new Cache();
  cache.close();
  const path = join(directoryOf(), 'file');
  for (const call of [cache.save(path), cache.saveToBuffer(), cache.load(path)]) await assert.rejects(call, ClosedError);
  const large = largeOf(t);
  const saving = large.saveToBuffer({ rate: 8 << 20, codec: 'none', progress: () => large.close() });
  await assert.rejects(saving, BusyError);
});

test('a save sees what clients have sent', async (t) => {
  const server = await Server.start();
  t.after(() => server.close());
  const path = join(directoryOf(), 'file');
  await ask(place(server), 'set key 7 0 5 noreply', 'value');
  assert.equal((await server.cache.save(path)).items, 1);
  await ask(place(server), 'flush_all noreply');
  assert.equal((await server.cache.load(path)).items, 1);
  assert.equal(await ask(place(server), 'get key'), 'VALUE key 7 5\r\nvalue\r\nEND\r\n');
});

test('a save keeps the process alive, and its exit does not wait', async () => {
  const path = join(directoryOf(), 'file');
  const program = (more) => `
    const cache = new memcache.Cache();
    for (let n = 0; n < 40; n += 1) cache.set(String(n), require('node:crypto').randomBytes(1_000_000));
    cache.save(${JSON.stringify(path)}, ${more}).then(({ items }) => console.log(items));`;
  assert.deepEqual(await run(program('{}')), { stdout: '40\n', stderr: '', code: 0, signal: null });
  const before = readFileSync(path);
  const exits = program('{ rate: 1, progress: () => process.exit(7) }');
  assert.deepEqual(await run(exits), { stdout: '', stderr: '', code: 7, signal: null });
  assert.deepEqual(readFileSync(path), before);
});

test('a thread that ends takes its save along', async () => {
  const directory = directoryOf();
  mkdirSync(join(directory, 'empty'));
  const path = join(directory, 'empty', 'file');
  const worker = thread(
    `const cache = new memcache.Cache();
    cache.set('key', 'value');
    await cache.save(data, { rate: 1, progress: () => parent.postMessage('saves') });`,
    path,
  );
  await once(worker, 'message');
  await worker.terminate();
  // The next save to this path succeeds as soon as the old one has ended.
  const cache = new Cache();
  for (;;) {
    const saved = await cache.save(path).catch((error) => error);
    if (!(saved instanceof BusyError)) {
      assert.equal(saved.items, 0);
      break;
    }
  }
  assert.deepEqual(readdirSync(join(directory, 'empty')), ['file']);
  cache.close();
});
