// memjs, the binary protocol, with a name or without.
'use strict';
const { Checks, untilGone } = require('./checks.js');
const memjs = require('memjs');

const [host, port, how, user, password] = process.argv.slice(2);
const server = `${host}:${port}`;
const logger = { log() {} };
const options = { logger, retries: 1, timeout: 5 };

async function main() {
  const check = new Checks();
  if (how === 'sasl') {
    const stranger = memjs.Client.create(server, { ...options, username: user, password: `${password}x` });
    await check.rejects('a wrong password is refused', stranger.set('a', 'x', {}));
    stranger.close();
    Object.assign(options, { username: user, password });
  }
  const client = memjs.Client.create(server, options);
  const text = async (key) => {
    const { value } = await client.get(key);
    return value === null ? null : value.toString();
  };
  check.equal('set', await client.set('a', 'one', {}), true);
  check.equal('get', await text('a'), 'one');
  check.equal('get of nothing', await text('nothing'), null);
  check.equal('add', await client.add('a', 'x', {}), false);
  check.equal('add of nothing', await client.add('b', 'x', {}), true);
  check.equal('replace', await client.replace('a', 'two', {}), true);
  check.equal('replace of nothing', await client.replace('nothing', 'x', {}), false);
  check.equal('append', await client.append('a', '-end'), true);
  // Its prepend sends an append.
  await check.rejects('append to nothing', client.append('nothing', 'x'));
  check.equal('get again', await text('a'), 'two-end');
  const flags = Buffer.from([0, 0, 0, 0]);
  check.equal('the flags', (await client.get('a')).flags, flags);
  check.equal('incr of nothing makes it', (await client.increment('n', 1, { initial: 10 })).value, 10);
  check.equal('incr', (await client.increment('n', 5, {})).value, 15);
  check.equal('decr', (await client.decrement('n', 20, {})).value, 0);
  check.equal('touch', await client.touch('a', 100), true);
  check.equal('touch of nothing', await client.touch('nothing', 100), false);
  check.equal('set with a time', await client.set('short', 'x', { expires: 1 }), true);
  check.equal('it expires', await untilGone(() => text('short')), true);
  check.equal('delete', await client.delete('a'), true);
  check.equal('delete of nothing', await client.delete('a'), false);
  const large = Buffer.alloc(512 * 1024, '0123456789abcdef');
  check.equal('large set', await client.set('large', large, {}), true);
  check.equal('large get', (await client.get('large')).value.equals(large), true);
  const many = await Promise.all(Array.from({ length: 200 }, (_, at) => client.set(`many${at}`, `${at}`, {})));
  check.equal('many at once', many.every(Boolean), true);
  const stats = await new Promise((resolve, reject) =>
    client.stats((error, _, values) => (error ? reject(error) : resolve(values))));
  check.equal('stats', Number(stats.pid) > 0, true);
  const flushed = await new Promise((resolve, reject) =>
    client.flush((error, results) => (error ? reject(error) : resolve(results))));
  check.equal('flush', Object.values(flushed).every(Boolean), true);
  check.equal('get after flush', await text('large'), null);
  client.close();
  check.done();
}

main().catch((error) => {
  console.error(error.stack || error);
  process.exit(1);
});
