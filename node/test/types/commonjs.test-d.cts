// The types, as a CommonJS module sees them.
import memcache = require('memcache-rs');

import { expectAssignable, expectError, expectType } from 'tsd';

const cache = new memcache.Cache();
expectType<Buffer | undefined>(cache.get('key'));
expectError(cache.get(5));
expectError(memcache.Caches);
expectType<Promise<memcache.Server>>(memcache.Server.start({ cache }));
expectAssignable<Error>(new memcache.InvalidKeyError());
const options: memcache.ServerOptions = { port: 0 };
expectType<memcache.Server>(new memcache.Server(options));
