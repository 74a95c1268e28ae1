// Calls the handler as Next.js 15 does: an instance for each request, with entries of its kinds.
const assert = require('node:assert/strict');
const { beforeEach, mock, test } = require('node:test');
const { Cache } = require('memcache-rs');
const CacheHandler = require('./cache-handler.js');

const entries = new Cache({ name: 'next' });
const tagTimes = new Cache({ name: 'next-tags' });
const request = (options) => new CacheHandler({ dev: false, revalidatedTags: [], _requestHeaders: {}, ...options });

mock.timers.enable({ apis: ['Date'], now: 1_000_000 });
beforeEach(() => {
  entries.flush();
  tagTimes.flush();
});

const page = {
  kind: 'APP_PAGE',
  html: '<p>Ünïcode</p>',
  rscData: Buffer.from([0, 255]),
  headers: { 'x-next-cache-tags': '_N_T_/layout,_N_T_/page,report' },
  postponed: undefined,
  status: 200,
  segmentData: new Map([['/_tree', Buffer.from('tree')]]),
};
const data = { kind: 'FETCH', data: { headers: {}, body: '{"year":1815}', status: 200, url: '' }, revalidate: 60 };
const ofPage = { kind: 'APP_PAGE', isFallback: false };
const ofData = { kind: 'FETCH', tags: ['report'], softTags: ['_N_T_/layout', '_N_T_/page'] };

test('entries of all kinds come back as they were', async () => {
  const route = {
    kind: 'APP_ROUTE',
    body: Buffer.alloc(100_000, 'x'),
    status: 200,
    headers: { 'content-type': 'text/plain' },
  };
  const pages = { kind: 'PAGES', html: '<p>1</p>', pageData: { props: { list: [1] } }, headers: {}, status: 200 };
  const redirect = { kind: 'REDIRECT', props: { pageProps: { __N_REDIRECT: '/' } } };
  // A page that was not found is null.
  for (const value of [page, route, pages, redirect, data, null]) {
    assert.equal(await request().get('/key', ofPage), null);
    await request().set('/key', value, { cacheControl: { revalidate: 60, expire: undefined } });
    assert.deepEqual(await request().get('/key', ofPage), { value, lastModified: Date.now() });
    entries.flush();
  }
});

test('a long key', async () => {
  await request().set(`/${'x'.repeat(1000)}1`, page, {});
  assert.equal(await request().get(`/${'x'.repeat(1000)}2`, ofPage), null);
  assert.deepEqual((await request().get(`/${'x'.repeat(1000)}1`, ofPage)).value, page);
});

for (const tag of ['report', '_N_T_/page']) {
  test(`revalidateTag('${tag}') removes the page and its data, until they are made anew`, async () => {
    await request().set('/page', page, {});
    await request().set('hash', data, { fetchCache: true, tags: ['report'] });
    mock.timers.tick(1);
    await request().revalidateTag(['other']);
    assert.ok((await request().get('/page', ofPage)) && (await request().get('hash', ofData)));
    await request().revalidateTag(tag);
    assert.equal(await request().get('/page', ofPage), null);
    assert.equal(await request().get('hash', ofData), null);
    mock.timers.tick(1);
    await request().set('/page', page, {});
    await request().set('hash', data, { fetchCache: true, tags: ['report'] });
    request().resetRequestCache();
    assert.ok((await request().get('/page', ofPage)) && (await request().get('hash', ofData)));
  });
}

test('a request does not read entries whose tags it has revalidated', async () => {
  await request().set('hash', data, { fetchCache: true, tags: ['report'] });
  assert.equal(await request({ revalidatedTags: ['report'] }).get('hash', ofData), null);
  assert.ok(await request().get('hash', ofData));
});

test('if the times of tags are full, all entries go', async () => {
  await request().set('/page', page, {});
  mock.timers.tick(1);
  const tags = Array.from({ length: 1000 }, (_, tag) => `${tag}`);
  let calls = 0;
  do {
    await request().revalidateTag(tags.map((tag) => `${calls} ${tag}`));
    calls += 1;
    assert.ok(calls < 1000);
  } while (entries.size > 0);
  await request().set('/page', page, {});
  assert.ok(await request().get('/page', ofPage));
});
