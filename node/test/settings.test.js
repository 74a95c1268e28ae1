// Settings by name, as the cases of the core say.
'use strict';

const assert = require('node:assert/strict');
const { mkdtempSync, readFileSync, writeFileSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');
const { test } = require('node:test');
const { Cache, ConfigError, Server } = require('..');
require('./support.js');

const CASES = readFileSync(join(__dirname, '../../core/tests/settings.txt'), 'utf8')
  .split('\n')
  .filter((line) => line && !line.startsWith('#') && !line.startsWith('['))
  .map((line) => line.split(' | '));

const camel = (name) => name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());

test('every value is answered as the cases of the core say', () => {
  for (const [name, value, answer] of CASES) {
    const create = () => new Server({ settings: { [camel(name)]: value } });
    if (answer === 'ok') create();
    else assert.throws(create, { name: 'ConfigError', message: answer.replaceAll(name, camel(name)) }, name);
  }
});

test('settings reach the cache and the server', async (t) => {
  const cache = new Cache({ settings: { lruCrawler: false, growthFactor: 1.5 } });
  t.after(() => cache.close());
  assert.equal(cache.stats('settings').growth_factor, '1.50');
  const server = await Server.start({ threads: 2, settings: { backlog: 7, chunkSize: 64 } });
  t.after(() => server.close());
  const { tcp_backlog, chunk_size, num_threads } = server.stats('settings');
  assert.deepEqual([tcp_backlog, chunk_size, num_threads], [7, 64, 2]);
  assert.throws(() => new Cache({ settings: { threads: 2 } }), ConfigError);
  assert.throws(() => new Server({ threads: 0 }), { name: 'ConfigError', message: /^Number of threads/ });
});

test('the settings of persist keep items from one server to the next', async (t) => {
  const persist = join(mkdtempSync(join(tmpdir(), 'persist-')), 'items.mcrs');
  const start = async (settings) => {
    const server = await Server.start({ settings: { persist, ...settings } });
    t.after(() => server.close());
    return server;
  };
  const first = await start({ persistInterval: 3600, persistCodec: 'none', persistKeep: 1 });
  first.cache.set('key', 'x'.repeat(1000), 60);
  await first.close();
  assert.ok(readFileSync(persist).includes('x'.repeat(1000)));
  const second = await start({ persistThreads: 2, persistRate: 1 << 20, persistLazy: false });
  assert.equal(second.cache.getString('key'), 'x'.repeat(1000));
  await second.close();
  writeFileSync(persist, 'no snapshot');
  await assert.rejects(start({ persistStrict: true }), { name: 'ConfigError', message: /^persist: .*is not a snapshot/ });
  assert.equal(readFileSync(persist, 'utf8'), 'no snapshot');
});

/** The values and the default of each setting. A test of the core compares them with the table. */
const ROWS = new Map(
  [...readFileSync(join(__dirname, '../../docs/settings.md'), 'utf8').matchAll(/^\| `(\w+)` \| (.*?) \| (.*?) \|/gm)].map(
    ([, name, values, value]) => [camel(name), { values, value }],
  ),
);

/** Options that the table does not have. */
const STRUCTURE = new Set([
  ...['name', 'settings', 'port', 'host', 'unixSocket', 'unixMask', 'udp', 'tls', 'users', 'auth', 'cache'],
  ...['clusterNodes', 'recordCommands'],
]);

/** Defaults that differ from those of the table: a server for tests needs one worker. */
const OWN = { threads: '1' };

function typeOf(values) {
  if (values === 'true or false') return 'boolean';
  return /\d/.test(values) ? 'number' : 'string';
}

/** Returns a documented default as the table writes it. */
function documented(comment) {
  const [, text] = /The default is `?([\w ]+)/.exec(comment.replace(/(\d),(\d{3})/g, '$1$2')) ?? assert.fail(comment);
  const bytes = /^(\d+) ([KMG])iB$/.exec(text);
  return bytes ? String(Number(bytes[1]) * 1024 ** ' KMG'.indexOf(bytes[2])) : text;
}

test('named options have the types and defaults of the table', () => {
  const types = readFileSync(join(__dirname, '../index.d.ts'), 'utf8');
  for (const [of, least] of [
    ['CacheOptions', 3],
    ['ServerOptions', 4],
  ]) {
    const [body] = new RegExp(`export interface ${of} [^]*?\\n}`).exec(types);
    const options = [...body.matchAll(/\/\*\*([\s\S]*?)\*\/\s+(\w+)\?: ([^;]+);/g)].filter(
      ([, , name]) => !STRUCTURE.has(name),
    );
    assert.ok(options.length >= least, of);
    for (const [, comment, name, type] of options) {
      const row = ROWS.get(name) ?? assert.fail(`there is no setting ${name}`);
      assert.equal(type, typeOf(row.values), name);
      assert.equal(documented(comment), OWN[name] ?? row.value, name);
    }
  }
});

test('a setting lost against the default of an option', async (t) => {
  const settings = { threads: 2, maxConnections: 7, memoryLimit: 4 << 20, evictions: false };
  const server = await Server.start({ settings });
  t.after(() => server.close());
  const { num_threads, maxconns, maxbytes, evictions } = server.stats('settings');
  assert.deepEqual([num_threads, maxconns, maxbytes, evictions], [2, 7, 4 << 20, 'off']);
  const other = await Server.start({ settings, threads: 3, evictions: true });
  t.after(() => other.close());
  assert.equal(other.stats('settings').num_threads, 3);
  assert.equal(other.stats('settings').evictions, 'on');
});

test('settings of TLS have names', async (t) => {
  const server = await Server.start({ tls: 'test', settings: { tlsMinVersion: '1.3', tlsSessionCache: true } });
  t.after(() => server.close());
  const { ssl_min_version, ssl_session_cache } = server.stats('settings');
  assert.deepEqual([ssl_min_version, ssl_session_cache], ['tlsv1.3', 'yes']);
});
