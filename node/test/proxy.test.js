// A proxy in this process, and a cluster behind one.
'use strict';

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { mkdtempSync, writeFileSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');
const { test } = require('node:test');
const { connect } = require('node:tls');
const { Cluster, Server } = require('..');
const { Fixture } = require('../testing/fixture.js');
const { ask, place } = require('./support.js');

const FAILURE = 'SERVER_ERROR backend failure\r\n';
const KEYS = Array.from({ length: 60 }, (_, number) => `key:${number}`);

/** Returns the reply to a request for each key, by key. */
const askAll = async (server, request) => {
  const replies = await Promise.all(KEYS.map((key) => ask(place(server), request(key))));
  return new Map(KEYS.map((key, index) => [key, replies[index]]));
};
const setAll = async (server) => [...new Set((await askAll(server, (key) => `set ${key} 0 60 1\r\nx`)).values())];
/** Returns the keys whose get has the reply `wanted`. */
const keysWith = async (server, wanted) => {
  const replies = await askAll(server, (key) => `get ${key}`);
  return KEYS.filter((key) => replies.get(key) === wanted);
};

async function cluster(t, size, options) {
  const started = await Cluster.start(size, options);
  t.after(() => started.close());
  return started;
}

test('a server is a proxy', async (t) => {
  const backend = await Server.start();
  t.after(() => backend.close());
  const route = `route = 'main'\npools.main.backends = ['${backend.address}']\n`;
  const file = join(mkdtempSync(join(tmpdir(), 'proxy-')), 'proxy.toml');
  writeFileSync(file, route);
  for (const proxy of [route, file]) {
    const server = await Server.start({ proxy });
    t.after(() => server.close());
    assert.equal(await ask(place(server), 'set key 0 0 1\r\nx'), 'STORED\r\n');
    assert.equal(backend.cache.getString('key'), 'x');
    server.retryBackends();
    assert.equal(await ask(place(server), 'delete key'), 'DELETED\r\n');
  }
});

test('a proxy reads another configuration', async (t) => {
  const backend = await Server.start();
  t.after(() => backend.close());
  const file = join(mkdtempSync(join(tmpdir(), 'proxy-')), 'proxy.toml');
  writeFileSync(file, "route = { error = 'from the file' }");
  const proxy = await Server.start({ proxy: file });
  t.after(() => proxy.close());
  const get = () => ask(place(proxy), 'get key');
  assert.equal(await get(), 'SERVER_ERROR from the file\r\n');
  writeFileSync(file, "route = { error = 'again' }");
  await proxy.reloadProxy();
  assert.equal(await get(), 'SERVER_ERROR again\r\n');
  await assert.rejects(proxy.reloadProxy("route = 'main'"), { name: 'ConfigError', message: /^proxy: line 1: / });
  await assert.rejects(proxy.reloadProxy('main'), { name: 'ConfigError', message: /^proxy: must be a text in TOML/ });
  await assert.rejects(proxy.reloadProxy(1), { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' });
  await proxy.reloadProxy(`route = 'main'\npools.main.backends = ['${backend.address}']\n`);
  assert.equal(await get(), 'END\r\n');
  await proxy.reloadProxy();
  assert.equal(await get(), 'END\r\n');
  // The next start reads the last one, too.
  await proxy.close();
  await assert.rejects(proxy.reloadProxy(), { name: 'ClosedError' });
  await proxy.start();
  assert.equal(await get(), 'END\r\n');
  await assert.rejects(backend.reloadProxy(), { name: 'ConfigError', message: /no proxy/ });
});

test('hot keys and events of a proxy', async (t) => {
  const backend = await Server.start();
  t.after(() => backend.close());
  const proxy = await Server.start({
    proxy: `route = 'main'\n[pools.main]\nbackends = ['${backend.address}']\nlog = { sample = 1 }\n`,
    settings: { sampleRate: 1 },
  });
  t.after(() => proxy.close());
  proxy.clock.freeze();
  const events = proxy.watch('proxyreqs', 'proxyevents', 'proxyuser');
  await ask(place(proxy), 'set key 0 0 1\r\nx');
  const { value } = await events.next();
  assert.deepEqual([value.type, value.fields.req], ['proxy_req', 'set key 0 0 1']);
  await backend.close();
  await ask(place(proxy), 'get key');
  const types = new Set();
  while (types.size < 2) types.add((await events.next()).value.type);
  assert.deepEqual(types, new Set(['proxy_backend', 'proxy_req']));
  events.close();
  const [hot] = proxy.hotKeys();
  assert.deepEqual([String(hot.key), hot.reads, hot.writes], ['key', 1, 1]);
});

test('a cluster follows another route', async (t) => {
  const nodes = await cluster(t, 2, { proxy: true });
  await setAll(nodes.proxy);
  const here = KEYS.filter((key) => nodes.servers[1].cache.has(key));
  await nodes.kill(1);
  await nodes.reloadProxy('route = { failover = ["nodes", "next"] }');
  assert.deepEqual(await keysWith(nodes.proxy, 'END\r\n'), here);
  const file = join(mkdtempSync(join(tmpdir(), 'proxy-')), 'proxy.toml');
  writeFileSync(file, "route = { error = 'from the file' }");
  await nodes.reloadProxy(file);
  writeFileSync(file, "route = { error = 'again' }");
  await nodes.reloadProxy();
  assert.deepEqual(await keysWith(nodes.proxy, 'SERVER_ERROR again\r\n'), KEYS);
  for (const wrong of ["route = 'node'", '', false, 1]) {
    await assert.rejects(nodes.reloadProxy(wrong), { name: 'ConfigError' });
  }
  await nodes.reloadProxy(true);
  assert.deepEqual(await keysWith(nodes.proxy, FAILURE), here);
  const plain = await cluster(t, 1);
  await assert.rejects(plain.reloadProxy(), { name: 'ClosedError', message: /no proxy/ });
});

test('a mistake has its line', async () => {
  const wrong = "pools.main.backends = ['127.0.0.1:1']\nroute = 'mian'\n";
  const mistake = 'route: there is no pool or route "mian"';
  await assert.rejects(Server.start({ proxy: wrong }), { name: 'ConfigError', message: `proxy: line 2: ${mistake}` });
  const file = join(mkdtempSync(join(tmpdir(), 'proxy-')), 'proxy.toml');
  writeFileSync(file, wrong);
  await assert.rejects(Server.start({ proxy: file }), { name: 'ConfigError', message: `${file}:2: ${mistake}` });
  await assert.rejects(Server.start({ proxy: `${file}.toml` }), { name: 'ConfigError', message: /No such file/ });
  assert.throws(() => new Server({ proxy: '' }), { name: 'ConfigError', message: /a text in TOML/ });
  assert.throws(() => new Server({ proxy: 1 }), { name: 'ConfigError', message: /proxy must be a string/ });
  assert.throws(() => new Server().retryBackends(), { name: 'ClosedError' });
});

test('a node that dies takes its keys alone', async (t) => {
  const nodes = await cluster(t, 3, { proxy: true });
  const { proxy } = nodes;
  assert.equal(nodes.address, proxy.address);
  assert.deepEqual(await setAll(proxy), ['STORED\r\n']);
  const here = KEYS.filter((key) => nodes.servers[1].cache.has(key));
  assert.ok(here.length > 0 && here.length < KEYS.length);
  for (let times = 0; times < 3; times += 1) {
    await nodes.kill(1);
    assert.deepEqual(await keysWith(proxy, FAILURE), here);
    await nodes.revive(1);
    assert.deepEqual(await keysWith(proxy, 'END\r\n'), here);
    assert.deepEqual(await setAll(proxy), ['STORED\r\n']);
  }
  await nodes.close();
  assert.throws(() => nodes.address, { name: 'ClosedError' });
  await nodes.start();
  assert.deepEqual(await keysWith(proxy, 'END\r\n'), KEYS);
});

test('keys fail over to the next node', async (t) => {
  const nodes = await cluster(t, 3, { proxy: 'route = { failover = ["nodes", "next"] }' });
  assert.deepEqual(await setAll(nodes.proxy), ['STORED\r\n']);
  const here = KEYS.filter((key) => nodes.servers[1].cache.has(key));
  await nodes.kill(1);
  assert.deepEqual(await keysWith(nodes.proxy, 'END\r\n'), here);
  assert.deepEqual(await setAll(nodes.proxy), ['STORED\r\n']);
  assert.ok(here.every((key) => nodes.servers[2].cache.has(key)));
});

test('handles, faults and the clock of a cluster', async (t) => {
  const nodes = await cluster(t, 2, { proxy: true });
  const [first, second] = nodes.servers;
  await askAll(nodes.proxy, (key) => `set ${key} 0 60 1 noreply\r\nx`);
  assert.equal(first.cache.size + second.cache.size, KEYS.length);
  const here = KEYS.filter((key) => second.cache.has(key));
  const fault = second.faults.error('out of order', { command: 'get' });
  assert.deepEqual(await keysWith(nodes.proxy, 'SERVER_ERROR out of order\r\n'), here);
  fault.remove();
  const before = nodes.clock.freeze().time();
  await nodes.kill(0);
  nodes.clock.advance(60);
  await nodes.revive(0);
  const times = [...nodes.servers, nodes.proxy].map((server) => server.clock.time());
  assert.deepEqual(times, [before + 60, before + 60, before + 60]);
  assert.deepEqual(await keysWith(nodes.proxy, 'END\r\n'), KEYS);
  nodes.clock.resume();
  nodes.clock.reset();
});

test('the clock of a cluster stays frozen when it starts again', async (t) => {
  const nodes = await cluster(t, 2, { proxy: true });
  const { clock } = nodes;
  clock.freeze();
  await nodes.kill(1);
  clock.advance(60);
  const before = clock.time();
  await nodes.start();
  const all = [...nodes.servers, nodes.proxy];
  assert.deepEqual(new Set(all.map((server) => server.clock.time())), new Set([before]));
  await nodes.close();
  await nodes.start();
  clock.advance(-clock.time() + before);
  for (const server of all) {
    assert.equal(server.clock.time(), before);
    server.cache.set('key', 'value', 1);
  }
  clock.advance(1);
  assert.ok(all.every((server) => !server.cache.has('key')));
  clock.resume();
});

test('faults of the proxy reach no server', async (t) => {
  const nodes = await cluster(t, 2, { proxy: true, recordCommands: true });
  const fault = nodes.proxy.faults.error('out of order');
  assert.equal(await ask(place(nodes.proxy), 'get key'), 'SERVER_ERROR out of order\r\n');
  fault.remove();
  // The proxy has asked for the version when it connected.
  const commands = nodes.servers.flatMap((server) => server.lastCommands);
  assert.deepEqual(
    commands.filter((command) => command !== 'version'),
    [],
  );
  assert.equal(await ask(place(nodes.proxy), 'get key'), 'END\r\n');
});

test('large values pass the proxy', async (t) => {
  for (const options of [{ itemSizeMax: 4 << 20 }, { settings: { item_size_max: 4 << 20 } }]) {
    const nodes = await cluster(t, 2, { proxy: true, ...options });
    const value = 'x'.repeat(2 << 20);
    assert.equal(await ask(place(nodes.proxy), `set key 0 0 ${value.length}\r\n${value}`), 'STORED\r\n');
  }
});

test('rights are those of the proxy', async (t) => {
  const settings = { rights: 'ada ro', sample_rate: 1 };
  const nodes = await cluster(t, 2, { proxy: true, users: { ada: 'secret' }, auth: 'text', settings });
  const login = 'set auth 0 0 10\r\nada secret\r\n';
  assert.equal(await ask(place(nodes.proxy), `${login}delete key`), 'STORED\r\nCLIENT_ERROR not permitted\r\n');
  const all = [...nodes.servers, nodes.proxy];
  assert.ok(all.every((server) => Number(server.stats('settings').memcache_rs_sample_rate) === 1));
});

test('a route comes from a file', async (t) => {
  const file = join(mkdtempSync(join(tmpdir(), 'proxy-')), 'proxy.toml');
  writeFileSync(file, "route = { error = 'from the file' }");
  const nodes = await cluster(t, 1, { proxy: file });
  assert.equal(await ask(place(nodes.proxy), 'get key'), 'SERVER_ERROR from the file\r\n');
  await assert.rejects(Cluster.start(1, { proxy: `${file}.toml` }), { name: 'ConfigError', message: /cannot read/ });
  for (const proxy of ['', 'nodes']) {
    assert.throws(() => new Cluster(1, { proxy }), { name: 'ConfigError', message: /^proxy must be .* a text in TOML/ });
  }
});

test('helpers for test runners show the commands of a proxy', async (t) => {
  const fixture = new Fixture();
  t.after(() => fixture.close());
  const nodes = await fixture.cluster(1, { proxy: true });
  await ask(place(nodes.proxy), 'get key');
  const shown = [];
  fixture.show((text) => shown.push(text));
  assert.match(shown[0], new RegExp(`^memcached at ${nodes.proxy.url}: last commands\\s+get key`));
});

test('options of clients are those of the proxy', async (t) => {
  const options = { tls: 'test', users: { ada: 'secret' }, auth: 'text' };
  const nodes = await cluster(t, 2, { proxy: true, ...options });
  const client = connect({ ...nodes.proxy.tlsOptions(), servername: 'localhost' });
  client.write('get key\r\n');
  const [reply] = await once(client, 'data');
  assert.match(String(reply), /^CLIENT_ERROR unauth/);
  client.destroy();
  const sasl = Cluster.start(2, { proxy: true, users: { ada: 'secret' } });
  await assert.rejects(sasl, { name: 'ConfigError', message: /SASL/ });
  const wrong = Cluster.start(2, { proxy: "route = 'node'" });
  await assert.rejects(wrong, { name: 'ConfigError', message: /^proxy: line 1: route: / });
  assert.throws(() => new Cluster(2, { proxy: 1 }), { name: 'ConfigError' });
  assert.throws(() => new Cluster(2, { proxy: true, tls: 'none' }), { name: 'ConfigError' });
  const plain = await cluster(t, 1);
  assert.throws(() => plain.address, { name: 'ClosedError', message: /no proxy/ });
  assert.throws(() => new Cluster(1).clock.time(), { name: 'ClosedError' });
});
