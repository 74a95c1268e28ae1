// Caches and servers at the end of a process.
'use strict';

const assert = require('node:assert/strict');
const { fork } = require('node:child_process');
const { once } = require('node:events');
const { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } = require('node:fs');
const net = require('node:net');
const { tmpdir } = require('node:os');
const { join } = require('node:path');
const { test } = require('node:test');
const { Server } = require('../index.js');
const { INDEX, ask, directories, run } = require('./support.js');

const quiet = { stdout: '', stderr: '', code: 0, signal: null };

test('a process ends while a server runs, and leaves nothing', async () => {
  const before = directories().length;
  const program = `memcache.Server.start({ tls: 'test', unixSocket: true, host: '127.0.0.1' }).then((server) => {
    const watch = server.watch();
    void watch.next();
    void server.cache.getOrSet('key', () => new Promise(() => {}));`;
  assert.deepEqual(await run(`${program} });`), quiet);
  assert.deepEqual(await run(`${program} process.exit(3); });`), { ...quiet, code: 3 });
  const thrown = await run(`${program} throw new Error('thrown'); });`);
  assert.match(thrown.stderr, /Error: thrown/);
  assert.equal(thrown.code, 1);
  assert.equal(directories().length, before);
});

test('a server with ref() keeps the process alive until close() or unref()', async () => {
  for (const end of ['close', 'unref']) {
    const done = await run(`memcache.Server.start().then((server) => {
      server.ref().ref();
      setTimeout(() => { console.log('still here'); server.${end}(); }, 100).unref();
    });`);
    assert.deepEqual(done, { ...quiet, stdout: 'still here\n' });
  }
});

test('a server without a reference keeps running', async () => {
  const done = await run(
    `const { ask, collect } = require(${JSON.stringify(join(__dirname, 'support.js'))});
     memcache.Server.start().then(({ port }) => port).then(async (port) => {
       await collect();
       process.stdout.write(await ask({ port, host: '127.0.0.1' }, 'mn'));
     });`,
  );
  assert.deepEqual(done, { ...quiet, stdout: 'MN\r\n' });
});

test('a child process has its own caches of each name', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'memcache-test-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const program = join(directory, 'child.js');
  writeFileSync(
    program,
    `const { Cache, Server } = require(${JSON.stringify(INDEX)});
     process.once('message', async ({ port, host }) => {
       const cache = new Cache({ name: 'family' });
       const socket = require('node:net').connect(port, host);
       socket.end('get key\\r\\nquit\\r\\n');
       let text = '';
       for await (const chunk of socket) text += chunk;
       const server = await Server.start({ cache });
       process.send([cache.size, text, server.port !== port]);
       process.disconnect();
     });`,
  );
  const server = await Server.start({ name: 'family' });
  t.after(() => server.close());
  server.cache.set('key', 'value');
  const child = fork(program);
  child.send({ port: server.port, host: server.host });
  const [answer] = await once(child, 'message');
  assert.deepEqual(answer, [0, 'VALUE key 0 5\r\nvalue\r\nEND\r\n', true]);
  const [code] = await once(child, 'exit');
  assert.equal(code, 0);
});

test('the socket of a killed process is replaced', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'memcache-test-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'socket');
  const killed = await run(
    `memcache.Server.start({ unixSocket: ${JSON.stringify(path)} }).then(() => process.kill(process.pid, 'SIGKILL'));
     setTimeout(() => {}, 10_000);`,
  );
  assert.equal(killed.signal, 'SIGKILL');
  assert.ok(existsSync(path));
  const server = await Server.start({ unixSocket: path });
  t.after(() => server.close());
  assert.equal(await ask({ path }, 'mn'), 'MN\r\n');
  // The socket of a running server is not.
  await assert.rejects(Server.start({ unixSocket: path }), { name: 'StartError', system: 'EADDRINUSE' });
  assert.equal(await ask({ path }, 'mn'), 'MN\r\n');
});

for (const signal of ['SIGTERM', 'SIGHUP', 'SIGINT', 'SIGKILL']) {
  test(`${signal} leaves no key, and a directory that the next start removes`, async () => {
    const before = directories();
    const left = () => directories().filter((name) => !before.includes(name));
    const program = (kind, more = '') => `
      memcache.Server.start({ tls: ${kind}, unixSocket: true, host: '127.0.0.1' }).then((server) => {
        server.tlsOptions();
        ${more}
        process.kill(process.pid, '${signal}');
      });
      setTimeout(() => {}, 10_000);`;
    assert.equal((await run(program("'test'"))).signal, signal);
    assert.deepEqual(
      left().map((name) => readdirSync(join(tmpdir(), name)).sort()),
      [['lock', 'memcached.sock']],
    );
    // A program that has read the paths leaves the files.
    assert.equal((await run(program("'test-mutual'", 'server.tls.key;'))).signal, signal);
    const [directory, ...others] = left();
    assert.deepEqual(others, []);
    assert.ok(existsSync(join(tmpdir(), directory, 'server-key.pem')));
    // The directory of a running server stays.
    const servers = [await Server.start({ unixSocket: true }), await Server.start({ unixSocket: true })];
    assert.equal(left().length, 2);
    for (const { unixSocket: path } of servers) assert.equal(await ask({ path }, 'mn'), 'MN\r\n');
    await Promise.all(servers.map((server) => server.close()));
    assert.deepEqual(left(), []);
  });
}

test('a signal handler that exits leaves nothing', async () => {
  const before = directories().length;
  const done = await run(
    `process.once('SIGTERM', () => process.exit(0));
     memcache.Server.start({ unixSocket: true }).then((server) => { server.ref(); process.kill(process.pid, 'SIGTERM'); });`,
  );
  assert.deepEqual(done, quiet);
  assert.equal(directories().length, before);
});

test('the event loop goes on while a server starts and stops', async () => {
  let turns = 0;
  const count = setInterval(() => (turns += 1), 1);
  const server = await Server.start();
  const delay = server.faults.delay(0.5, { command: 'get' });
  const client = net.connect(server.port, server.host);
  client.on('error', () => {});
  client.write('get key\r\n');
  while (server.stats().curr_connections < 1) await new Promise((resolve) => setTimeout(resolve, 5));
  turns = 0;
  await server.close({ graceful: true });
  clearInterval(count);
  client.destroy();
  delay.remove();
  assert.ok(turns > 20, `${turns} turns`);
});
