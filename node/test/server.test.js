// A server in this process.
'use strict';

const assert = require('node:assert/strict');
const { existsSync, statSync, writeFileSync, mkdtempSync, rmSync } = require('node:fs');
const { once } = require('node:events');
const net = require('node:net');
const { tmpdir } = require('node:os');
const { join } = require('node:path');
const { describe, test } = require('node:test');
const tls = require('node:tls');
const { inspect } = require('node:util');
const { Cache, Server } = require('../index.js');
const { ask, directories, place, refuses, whenever } = require('./support.js');

async function serve(t, options) {
  const server = await Server.start(options);
  t.after(() => server.close());
  return server;
}

/** Creates a directory for the files of a test. */
function directory(t) {
  const made = mkdtempSync(join(tmpdir(), 'memcache-test-'));
  t.after(() => rmSync(made, { recursive: true }));
  return made;
}

const closed = {
  name: 'ClosedError',
  code: 'ERR_MEMCACHE_CLOSED',
  message: 'the server is not running: call start() first',
};

test('clients and the program see the same items', async (t) => {
  const server = await serve(t);
  assert.match(server.address, /^127\.0\.0\.1:\d+$/);
  assert.equal(server.address, `${server.host}:${server.port}`);
  assert.equal(server.url, `memcache://${server.address}`);
  assert.equal(server.unixSocket, undefined);
  assert.equal(server.udpAddress, undefined);
  assert.equal(server.tls, undefined);
  assert.equal(inspect(server), `<Server at memcache://${server.address}>`);
  assert.equal(await ask(place(server), 'set greeting 5 60 5', 'hello'), 'STORED\r\n');
  assert.equal(server.cache.getString('greeting'), 'hello');
  assert.equal(server.cache.getItem('greeting').flags, 5);
  server.cache.set('answer', '42');
  assert.equal(await ask(place(server), 'get answer'), 'VALUE answer 0 2\r\n42\r\nEND\r\n');
  assert.equal(server.stats().curr_items, 2);
  assert.equal(server.stats('settings').num_threads, 1);
  assert.throws(() => server.stats('nothing'), { name: 'ConfigError' });
});

test('hot keys are those of clients and of the program', async (t) => {
  const server = await serve(t, { settings: { sampleRate: 1 } });
  server.cache.set('greeting', 'hello');
  for (let n = 0; n < 3; n += 1) await ask(place(server), 'get greeting');
  await ask(place(server), 'get other');
  const [greeting, other] = server.hotKeys();
  assert.deepEqual({ ...greeting }, { key: Buffer.from('greeting'), reads: 3, writes: 1, error: 0, share: 0.8 });
  assert.equal(String(other.key), 'other');
  assert.equal(server.cache.hotKeys(1).length, 1);
  assert.equal(server.stats('latency')['get:count'], 4);
  assert.throws(() => server.hotKeys(-1), { code: 'ERR_OUT_OF_RANGE' });
  assert.throws(() => server.hotKeys('1'), { code: 'ERR_INVALID_ARG_TYPE' });
});

test('a closed server is gone, and starts again at its address, empty', async (t) => {
  const server = await serve(t);
  const { address, port, cache } = server;
  cache.set('key', 'value');
  const client = net.connect(place(server));
  await once(client, 'connect');
  const ended = whenever(client, 'close');
  await server.close();
  await ended;
  assert.ok(await refuses(port));
  assert.equal(server.running, false);
  assert.equal(inspect(server), '<Server, not running>');
  assert.ok(cache.closed);
  const uses = [
    () => server.address,
    () => server.host,
    () => server.port,
    () => server.url,
    () => server.unixSocket,
    () => server.udpAddress,
    () => server.tls,
    () => server.tlsOptions(),
    () => server.cache,
    () => server.clock,
    () => server.faults,
    () => server.stats(),
    () => server.watch(),
    () => server.lastCommands,
    () => server.clearCommands(),
    () => server.setClusterNodes([]),
    () => server.ref(),
  ];
  for (const use of uses) assert.throws(use, closed);
  await server.close();
  server.unref();
  await server.start();
  assert.equal(server.address, address);
  assert.equal(server.cache.size, 0);
  assert.equal(await server.start(), server);
});

test('starts and stops that overlap come one after the other', async (t) => {
  const server = new Server();
  t.after(() => server.close());
  const [one, , two] = await Promise.all([server.start(), server.close(), server.start(), server.start()]);
  assert.equal(one, two);
  assert.equal(server.running, true);
  await Promise.all([server.close(), server.close()]);
  assert.equal(server.running, false);
});

test('a cache that was passed in stays open', async (t) => {
  const cache = new Cache({ memoryLimit: 16 << 20 });
  t.after(() => cache.close());
  cache.set('key', 'value');
  const server = await serve(t, { cache });
  assert.equal(server.cache, cache);
  assert.equal(await ask(place(server), 'get key'), 'VALUE key 0 5\r\nvalue\r\nEND\r\n');
  await server.close();
  assert.equal(cache.getString('key'), 'value');
  await server.start();
  assert.equal(server.cache.getString('key'), 'value');
  const other = await serve(t, { cache });
  assert.equal(await ask(place(other), 'delete key'), 'DELETED\r\n');
  assert.equal(server.cache.has('key'), false);
});

test('await using', async () => {
  const server = await Server.start();
  const { port } = server;
  await server[Symbol.asyncDispose]();
  assert.ok(await refuses(port));
});

describe('a Unix socket', () => {
  test('has its own directory, which is removed with it', async (t) => {
    const server = await serve(t, { unixSocket: true });
    const path = server.unixSocket;
    assert.equal(await ask({ path }, 'mn'), 'MN\r\n');
    assert.equal(server.url, `memcache://${path}`);
    assert.throws(() => server.address, { name: 'ClosedError', message: /no TCP address/ });
    await server.close();
    assert.equal(existsSync(join(path, '..')), false);
  });

  test('has the given path, beside TCP if a host is given', async (t) => {
    const path = join(directory(t), 'socket');
    const server = await serve(t, { unixSocket: path, unixMask: 0o600, host: '127.0.0.1' });
    assert.equal(server.unixSocket, path);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.equal(await ask({ path }, 'mn'), 'MN\r\n');
    assert.equal(await ask(place(server), 'mn'), 'MN\r\n');
    assert.equal(server.url, `memcache://${server.address}`);
    await server.close();
    assert.equal(existsSync(path), false);
  });
});

describe('TLS', () => {
  const over = (options) => ask2(tls.connect({ ...options, servername: 'localhost' }));

  async function ask2(socket) {
    // With TLS 1.3 a client learns of a refusal when it reads.
    let refused;
    socket.on('error', ({ code }) => (refused = code));
    socket.write('mn\r\nquit\r\n');
    let text = '';
    socket.on('data', (chunk) => (text += chunk));
    await whenever(socket, 'close');
    return refused ?? text;
  }

  test('with test certificates', async (t) => {
    const before = directories().length;
    const server = await serve(t, { tls: 'test' });
    assert.match(server.url, /^memcaches:/);
    assert.equal(await over(server.tlsOptions()), 'MN\r\n');
    // No file is written until the program reads the paths.
    assert.equal(directories().length, before);
    const { ca, certificate, verifyClients } = server.tls;
    assert.equal(verifyClients, false);
    assert.equal(statSync(ca).mode & 0o777, 0o600);
    assert.equal(server.tls.certificate, certificate);
    assert.equal(await over(server.tlsOptions()), 'MN\r\n');
    await server.close();
    assert.equal(existsSync(certificate), false);
    // The same certificates, as files.
    await server.start();
    const again = await serve(t, { tls: { certificate: server.tls.certificate, key: server.tls.key, ca: server.tls.ca } });
    assert.equal(await over(again.tlsOptions()), 'MN\r\n');
  });

  test('with certificates of clients', async (t) => {
    const server = await serve(t, { tls: 'test-mutual' });
    assert.equal(await over(server.tlsOptions()), 'MN\r\n');
    assert.equal(
      await over({ ...server.tlsOptions(), cert: undefined, key: undefined }),
      'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED',
    );
  });

  test('with certificates that cannot be written', async (t) => {
    const server = await serve(t, { tls: 'test' });
    const { TMPDIR } = process.env;
    t.after(() => Object.assign(process.env, { TMPDIR }));
    process.env.TMPDIR = '/nowhere';
    const refused = {
      name: 'StartError',
      code: 'ERR_MEMCACHE_START',
      errno: -2,
      system: 'ENOENT',
      message: /^failed to create/,
    };
    assert.throws(() => server.tls, refused);
    process.env.TMPDIR = TMPDIR;
    assert.ok(existsSync(server.tls.ca));
  });

  test('with invalid files', async (t) => {
    const file = join(directory(t), 'file');
    writeFileSync(file, 'nothing');
    const before = directories().length;
    await assert.rejects(Server.start({ tls: { certificate: file, key: file } }), { name: 'ConfigError' });
    assert.equal(directories().length, before);
    const plain = await serve(t);
    assert.throws(() => plain.tlsOptions(), { name: 'ConfigError', message: /tls: 'test'/ });
  });
});

test('users log in', async (t) => {
  const server = await serve(t, { users: { somebody: 'secret' }, auth: 'text' });
  const login = ['set auth 0 0 15', 'somebody secret'];
  assert.equal(
    await ask(place(server), 'get key', ...login, 'get key'),
    'CLIENT_ERROR unauthenticated\r\nSTORED\r\nEND\r\n',
  );
  assert.equal(
    await ask(place(server), 'set auth 0 0 14', 'somebody wrong', ...login),
    'CLIENT_ERROR authentication failure\r\nSTORED\r\n',
  );
  const other = await serve(t, { users: new Map([['a', 'b']]), auth: 'text' });
  assert.equal(await ask(place(other), 'set auth 0 0 3', 'a b', 'mn'), 'STORED\r\nMN\r\n');
});

test('users have rights', async (t) => {
  const users = { ada: 'secret', shop: 'secret' };
  const settings = { rights: 'ada all; shop ro,prefix=shop/' };
  const server = await serve(t, { users, auth: 'text', settings });
  assert.equal(
    await ask(place(server), 'set auth 0 0 11', 'shop secret', 'get shop/a', 'get other', 'delete shop/a'),
    'STORED\r\nEND\r\nCLIENT_ERROR not permitted\r\nCLIENT_ERROR not permitted\r\n',
  );
  await assert.rejects(Server.start({ users, settings: { rights: 'ada rw' } }), {
    name: 'ConfigError',
    message: /rights must be all, noadmin, ro or prefix=TEXT/,
  });
});

test('UDP beside TCP', async (t) => {
  // Another program may use the UDP port. Then another port is tried.
  for (let tries = 0; ; tries += 1) {
    try {
      const server = await serve(t, { udp: true, port: 20_000 + Math.floor(Math.random() * 10_000) });
      assert.equal(server.udpAddress, server.address);
      return;
    } catch (error) {
      if (error.code !== 'ERR_MEMCACHE_START' || tries > 5) throw error;
    }
  }
});

test('time stands still and moves', async (t) => {
  const server = await serve(t);
  server.cache.set('key', 'value', 3600);
  server.clock.freeze().advance(3599);
  assert.equal(await ask(place(server), 'mg key t'), 'HD t1\r\n');
  server.clock.advance(1);
  assert.equal(await ask(place(server), 'mg key t'), 'EN\r\n');
  server.clock.resume();
});

describe('faults', () => {
  test('apply under their conditions', async (t) => {
    const server = await serve(t);
    server.cache.set('key', 'value');
    const error = server.faults.error('out of order', { command: 'get', key: 'k*', times: 1 });
    assert.equal(
      await ask(place(server), 'mg key', 'get other', 'get key', 'get key'),
      'HD\r\nEND\r\nSERVER_ERROR out of order\r\nVALUE key 0 5\r\nvalue\r\nEND\r\n',
    );
    assert.equal(error.remove(), 1);
    assert.equal(error.remove(), 1);
    const miss = server.faults.miss({ key: Buffer.from('key') });
    assert.equal(await ask(place(server), 'get key'), 'END\r\n');
    miss[Symbol.dispose]();
    assert.match(await ask(place(server), 'get key'), /VALUE/);
    server.faults.drop({ command: 'set' });
    assert.equal(await ask(place(server), 'mn', 'set key 0 0 1', 'x'), 'MN\r\n');
    server.faults.clear();
    server.faults.error();
    assert.equal(await ask(place(server), 'get key'), 'SERVER_ERROR injected\r\n');
    server.faults.clear();
    server.faults.truncate(9, { command: 'get', times: 1 });
    assert.equal(await ask(place(server), 'get key'), 'VALUE key');
    assert.match(await ask(place(server), 'get key'), /^VALUE key 0 5/);
    const delay = server.faults.delay(0.2);
    const begun = performance.now();
    assert.equal(await ask(place(server), 'get other'), 'END\r\n');
    assert.ok(performance.now() - begun >= 190);
    assert.ok(delay.remove() >= 1);
    const late = server.faults.delayReply(0.001, { command: 'get' });
    assert.equal(await ask(place(server), 'get other'), 'END\r\n');
    assert.equal(late.remove(), 1);
  });

  test('a command runs before its late reply', async (t) => {
    const server = await serve(t);
    server.faults.delayReply(3600, { command: 'set' });
    let received = '';
    const late = net.connect(place(server)).on('data', (data) => {
      received += data;
    });
    t.after(() => late.destroy());
    late.write('set key 0 0 5\r\nvalue\r\n');
    while ((await ask(place(server), 'mg key')) !== 'HD\r\n');
    assert.equal(received, '');
  });

  test('with invalid arguments are refused', async (t) => {
    const { faults } = await serve(t);
    const wrong = [
      () => faults.delay(-1),
      () => faults.delay(NaN),
      () => faults.delayReply(-1),
      () => faults.miss({ probability: 2 }),
      () => faults.miss({ times: -1 }),
      () => faults.error('two\r\nlines'),
      () => faults.truncate(-1),
      () => faults.truncate(1.5),
    ];
    for (const make of wrong) assert.throws(make, { name: 'ConfigError' });
    assert.throws(() => faults.delay('1'), { name: 'TypeError' });
    assert.throws(() => faults.truncate(), { name: 'TypeError' });
    for (const when of [{ key: 5 }, { command: 5 }, { times: '1' }, { probability: '1' }]) {
      assert.throws(() => faults.miss(when), { name: 'TypeError', message: /^[a-z]+ must be a (string|number)/ });
    }
  });
});

describe('watching', () => {
  /** Waiting for an event does not keep the process alive. */
  async function serveHeld(t) {
    return (await serve(t)).ref();
  }

  test('shows events', async (t) => {
    const server = await serveHeld(t);
    const watch = server.watch('mutations', 'fetchers');
    server.cache.set('kéy', 'value');
    await ask(place(server), 'get other');
    const events = [];
    for await (const event of watch) {
      events.push(event);
      if (events.length === 3) break;
    }
    assert.deepEqual(
      events.map(({ type, key, fields }) => [type, String(key), fields.status]),
      [
        ['item_get', 'kéy', 'not_found'],
        ['item_store', 'kéy', 'stored'],
        ['item_get', 'other', 'not_found'],
      ],
    );
    assert.ok(events.every(({ time, fields }) => Math.abs(time - Date.now() / 1000) < 60 && fields.gid > 0));
    assert.deepEqual(await watch.next(), { done: true, value: undefined });
  });

  test('shows some kinds only', async (t) => {
    const server = await serveHeld(t);
    const watch = server.watch('deletions');
    server.cache.set('key', 'value');
    const next = watch.next();
    server.cache.delete('key');
    const { value } = await next;
    assert.equal(value.type, 'deleted');
    assert.deepEqual(value.key, Buffer.from('key'));
    watch.close();
    assert.throws(() => server.watch('nothing'), { name: 'ConfigError', message: /evictions/ });
  });

  test('ends with the server, and received events can be read', async (t) => {
    const server = await serveHeld(t);
    const [one, two] = [server.watch('deletions'), server.watch('deletions')];
    const waits = [one.next(), one.next()];
    server.cache.set('key', 'value');
    server.cache.delete('key');
    await server.close();
    const ends = await Promise.all(waits);
    assert.equal(ends[1].done, true);
    const seen = [];
    for await (const { type } of two) seen.push(type);
    assert.deepEqual(seen, ['deleted']);
  });

  test('is limited to 20 watches', async (t) => {
    const server = await serveHeld(t);
    const all = Array.from({ length: 20 }, () => server.watch());
    assert.throws(() => server.watch(), { name: 'ConfigError', message: /20 watchers/ });
    all[0][Symbol.dispose]();
    server.watch();
  });

  test('loses none of many events', async (t) => {
    const server = await serveHeld(t);
    const watch = server.watch('deletions');
    let last;
    const reading = (async () => {
      let count = 0;
      for await (const { key } of watch) {
        count += 1;
        last = String(key);
        if (count === 5000) return;
      }
    })();
    for (let n = 0; n < 5000; n += 1) {
      server.cache.set(`key${n}`, '');
      server.cache.delete(`key${n}`);
    }
    await reading;
    assert.equal(last, 'key4999');
  });
});

test('commands are recorded with recordCommands', async (t) => {
  const server = await serve(t, { recordCommands: true });
  await ask(place(server), 'get a', 'mg b v');
  assert.deepEqual(server.lastCommands, ['get a', 'mg b v', 'quit']);
  server.clearCommands();
  assert.deepEqual(server.lastCommands, []);
  // A get of the binary protocol, with a header of 24 bytes.
  const header = Buffer.alloc(24);
  header.set([0x80, 0x00, 0, 1]);
  header.writeUInt32BE(1, 8);
  const socket = net.connect(place(server));
  socket.write(Buffer.concat([header, Buffer.from('a')]));
  await once(socket, 'data');
  socket.destroy();
  assert.deepEqual(server.lastCommands, ['binary get a']);
});

test('unknown options are refused, not ignored', async (t) => {
  const server = await serve(t);
  const { cache, faults } = server;
  const wrong = [
    () => cache.set('key', 'value', { tll: 5 }),
    () => cache.set('key', 'value', new Map([['ttl', 5]])),
    () => cache.set('key', 'value', [5]),
    () => cache.add('key', 'value', { expires: 5 }),
    () => cache.incr('key', 1, { init: 5 }),
    () => cache.decr('key', 1, new Map()),
    () => cache.incr('key', 1, null),
  ];
  for (const use of wrong) assert.throws(use, { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' }, String(use));
  assert.equal(cache.size, 0);
  for (const when of [{ comand: 'get' }, new Map([['command', 'get']]), null]) {
    assert.throws(() => faults.drop(when), { name: 'ConfigError' });
  }
  await assert.rejects(server.close({ gracefull: true }), { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' });
  assert.equal(await ask(place(server), 'mn'), 'MN\r\n');
  const options = [
    { users: ['Ada', 'secret'] },
    { users: new Map([['Ada', 5]]) },
    { users: 'Ada' },
    { tls: { certificate: 'c', key: 'k', verifyClient: true } },
    new Map([['port', 0]]),
    { cache: new Map() },
  ];
  for (const one of options) await assert.rejects(Server.start(one), { name: 'ConfigError' }, inspect(one));
  assert.throws(() => new Cache(new Map([['name', 'a']])), { name: 'ConfigError' });
});

test('clients may shut it down with shutdownEnabled', async (t) => {
  const server = await serve(t, { shutdownEnabled: true });
  const { port } = server;
  await ask(place(server), 'shutdown');
  while (server.running) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.ok(await refuses(port));
  await server.start();
  assert.equal(server.port, port);
  assert.equal(await ask(place(server), 'mn'), 'MN\r\n');
});

test('a graceful stop finishes replies in progress', async (t) => {
  const server = await serve(t);
  server.faults.delay(0.1, { command: 'get' });
  const answer = ask(place(server), 'get key');
  while (server.stats().curr_connections < 1) await new Promise((resolve) => setTimeout(resolve, 5));
  await new Promise((resolve) => setTimeout(resolve, 20));
  await server.close({ graceful: true, timeout: 10 });
  assert.equal(await answer, 'END\r\n');
});

test('a graceful stop may have no time limit', async (t) => {
  const server = await serve(t);
  server.faults.delay(0.1, { command: 'get' });
  const answer = ask(place(server), 'get key');
  while (server.stats().curr_connections < 1) await new Promise((resolve) => setTimeout(resolve, 5));
  await new Promise((resolve) => setTimeout(resolve, 20));
  await server.close({ graceful: true, timeout: Number.POSITIVE_INFINITY });
  assert.equal(await answer, 'END\r\n');
});

test('a stop with bad options leaves the server running', async (t) => {
  const server = await serve(t);
  const watch = server.watch('deletions');
  for (const options of [{ graceful: 'yes' }, { timeout: '5' }, { timeout: null }]) {
    await assert.rejects(server.close(options), { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' }, inspect(options));
  }
  for (const timeout of [-1, Number.NaN]) {
    await assert.rejects(server.close({ timeout }), { name: 'RangeError', code: 'ERR_OUT_OF_RANGE' });
  }
  server.cache.set('key', 'value');
  assert.equal(await ask(place(server), 'delete key'), 'DELETED\r\n');
  assert.equal((await watch.next()).value.type, 'deleted');
});

test('a port in use, and invalid settings', async (t) => {
  const server = await serve(t);
  const before = directories().length;
  await assert.rejects(Server.start({ port: server.port, tls: 'test' }), {
    name: 'StartError',
    code: 'ERR_MEMCACHE_START',
    system: 'EADDRINUSE',
    errno: -98,
    message: /failed to listen/,
  });
  assert.equal(directories().length, before);
  await assert.rejects(Server.start({ host: '192.0.2.1' }), { name: 'StartError', system: 'EADDRNOTAVAIL' });
  await assert.rejects(Server.start({ unixSocket: '/nowhere/socket' }), { name: 'StartError', system: 'ENOENT' });
  const wrong = [
    { port: -1 },
    { port: 65536 },
    { port: '1' },
    { host: 'example.com' },
    { host: 5 },
    { auth: 'basic' },
    { tls: 'yes' },
    { tls: '' },
    { tls: true },
    { tls: 1 },
    { tls: 'test', unixSocket: true },
    { threads: 0 },
    { threads: 1.5 },
    { idleTimeout: -1 },
    { unixMask: 0o1000 },
    { cache: {} },
    { ports: 1 },
    { maxConnections: 0 },
    { cache: new Cache(), name: 'a' },
    { memoryLimit: 'much' },
    { clusterNodes: ['no port'] },
    { clusterNodes: [5] },
    { clusterNodes: 'one' },
    { udp: 'yes' },
    { shutdownEnabled: 1 },
    { recordCommands: 'no' },
    { unixSocket: 5 },
    { tls: { key: 'k' } },
    { tls: { certificate: 'c', key: 5 } },
    { tls: { certificate: 'c', key: 'k', verifyClients: 'yes' } },
  ];
  for (const options of wrong) {
    await assert.rejects(Server.start(options), { name: 'ConfigError', code: 'ERR_MEMCACHE_CONFIG' }, inspect(options));
  }
  for (const tls of [null, false]) {
    const plain = await serve(t, { tls });
    assert.equal(plain.tls, undefined);
  }
});
