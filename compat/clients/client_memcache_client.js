// memcache-client, the classic text protocol.
'use strict';
const { Checks, untilGone } = require('./checks.js');
const { MemcacheClient } = require('memcache-client');

const [host, port] = process.argv.slice(2);

async function main() {
  const check = new Checks();
  const client = new MemcacheClient({ server: { server: `${host}:${port}`, maxConnections: 2 } });
  const text = async (key) => (await client.get(key))?.value ?? null;
  check.equal('set', await client.set('a', 'one'), ['STORED']);
  check.equal('get', await text('a'), 'one');
  check.equal('get of nothing', await text('nothing'), null);
  check.equal('an object', (await client.set('o', { x: [1, 2.5] })) && (await text('o')), { x: [1, 2.5] });
  check.equal('a number', (await client.set('i', 5)) && (await text('i')), 5);
  check.equal('a buffer', (await client.set('r', Buffer.from([0, 13, 10, 255]))) && (await text('r')),
    Buffer.from([0, 13, 10, 255]));
  await Promise.all([client.set('m1', '1'), client.set('m2', '2')]);
  const many = await client.get(['m1', 'none', 'm2']);
  check.equal('get many', [many.m1.value, many.none, many.m2.value], ['1', undefined, '2']);
  await check.rejects('add', client.add('a', 'x'));
  check.equal('add of nothing', await client.add('b', 'x'), ['STORED']);
  check.equal('replace', await client.replace('a', 'two'), ['STORED']);
  check.equal('append', await client.append('a', '-end'), ['STORED']);
  check.equal('prepend', await client.prepend('a', 'start-'), ['STORED']);
  const { casUniq, value } = await client.gets('a');
  check.equal('gets', value, 'start-two-end');
  check.equal('cas', await client.cas('a', 'three', { casUniq }), ['STORED']);
  await check.rejects('an old cas', client.cas('a', 'four', { casUniq }));
  await client.set('n', '10');
  check.equal('incr', await client.incr('n', 5), '15');
  check.equal('decr', await client.decr('n', 20), '0');
  check.equal('touch', await client.touch('a', 100), ['TOUCHED']);
  check.equal('set with a time', await client.set('short', 'x', { lifetime: 1 }), ['STORED']);
  check.equal('it expires', await untilGone(() => text('short')), true);
  check.equal('delete', await client.delete('a'), ['DELETED']);
  const large = '0123456789abcdef'.repeat(32768);
  check.equal('large set', await client.set('large', large), ['STORED']);
  check.equal('large get', await text('large'), large);
  check.equal('version', `${await client.version()}`.includes('1.6.'), true);
  const { STAT } = await client.cmd('stats');
  check.equal('stats', STAT.some(([name]) => name === 'pid'), true);
  await client.set('quiet', 'x', { noreply: true });
  check.equal('noreply', await text('quiet'), 'x');
  client.shutdown();
  check.done();
}

main().catch((error) => {
  console.error(error.stack || error);
  process.exit(1);
});
