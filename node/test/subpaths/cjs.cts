// The types of the subpaths, for CommonJS.
import session = require('express-session');

import { Keyv, type KeyvStoreAdapter } from 'keyv';
import { type Cache, Server } from 'memcache-rs';
import type { memcacheStore } from 'memcache-rs/cache-manager';
import { MemcacheStore } from 'memcache-rs/express-session';

import setup = require('memcache-rs/global-setup');
import teardown = require('memcache-rs/global-teardown');
import TestEnvironment = require('memcache-rs/jest');

import { KeyvMemcache } from 'memcache-rs/keyv';
import { type memcache, memcacheCluster } from 'memcache-rs/node-test';
import { MemcacheCacheStore } from 'memcache-rs/undici';
import { interceptors } from 'undici';
import { type Same, same } from './same.cjs';

const store: KeyvStoreAdapter = new KeyvMemcache({ name: 'app' });
new Keyv({ store });
same<Same<KeyvMemcache['cache'], Cache>>();
same<Same<ReturnType<typeof memcacheStore>, Keyv>>();
session({ store: new MemcacheStore({ cache: new Server().cache }), secret: 'secret' });
// @ts-expect-error
new MemcacheStore({ memory: 1 });
interceptors.cache({ store: new MemcacheCacheStore({ name: 'responses' }) });
same<Same<ReturnType<typeof memcache>, Promise<Server>>>();
memcacheCluster satisfies (t: never) => Promise<Iterable<Server>>;
export class Environment extends TestEnvironment.withMemcache(TestEnvironment) {}
setup({}).then((end) => end());
same<Same<typeof teardown, () => Promise<void>>>();
