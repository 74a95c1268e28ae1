// connect-memcached, a store for sessions of express-session.
'use strict';
const { promisify } = require('node:util');
const { Checks, untilGone } = require('./checks.js');
const session = require('express-session');
const MemcachedStore = require('connect-memcached')(session);

const [host, port] = process.argv.slice(2);

async function main() {
  const check = new Checks();
  for (const secret of [undefined, '32 Bytes, 2 Digits + 2 others!!']) {
    const store = new MemcachedStore({ hosts: [`${host}:${port}`], prefix: secret ? 'secret:' : 'plain:', secret });
    const call = (name, ...words) => promisify(store[name]).apply(store, words);
    const visit = { cookie: { maxAge: 60_000 }, user: 'Ada', visits: 1 };
    const found = async (id) => (await call('get', id)) ?? null;
    check.equal('get of nothing', await found('nobody'), null);
    await call('set', 'id', visit);
    check.equal('get', (await found('id')).user, 'Ada');
    await call('set', 'id', { ...visit, visits: 2 });
    check.equal('set again', (await found('id')).visits, 2);
    await call('touch', 'id', visit);
    await call('destroy', 'id');
    check.equal('get after destroy', await found('id'), null);
    await call('set', 'short', { ...visit, cookie: { maxAge: 1000 } });
    check.equal('it expires', await untilGone(() => found('short')), true);
    store.client.end();
  }
  check.done();
}

main().catch((error) => {
  console.error(error.stack || error);
  process.exit(1);
});
