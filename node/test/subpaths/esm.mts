// The types of the subpaths, for modules.
import { beforeEach, test as nodeTest } from 'node:test';
import type { Config } from '@jest/types';
import { createCache } from 'cache-manager';
import session from 'express-session';
import { Keyv, type KeyvStoreAdapter } from 'keyv';
import { Keyv as Keyv6 } from 'keyv6';
import { Cache, type Cluster, type Server } from 'memcache-rs';
import { memcacheStore, type StoreOptions } from 'memcache-rs/cache-manager';
import { MemcacheStore, type SessionOptions } from 'memcache-rs/express-session';
import setup from 'memcache-rs/global-setup';
import type teardown from 'memcache-rs/global-teardown';
import TestEnvironment, { withMemcache } from 'memcache-rs/jest';
import { KeyvMemcache } from 'memcache-rs/keyv';
import { memcacheCluster as clusterOfTest, memcache as ofTest, warmCache } from 'memcache-rs/node-test';
import { MemcacheRegistry } from 'memcache-rs/prom-client';
import { type CacheStoreOptions, MemcacheCacheStore } from 'memcache-rs/undici';
import type { memcache, memcacheCluster } from 'memcache-rs/vitest';
import { Registry } from 'prom-client';
import { Agent, interceptors } from 'undici';
import { inject } from 'vitest';
import { defineConfig } from 'vitest/config';
import { type Same, same } from './same.cjs';

const cache = new Cache();
same<Same<ReturnType<typeof teardown>, Promise<void>>>();

// Keyv, 5 and 6.
const store: KeyvStoreAdapter = new KeyvMemcache({ name: 'app', memoryLimit: 1 << 24 });
new Keyv({ store });
new Keyv6({ store: new KeyvMemcache({ cache }) });
same<Same<KeyvMemcache['cache'], Cache>>();
same<Same<ReturnType<KeyvMemcache['set']>, Promise<boolean>>>();
same<Same<ReturnType<KeyvMemcache['getMany']>, Promise<unknown[]>>>();
// @ts-expect-error
new KeyvMemcache({ memory: 1 });
// @ts-expect-error
new KeyvMemcache({ cache: new Map() });

// cache-manager.
const options: StoreOptions = { cache, namespace: 'shop', ttl: 60_000 };
createCache({ stores: [memcacheStore(), memcacheStore(options)], ttl: 1000 });
// @ts-expect-error
memcacheStore({ prefix: 'shop' });

// express-session.
const settings: SessionOptions = { prefix: 'shop:', ttl: 3600, evictions: false };
session({ store: new MemcacheStore(settings), secret: 'secret', resave: false, saveUninitialized: false });
new MemcacheStore({ cache }).all((_, sessions) => {
  same<Same<typeof sessions, { [sid: string]: session.SessionData } | null | undefined>>();
});
// @ts-expect-error
new MemcacheStore({ ttl: '1h' });

// undici.
const responses: CacheStoreOptions = { cache, prefix: 'api:' };
new Agent().compose(interceptors.cache({ store: new MemcacheCacheStore(responses), methods: ['GET'] }));
same<Same<MemcacheCacheStore['cache'], Cache>>();
// @ts-expect-error
new MemcacheCacheStore({ maxSize: 1 });

// prom-client.
Registry.merge([new Registry(), new MemcacheRegistry(cache)]);
new MemcacheRegistry(cache, Registry.OPENMETRICS_CONTENT_TYPE).metrics().then((text) => text.length);
// @ts-expect-error
new MemcacheRegistry({});

// Vitest.
same<Same<typeof memcache, Server>>();
same<Same<ReturnType<typeof memcacheCluster>, Promise<Cluster>>>();
inject('memcached').toUpperCase();
inject('memcache').tls satisfies Server['tls'] | string;
defineConfig({ test: { setupFiles: ['memcache-rs/vitest'], provide: { memcache: { tls: 'test' } } } });
// @ts-expect-error
defineConfig({ test: { provide: { memcache: { tls: 1 } } } });
setup({ provide() {} }).then((end) => end());

// Jest.
same<Same<typeof globalThis.memcache, Server>>();
globalThis.memcacheCluster(2).then((cluster) => cluster.addresses);
withMemcache(TestEnvironment) satisfies typeof TestEnvironment;
// @ts-expect-error
withMemcache(Map);
export const config: Config.InitialOptions = { testEnvironment: 'memcache-rs/jest' };

// node:test.
beforeEach(async (t) => {
  await ofTest(t);
});
nodeTest('a test', async (t) => {
  same<Same<Awaited<ReturnType<typeof ofTest>>, Server>>();
  const server = await ofTest(t, { tls: 'test' });
  server.clock.freeze().advance(60);
  for (const node of await clusterOfTest(t, 2, { threads: 2 })) node.faults.drop();
  same<Same<Awaited<ReturnType<typeof warmCache>>, Cache>>();
  await warmCache(t, new URL('items.mcrs', import.meta.url), server);
  // @ts-expect-error
  await warmCache('items.mcrs');
  // @ts-expect-error
  await ofTest();
  // @ts-expect-error
  await clusterOfTest(t, 2, { port: 11211 });
});
