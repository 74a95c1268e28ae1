// @keyv/memcache, Keyv's store of the binary protocol.
'use strict';
const { Checks, untilGone } = require('./checks.js');
const { KeyvMemcache } = require('@keyv/memcache');
const { Keyv } = require('keyv');

const [host, port] = process.argv.slice(2);

async function main() {
  const check = new Checks();
  const store = new KeyvMemcache(`${host}:${port}`, { logger: { log() {} } });
  const one = new Keyv({ store, namespace: 'one' });
  const two = new Keyv({ store, namespace: 'two' });
  check.equal('set', await one.set('foo', 'bar', 6000), true);
  check.equal('get', await one.get('foo'), 'bar');
  check.equal('another namespace', await two.get('foo'), undefined);
  check.equal('an object', (await two.set('foo', { a: [1] })) && (await two.get('foo')), { a: [1] });
  check.equal('get many', await one.get(['foo', 'none']), ['bar', undefined]);
  check.equal('set with a time', await one.set('short', 'x', 1000), true);
  check.equal('it expires', await untilGone(async () => (await one.get('short')) ?? null), true);
  check.equal('delete', await one.delete('foo'), true);
  check.equal('get after delete', await one.get('foo'), undefined);
  await two.clear();
  check.equal('get after clear', await two.get('foo'), undefined);
  check.done();
}

main().catch((error) => {
  console.error(error.stack || error);
  process.exit(1);
});
