// The types, as an ECMAScript module sees them.
import type { ConnectionOptions } from 'node:tls';
import {
  Cache,
  type CacheOptions,
  type Clock,
  ClosedError,
  Cluster,
  type Event,
  type FaultRule,
  FileError,
  type Item,
  type ItemInfo,
  type Loaded,
  MEMCACHED_VERSION,
  type MemcacheError,
  type Progress,
  type Saved,
  Server,
  StartError,
  type Tls,
  type Watch,
} from 'memcache-rs';
import { expectAssignable, expectError, expectNotAssignable, expectType } from 'tsd';

const cache = new Cache({ name: 'name', memoryLimit: 64 << 20, itemSizeMax: 1 << 20, evictions: false });
expectError(new Cache({ memory: 1 }));
expectError(new Cache({ memoryLimit: '64m' }));
expectAssignable<CacheOptions>({});

expectType<Buffer | undefined>(cache.get('key'));
expectType<Buffer | undefined>(cache.get(new Uint8Array(1)));
expectError(cache.get(5));
expectError(cache.get());
expectType<string | undefined>(cache.getString('key'));
expectType<number>(cache.getInto('key', Buffer.alloc(1)));
expectError(cache.getInto('key', new Uint16Array(1)));
expectType<{ value: Buffer; cas: bigint } | undefined>(cache.gets('key'));
expectType<Item | undefined>(cache.getItem('key'));
expectType<ItemInfo | undefined>(cache.info('key'));
expectType<Map<string, Buffer>>(cache.getMany(['a', 'b']));
expectAssignable<Map<Uint8Array, Buffer>>(cache.getMany(new Set([new Uint8Array(1)])));
expectType<Map<'a' | 'b', Buffer>>(cache.getMany(['a', 'b'] as const));
expectType<boolean>(cache.has('key'));

expectType<void>(cache.set('key', 'value'));
cache.set('key', Buffer.alloc(1), 60);
cache.set('key', 'value', new Date());
cache.set('key', 'value', null);
cache.set('key', 'value', { ttl: 60, flags: 1 });
expectError(cache.set('key', 5));
expectError(cache.set('key', 'value', '60'));
expectError(cache.set('key', 'value', { tll: 60 }));
cache.setMany({ a: '1', b: Buffer.alloc(1) }, 60);
cache.setMany(new Map([['a', '1']]), { ttl: 60 });
expectError(cache.setMany({ a: 1 }));
expectType<boolean>(cache.add('key', 'value'));
expectType<boolean>(cache.append('key', 'value'));
expectType<boolean | undefined>(cache.cas('key', 'value', 1n));
expectError(cache.cas('key', 'value', 1));
expectType<number | undefined>(cache.incr('key'));
expectType<number | undefined>(cache.incr('key', 5n, { ttl: 60 }));
expectType<number>(cache.decr('key', 5, { initial: 5 }));
expectType<bigint | undefined>(cache.incr('key', 5, { bigint: true }));
expectType<bigint>(cache.decr('key', undefined, { initial: 5n, ttl: 60, bigint: true }));
expectError(cache.incr('key', 1, { bigint: 1 }));
expectError(cache.incr('key', 1, { initial: 1, tll: 60 }));
expectType<boolean>(cache.touch('key', 60));
expectType<number>(cache.deleteMany(['a']));
expectType<Promise<Buffer>>(cache.getOrSet('key', async () => 'value', { ttl: 60, staleFor: 30 }));
expectType<Promise<Buffer>>(cache.getOrSet('key', () => Buffer.alloc(1), 60));
expectError(cache.getOrSet('key', () => 5));
for (const [key, value] of cache) {
  expectType<Buffer>(key);
  expectType<Buffer>(value);
}
expectType<number>(cache.size);
expectType<number | string | undefined>(cache.stats().get_hits);

expectType<Promise<Saved>>(cache.save('file', { codec: 'none', threads: 2, rate: 1e6, note: 'text' }));
expectType<Promise<Saved>>(cache.save(new URL('file:///file')));
expectType<Promise<Saved>>(cache.save(process.stdout, { note: 'text' }));
expectType<Promise<Saved>>(cache.save(new WritableStream()));
expectType<Promise<Loaded>>(cache.load(process.stdin));
expectType<Promise<Loaded>>(cache.load(new ReadableStream<Uint8Array>(), { strict: true }));
expectError(cache.load(['text']));
expectError(cache.save());
expectError(cache.save(Buffer.alloc(1)));
expectError(cache.save('file', { codec: 'zip' }));
expectError(cache.save('file', { strict: true }));
expectType<Promise<Buffer>>(cache.saveToBuffer({ signal: AbortSignal.timeout(1) }));
expectType<Promise<Loaded>>(cache.load('file', { replace: true, ttl: 'paused', strict: true }));
expectType<Promise<Loaded>>(cache.load(new Uint8Array(1), { progress: (progress) => expectType<Progress>(progress) }));
expectError(cache.load('file', { ttl: 60 }));
expectError(cache.load('file', { codec: 'lz4' }));
expectType<Date>((await cache.load('file')).savedAt);
expectType<string | undefined>(new FileError().path);

const server = await Server.start({ port: 0, users: { ada: 'secret' }, tls: 'test', unixSocket: true, cache });
expectType<Server>(server);
expectError(Server.start({ port: '0' }));
expectError(Server.start({ tls: 'self-signed' }));
expectType<string>(server.address);
expectType<string | undefined>(server.unixSocket);
expectType<Tls | undefined>(server.tls);
expectType<Cache>(server.cache);
expectType<Clock>(server.clock.freeze());
expectType<FaultRule>(server.faults.error('out of order', { command: 'get', times: 1 }));
expectType<FaultRule>(server.faults.error({ key: 'a*' }));
expectType<FaultRule>(server.faults.truncate(9));
expectType<FaultRule>(server.faults.delayReply(1, { command: 'set' }));
expectError(server.faults.delay('1'));
expectType<Watch>(server.watch('evictions'));
expectError(server.watch('everything'));
for await (const event of server.watch()) expectType<Event>(event);
expectType<Promise<void>>(server.close({ graceful: true, timeout: 1 }));
expectType<Server>(server.ref());
expectType<Promise<boolean>>(server.settle(1));
expectAssignable<ConnectionOptions>(server.tlsOptions());
expectAssignable<AsyncDisposable>(server);
expectAssignable<Disposable>(cache);

const cluster = await Cluster.start(3, { threads: 2 });
expectType<string[]>(cluster.addresses);
expectError(Cluster.start(3, { cache }));
for (const one of cluster) expectType<Server>(one);

expectType<string>(new ClosedError().code);
expectAssignable<MemcacheError>(new ClosedError());
expectType<string | undefined>(new StartError().system);
expectNotAssignable<StartError>(new Error());
expectType<string>(MEMCACHED_VERSION);
