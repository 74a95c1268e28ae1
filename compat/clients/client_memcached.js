// memcached for Node, the classic text protocol.
'use strict';
const { promisify } = require('node:util');
const { Checks, untilGone } = require('./checks.js');
const Memcached = require('memcached');

const [host, port] = process.argv.slice(2);

async function main() {
  const check = new Checks();
  const client = new Memcached(`${host}:${port}`, { retries: 0, timeout: 5000, maxValue: 4 << 20 });
  // Returns a promise of a command of the client.
  const call = (name, ...words) => promisify(client[name]).apply(client, words);
  const refused = (name, ...words) => check.rejects(`${name} ${words[0]}`, call(name, ...words));
  check.equal('set', await call('set', 'a', 'one', 0), true);
  check.equal('get', await call('get', 'a'), 'one');
  check.equal('get of nothing', await call('get', 'nothing'), undefined);
  check.equal('an object', (await call('set', 'o', { x: [1, 2.5] }, 0)) && (await call('get', 'o')), { x: [1, 2.5] });
  check.equal('a buffer', (await call('set', 'r', Buffer.from([0, 13, 10, 255]), 0)) && (await call('get', 'r')),
    Buffer.from([0, 13, 10, 255]));
  await call('set', 'm1', '1', 0);
  await call('set', 'm2', '2', 0);
  check.equal('get many', { ...(await call('getMulti', ['m1', 'none', 'm2'])) }, { m1: '1', m2: '2' });
  await refused('add', 'a', 'x', 0);
  check.equal('add of nothing', await call('add', 'b', 'x', 0), true);
  check.equal('replace', await call('replace', 'a', 'two', 0), true);
  await refused('replace', 'nothing', 'x', 0);
  check.equal('append', await call('append', 'a', '-end'), true);
  check.equal('prepend', await call('prepend', 'a', 'start-'), true);
  const { cas, a } = await call('gets', 'a');
  check.equal('gets', a, 'start-two-end');
  check.equal('cas', await call('cas', 'a', 'three', cas, 0), true);
  check.equal('an old cas', await call('cas', 'a', 'four', cas, 0), false);
  await call('set', 'n', 10, 0);
  check.equal('incr', await call('incr', 'n', 5), 15);
  check.equal('decr', await call('decr', 'n', 20), 0);
  check.equal('incr of nothing', await call('incr', 'nothing', 1), false);
  check.equal('touch', await call('touch', 'a', 100), true);
  check.equal('set with a time', await call('set', 'short', 'x', 1), true);
  check.equal('it expires', await untilGone(async () => (await call('get', 'short')) ?? null), true);
  check.equal('delete', await call('del', 'a'), true);
  check.equal('delete of nothing', await call('del', 'a'), false);
  const large = '0123456789abcdef'.repeat(32768);
  check.equal('large set', await call('set', 'large', large, 0), true);
  check.equal('large get', await call('get', 'large'), large);
  const [version] = await call('version');
  check.equal('version', version.version.startsWith('1.6.'), true);
  const [stats] = await call('stats');
  check.equal('stats', stats.pid > 0, true);
  const [settings] = await call('settings');
  check.equal('stats settings', settings.maxbytes > 0, true);
  check.equal('flush', await call('flush'), [true]);
  check.equal('get after flush', await call('get', 'large'), undefined);
  client.end();
  check.done();
}

main().catch((error) => {
  console.error(error.stack || error);
  process.exit(1);
});
