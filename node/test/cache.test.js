// The in-process cache.
'use strict';

const assert = require('node:assert/strict');
const { constants } = require('node:buffer');
const { inspect } = require('node:util');
const { describe, test } = require('node:test');
const memcache = require('../index.js');

const { Cache } = memcache;
const bytes = (text) => Buffer.from(text);

function cache(t, options) {
  const made = new Cache(options);
  t.after(() => made.close());
  return made;
}

test('values come and go', (t) => {
  const c = cache(t);
  assert.equal(c.set('a', '1'), undefined);
  assert.deepEqual(c.get('a'), bytes('1'));
  assert.equal(c.getString('a'), '1');
  assert.equal(c.has('a'), true);
  assert.equal(c.add('a', '2'), false);
  assert.equal(c.add('b', '2'), true);
  assert.equal(c.replace('c', '2'), false);
  assert.equal(c.replace('b', '3'), true);
  assert.equal(c.append('a', '2'), true);
  assert.equal(c.prepend('a', '0'), true);
  assert.equal(c.append('c', '2'), false);
  assert.equal(c.prepend('c', '2'), false);
  assert.equal(c.getString('a'), '012');
  assert.equal(c.delete('a'), true);
  assert.equal(c.delete('a'), false);
  assert.equal(c.get('a'), undefined);
  assert.equal(c.getString('a'), undefined);
  assert.equal(c.has('a'), false);
  assert.equal(c.deleteMany(['a', 'b']), 1);
});

describe('keys', () => {
  test('are strings as UTF-8, or bytes', (t) => {
    const c = cache(t);
    for (const key of [
      'a',
      'é',
      '€',
      '𝄞',
      'ÿ'.repeat(125),
      'k'.repeat(250),
      '€'.repeat(83),
      '\0',
      'a b',
      `cons${c}`.slice(0, 9),
    ]) {
      c.set(key, key);
      assert.equal(c.getString(bytes(key)), key);
      assert.equal(c.getString(new Uint8Array(bytes(key))), key);
      c.set(bytes(key), 'bytes');
      assert.equal(c.getString(key), 'bytes');
      assert.equal(c.delete(key), true);
    }
    // Other characters with the same lower byte are other keys.
    c.set('\u0161', 'another');
    assert.equal(c.get('a'), undefined);
  });

  test('lone surrogates are replaced, as in Buffer.from', (t) => {
    const c = cache(t);
    c.set('a\ud800b', '1');
    assert.equal(c.getString(bytes('a\ud800b')), '1');
    assert.equal(c.getString('a\ufffdb'), '1');
  });

  test('have 1 to 250 bytes', (t) => {
    const c = cache(t);
    const long = [
      ['', 0],
      ['k'.repeat(251), 251],
      ['k'.repeat(5000), 5000],
      ['é'.repeat(126), 252],
      ['€'.repeat(84), 252],
    ];
    for (const [key, length] of long) {
      for (const given of [key, bytes(key)]) {
        const refused = { name: 'InvalidKeyError', code: 'ERR_MEMCACHE_INVALID_KEY', message: new RegExp(`got ${length};`) };
        assert.throws(() => c.get(given), refused);
        assert.throws(() => c.set(given, ''), refused);
        assert.throws(() => c.getMany(['good', given]), refused);
        assert.throws(() => c.incr(given), refused);
      }
    }
  });

  test('of another type are a TypeError', (t) => {
    const c = cache(t);
    for (const key of [
      1,
      1n,
      null,
      undefined,
      {},
      [],
      Symbol('a'),
      () => {},
      new ArrayBuffer(1),
      new Uint16Array(1),
      true,
    ]) {
      const refused = { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE', message: /^key must be a string, a Buffer/ };
      assert.throws(() => c.get(key), refused);
      assert.throws(() => c.has(key), refused);
      assert.throws(() => c.getMany([key]), refused);
    }
    assert.throws(() => c.get(), { name: 'TypeError' });
  });
});

describe('values', () => {
  test('of all sizes are what was stored', (t) => {
    const c = cache(t, { memoryLimit: 256 << 20 });
    const out = Buffer.alloc(1 << 20);
    for (const length of [0, 1, 100, 4095, 4096, 4097, 16384, 16385, 40_000, 300_000, 1_000_000]) {
      const value = Buffer.alloc(length, 'abcdefg');
      c.set('key', value);
      assert.deepEqual(c.get('key'), value);
      assert.equal(c.getString('key'), value.toString());
      assert.equal(c.getInto('key', out), length);
      assert.deepEqual(out.subarray(0, length), value);
      assert.deepEqual(c.getMany(['key']).get('key'), value);
      c.set('text', value.toString());
      assert.deepEqual(c.get('text'), value);
      assert.deepEqual(c.gets('key').value, value);
      assert.deepEqual(c.getItem('key').value, value);
    }
  });

  test('are strings of any length as UTF-8', (t) => {
    const c = cache(t);
    for (const text of [
      '',
      'é',
      '€𝄞',
      'é'.repeat(300),
      'é€𝄞'.repeat(200),
      'é€𝄞'.repeat(20_000),
      'x'.repeat(511),
      'x'.repeat(512),
    ]) {
      c.set('key', text);
      assert.equal(c.getString('key'), text);
      assert.deepEqual(c.get('key'), bytes(text));
    }
    c.set('key', Buffer.from([0xff, 0x41]));
    assert.equal(c.getString('key'), '\ufffdA');
  });

  test('never change after they were returned', (t) => {
    const c = cache(t);
    const kept = [];
    for (let n = 0; n < 5000; n += 1) {
      c.set('key', `value ${n}`);
      kept.push(c.get('key'));
    }
    c.flush();
    assert.ok(kept.every((value, n) => value.toString() === `value ${n}`));
    // Writing to a Buffer does not change the cache.
    c.set('key', 'value');
    c.get('key').fill(0);
    assert.equal(c.getString('key'), 'value');
  });

  test('survive the loss of the slab', (t) => {
    const c = cache(t);
    c.set('key', 'value');
    c.get('key');
    const { buffer } = c.get('key');
    try {
      structuredClone(buffer, { transfer: [buffer] });
      buffer.transfer?.();
    } catch {
      // Node refuses the transfer.
    }
    assert.deepEqual(c.get('key'), bytes('value'));
    assert.deepEqual(c.get('key'), bytes('value'));
  });

  test('of another type are a TypeError', (t) => {
    const c = cache(t);
    for (const value of [1, null, undefined, {}, [], true, new ArrayBuffer(1)]) {
      assert.throws(() => c.set('key', value), {
        name: 'TypeError',
        code: 'ERR_INVALID_ARG_TYPE',
        message: /^value must be/,
      });
    }
    assert.equal(c.has('key'), false);
  });

  test('that are too large are refused', (t) => {
    const c = cache(t, { itemSizeMax: 1 << 20 });
    const refused = { name: 'ValueTooLargeError', code: 'ERR_MEMCACHE_VALUE_TOO_LARGE', message: /2097152 bytes/ };
    assert.throws(() => c.set('key', Buffer.alloc(2 << 20)), refused);
    assert.throws(() => c.set('key', 'x'.repeat(2 << 20)), refused);
    const large = cache(t, { itemSizeMax: 4 << 20, memoryLimit: 64 << 20 });
    large.set('key', Buffer.alloc(2 << 20, 'y'));
    assert.equal(large.get('key').length, 2 << 20);
  });

  test('are refused without evictions when memory is full', (t) => {
    const c = cache(t, { memoryLimit: 2 << 20, evictions: false });
    assert.throws(
      () => {
        for (let n = 0; ; n += 1) c.set(`key${n}`, Buffer.alloc(1000));
      },
      { name: 'OutOfMemoryError', code: 'ERR_MEMCACHE_OUT_OF_MEMORY' },
    );
  });
});

test('getInto returns the length, and copies the bytes that fit', (t) => {
  const c = cache(t);
  c.set('key', 'value');
  const out = Buffer.alloc(8);
  assert.equal(c.getInto('key', out), 5);
  assert.equal(out.toString(), 'value\0\0\0');
  assert.equal(c.getInto('nothing', out), -1);
  const small = new Uint8Array(3);
  assert.equal(c.getInto('key', small), 5);
  assert.equal(Buffer.from(small).toString(), 'val');
  assert.equal(c.getInto('key', new Uint8Array(0)), 5);
  const part = out.subarray(2, 4);
  out.fill(0);
  c.getInto('key', part);
  assert.equal(out.toString(), '\0\0va\0\0\0\0');
  const shared = new Uint8Array(new SharedArrayBuffer(5));
  c.getInto('key', shared);
  assert.equal(String.fromCharCode(...shared), 'value');
  for (const to of [undefined, 'text', {}, new Uint16Array(4), new ArrayBuffer(4)]) {
    assert.throws(() => c.getInto('key', to), { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' });
  }
});

test('gets and cas store if the item has not changed', (t) => {
  const c = cache(t);
  assert.equal(c.gets('key'), undefined);
  assert.equal(c.cas('key', '1', 5n), undefined);
  c.set('key', '1');
  const { value, cas } = c.gets('key');
  assert.deepEqual(value, bytes('1'));
  assert.equal(typeof cas, 'bigint');
  assert.equal(c.cas('key', '2', cas), true);
  assert.equal(c.cas('key', '3', cas), false);
  assert.equal(c.getString('key'), '2');
  for (const [name, ...tokens] of [
    ['TypeError', 5, undefined],
    ['RangeError', 0n, -1n, 2n ** 64n],
  ]) {
    for (const token of tokens) {
      assert.throws(() => c.cas('key', '3', token), { name, message: /such as gets\(\) returns/ });
    }
  }
});

test('getItem returns the value with its metadata', (t) => {
  const c = cache(t);
  c.clock.freeze();
  c.set('key', 'value', { ttl: 100, flags: 7 });
  c.clock.advance(10);
  const item = c.getItem('key');
  assert.deepEqual(
    { ...item, cas: undefined },
    {
      value: bytes('value'),
      flags: 7,
      cas: undefined,
      ttl: 90,
      idle: 10,
      length: 5,
      fetched: false,
      stale: false,
    },
  );
  assert.equal(c.getItem('key').fetched, true);
  c.set('key', 'value', { flags: 2 ** 32 - 1 });
  assert.equal(c.getItem('key').ttl, undefined);
  assert.equal(c.getItem('key').flags, 2 ** 32 - 1);
  c.invalidate('key');
  assert.equal(c.getItem('key').stale, true);
  assert.equal(c.getItem('nothing'), undefined);
  for (const flags of [-1, 2 ** 32, 1.5, NaN]) {
    assert.throws(() => c.set('key', '', { flags }), { name: 'RangeError', code: 'ERR_OUT_OF_RANGE' });
  }
  assert.throws(() => c.set('key', '', { flags: 'a' }), { name: 'TypeError' });
});

test('numbers are counted', (t) => {
  const c = cache(t);
  assert.equal(c.incr('n'), undefined);
  assert.equal(c.decr('n'), undefined);
  assert.equal(c.incr('n', 5, { initial: 10 }), 10);
  assert.equal(c.incr('n', 5, { initial: 10 }), 15);
  assert.equal(c.incr('n'), 16);
  assert.equal(c.decr('n', 6), 10);
  assert.equal(c.decr('n', 100), 0);
  assert.equal(c.incr('n', 2 ** 40), 2 ** 40);
  c.set('n', String(2n ** 64n - 1n));
  assert.equal(c.incr('n', 1n), 0);
  for (const delta of [-1, 1.5, NaN, 2 ** 53, -1n, 2n ** 64n]) {
    assert.throws(() => c.incr('n', delta), { name: 'RangeError', code: 'ERR_OUT_OF_RANGE' });
  }
  assert.throws(() => c.incr('n', '1'), { name: 'TypeError' });
  c.set('n', 'text');
  assert.throws(() => c.incr('n'), { name: 'NotANumberError', code: 'ERR_MEMCACHE_NOT_A_NUMBER' });
});

test('the type of a count depended on its size', (t) => {
  const c = cache(t);
  const bigint = true;
  c.set('n', String(2 ** 53 - 2));
  assert.equal(c.incr('n'), 2 ** 53 - 1);
  const refused = {
    name: 'RangeError',
    code: 'ERR_OUT_OF_RANGE',
    message: /^the count is now 9007199254740992,.*bigint: true/,
  };
  assert.throws(() => c.incr('n'), refused);
  // The count was stored.
  assert.equal(c.getString('n'), String(2n ** 53n));
  assert.equal(c.incr('n', 0, { bigint }), 2n ** 53n);
  assert.equal(c.decr('n', 1, { bigint: false }), 2 ** 53 - 1);
  assert.equal(c.incr('n', 2n ** 60n, { bigint }), 2n ** 60n + 2n ** 53n - 1n);
  assert.equal(c.decr('n', 2n ** 64n - 1n, { bigint }), 0n);
  assert.equal(c.incr('nothing', 1, { bigint }), undefined);
  assert.equal(c.decr('large', 1, { initial: 2n ** 64n - 1n, bigint }), 2n ** 64n - 1n);
  assert.throws(() => c.decr('large'), { name: 'RangeError' });
  for (const wrong of [1, 'yes', null]) {
    assert.throws(() => c.incr('n', 1, { bigint: wrong }), { name: 'TypeError', message: /^bigint must be a boolean/ });
  }
  // memcached keeps the length of a count that becomes shorter.
  assert.equal(c.getString('n').trimEnd(), '0');
});

test('info shows metadata without a use of the item', (t) => {
  const c = cache(t);
  c.clock.freeze();
  c.set('key', Buffer.alloc(100_000), { ttl: 100, flags: 7 });
  c.clock.advance(10);
  const { cas, ...rest } = c.info('key');
  assert.equal(cas, c.info('key').cas);
  assert.deepEqual(rest, { flags: 7, ttl: 90, idle: 10, length: 100_000, fetched: false, stale: false });
  assert.equal(c.stats().get_hits, 0);
  c.get('key');
  c.invalidate('key');
  const { fetched, stale } = c.info('key');
  assert.deepEqual([fetched, stale], [true, true]);
  assert.equal(c.info('nothing'), undefined);
});

describe('time', () => {
  test('is seconds, a Date, or without end', (t) => {
    const c = cache(t);
    c.clock.freeze();
    c.set('never', '1');
    c.set('null', '1', null);
    c.set('ten', '1', 10);
    c.set('part', '1', 1.2);
    c.set('date', '1', new Date(c.clock.time() * 1000 + 5000));
    c.set('object', '1', { ttl: 10 });
    c.set('zero', '1', 0);
    c.set('past', '1', new Date(0));
    c.clock.advance(1);
    const there = () => [...c.getMany(['never', 'null', 'ten', 'part', 'date', 'object', 'zero', 'past']).keys()];
    assert.deepEqual(there(), ['never', 'null', 'ten', 'part', 'date', 'object']);
    c.clock.advance(1);
    assert.deepEqual(there(), ['never', 'null', 'ten', 'date', 'object']);
    c.clock.advance(3);
    assert.deepEqual(there(), ['never', 'null', 'ten', 'object']);
    c.clock.advance(5);
    assert.deepEqual(there(), ['never', 'null']);
    c.clock.advance(2 ** 31);
    assert.deepEqual(there(), ['never', 'null']);
  });

  test('is moved by touch', (t) => {
    const c = cache(t);
    c.clock.freeze();
    c.set('key', '1', 10);
    assert.equal(c.touch('key', 100), true);
    assert.equal(c.touch('nothing', 100), false);
    c.clock.advance(50);
    assert.deepEqual(c.getAndTouch('key', 100), bytes('1'));
    assert.equal(c.getAndTouch('nothing', 100), undefined);
    c.clock.advance(99);
    assert.equal(c.has('key'), true);
    assert.equal(c.touch('key'), true);
    c.clock.advance(10_000);
    assert.equal(c.getItem('key').ttl, undefined);
  });

  test('that is invalid is refused', (t) => {
    const c = cache(t);
    c.set('key', '1');
    const year = 365.25 * 86_400;
    const none = [
      -1,
      NaN,
      Infinity,
      101 * year,
      new Date(NaN),
      new Date(Date.now() + 101e3 * year),
      '60',
      true,
      5n,
      Symbol('t'),
    ];
    for (const ttl of none) {
      const refused = { name: 'InvalidTTLError', code: 'ERR_MEMCACHE_INVALID_TTL' };
      assert.throws(() => c.set('key', '2', ttl), refused);
      assert.throws(() => c.set('key', '2', { ttl }), refused);
      assert.throws(() => c.touch('key', ttl), refused);
      assert.throws(() => c.add('other', '2', ttl), refused);
      assert.throws(() => c.getAndTouch('key', ttl), refused);
      assert.throws(() => c.incr('other', 1, { initial: 1, ttl }), refused);
    }
    assert.equal(c.getString('key'), '1');
    assert.equal(c.has('other'), false);
  });

  test('stands still and moves', (t) => {
    const c = cache(t);
    const { clock } = c;
    const start = clock.freeze().time();
    assert.ok(Math.abs(start - Date.now() / 1000) < 5);
    clock.advance(3600);
    assert.equal(clock.time(), start + 3600);
    clock.advance(-3600);
    assert.equal(clock.time(), start);
    for (const by of [0.5, NaN, 2 ** 40]) assert.throws(() => clock.advance(by), { name: 'ConfigError' });
    assert.throws(() => clock.advance('1'), { name: 'TypeError' });
    clock[Symbol.dispose]();
  });
});

test('many at once', (t) => {
  const c = cache(t);
  c.clock.freeze();
  c.setMany({ a: '1', b: '2' }, 60);
  c.setMany(new Map([['c', bytes('3')]]));
  c.setMany([['d', '4']], { flags: 4 });
  assert.deepEqual(
    c.getMany(['a', 'nothing', 'c', 'a']),
    new Map([
      ['a', bytes('1')],
      ['c', bytes('3')],
    ]),
  );
  assert.deepEqual(c.getMany(new Set(['d'])), new Map([['d', bytes('4')]]));
  assert.equal(c.getItem('d').flags, 4);
  assert.equal(c.getItem('a').ttl, 60);
  const key = bytes('b');
  assert.deepEqual(c.getMany([key]).get(key), bytes('2'));
  assert.deepEqual(c.getMany([]), new Map());
  // Small values among large ones.
  for (let n = 0; n < 50; n += 1) c.set(`key${n}`, Buffer.alloc(n % 7 === 0 ? 100_000 : n, `${n % 10}`));
  const found = c.getMany(Array.from({ length: 60 }, (_, n) => `key${n}`));
  assert.equal(found.size, 50);
  for (let n = 0; n < 50; n += 1)
    assert.deepEqual(found.get(`key${n}`), Buffer.alloc(n % 7 === 0 ? 100_000 : n, `${n % 10}`));
  assert.throws(() => c.getMany(5), TypeError);
  assert.throws(() => c.setMany({ a: 1 }), TypeError);
});

test('getters of a list of keys', (t) => {
  const c = cache(t);
  c.set('a', '1');
  const list = ['a', 'b'];
  Object.defineProperty(list, 1, { get: () => c.getString('a') && c.getMany(['a']).size && 'a' });
  assert.deepEqual(c.getMany(list), new Map([['a', bytes('1')]]));
  Object.defineProperty(list, 0, {
    get() {
      throw new Error('thrown');
    },
  });
  assert.throws(() => c.getMany(list), { message: 'thrown' });
  const closing = Object.defineProperty(['a'], 0, { get: () => c.close() ?? 'a' });
  assert.throws(() => c.getMany(closing), { name: 'ClosedError' });
});

test('it is a collection', (t) => {
  const c = cache(t);
  assert.equal(c.size, 0);
  assert.deepEqual([...c], []);
  const want = new Map(Array.from({ length: 1000 }, (_, n) => [`key${n}`, `value${n}`]));
  c.setMany(want);
  assert.equal(c.size, 1000);
  assert.deepEqual(new Set(Array.from(c.keys(), String)), new Set(want.keys()));
  assert.deepEqual(new Map(Array.from(c, ([key, value]) => [String(key), String(value)])), want);
  assert.deepEqual(new Set(Array.from(c.values(), String)), new Set(want.values()));
  // Items that are removed during the iteration are left out.
  const entries = c.entries();
  entries.next();
  c.flush();
  assert.deepEqual([...entries], []);
  assert.equal(c.size, 0);
});

test('a flush of a prefix takes its items alone', (t) => {
  const c = cache(t);
  c.setMany({ 'a:1': 'x', 'a:2': 'x', 'b:1': 'y' });
  c.flushPrefix('a:');
  c.set('a:2', 'new');
  assert.deepEqual(new Set(Array.from(c.keys(), String)), new Set(['a:2', 'b:1']));
  c.flushPrefix(Buffer.from('b'));
  assert.equal(c.get('b:1'), undefined);
  assert.throws(() => c.flushPrefix(''), { code: 'ERR_MEMCACHE_INVALID_KEY' });
  assert.throws(() => c.flushPrefix(1), { code: 'ERR_INVALID_ARG_TYPE' });
});

test('statistics have memcached’s names', (t) => {
  const c = cache(t);
  c.set('key', 'value');
  c.get('key');
  c.get('nothing');
  const { curr_items, get_hits, get_misses, version } = c.stats();
  assert.deepEqual([curr_items, get_hits, get_misses, version], [1, 1, 1, memcache.MEMCACHED_VERSION]);
  assert.equal(c.stats('items')['items:1:number'], 1);
  assert.equal(c.stats('latency').sample_rate, 128);
  assert.throws(() => c.stats('nothing'), { name: 'ConfigError', message: /'slabs'/ });
});

test('a closed cache says so', () => {
  const c = new Cache();
  c.set('key', 'value');
  const { clock } = c;
  assert.equal(inspect(c), '<Cache of 1 items>');
  assert.equal(c.closed, false);
  c.close();
  c.close();
  assert.equal(c.closed, true);
  assert.equal(inspect(c), '<Cache, closed>');
  const closed = { name: 'ClosedError', code: 'ERR_MEMCACHE_CLOSED', message: 'the cache is closed: create a new Cache' };
  const uses = [
    () => c.get('key'),
    () => c.getString('key'),
    () => c.getInto('key', Buffer.alloc(1)),
    () => c.gets('key'),
    () => c.getItem('key'),
    () => c.info('key'),
    () => c.getAndTouch('key'),
    () => c.getMany(['key']),
    () => c.has('key'),
    () => c.set('key', '1'),
    () => c.add('key', '1'),
    () => c.replace('key', '1'),
    () => c.append('key', '1'),
    () => c.prepend('key', '1'),
    () => c.cas('key', '1', 1n),
    () => c.incr('key'),
    () => c.decr('key'),
    () => c.touch('key'),
    () => c.delete('key'),
    () => c.invalidate('key'),
    () => c.flush(),
    () => c.size,
    () => [...c],
    () => [...c.keys()],
    () => c.stats(),
    () => c.clock,
    () => c.setMany({ a: '1' }),
    () => c.deleteMany(['a']),
  ];
  uses.push(
    () => clock.freeze(),
    () => clock.advance(1),
    () => clock.time(),
  );
  for (const use of uses) assert.throws(use, closed);
  // The end of `using` does nothing.
  clock[Symbol.dispose]();
});

test('settings that cannot work are refused', () => {
  const refused = { name: 'ConfigError', code: 'ERR_MEMCACHE_CONFIG' };
  const wrong = [
    { memoryLimit: -1 },
    { memoryLimit: 1.5 },
    { memoryLimit: '64' },
    { memoryLimit: 1 },
    { itemSizeMax: NaN },
    { evictions: 1 },
    { memory: 1 },
    { name: 5 },
  ];
  for (const options of wrong) assert.throws(() => new Cache(options), refused, inspect(options));
});

test('errors have classes, and stacks that begin with the caller', (t) => {
  const c = cache(t);
  const kinds = [
    'InvalidKeyError',
    'InvalidTTLError',
    'ValueTooLargeError',
    'NotANumberError',
    'OutOfMemoryError',
    'ConfigError',
    'StartError',
    'ClosedError',
  ];
  for (const name of kinds) {
    const error = new memcache[name]('text');
    assert.ok(error instanceof memcache.MemcacheError && error instanceof Error);
    assert.equal(error.name, name);
    assert.equal(error.message, 'text');
    assert.match(error.code, /^ERR_MEMCACHE_/);
    assert.equal(String(error), `${name}: text`);
  }
  try {
    c.get('');
    assert.fail();
  } catch (error) {
    assert.match(error.stack.split('\n')[1], /cache\.test\.js/);
  }
});

/** Transfers memory as to another thread, unless Node refuses it. */
function sent({ buffer }) {
  try {
    structuredClone(buffer, { transfer: [buffer] });
  } catch (error) {
    assert.equal(error.name, 'DataCloneError');
  }
}

test('a Buffer that is transferred takes no other one along', (t) => {
  const c = cache(t);
  c.set('a', 'one');
  c.set('b', 'two');
  // The first value gets its own memory.
  c.get('a');
  const [one, two] = [c.get('a'), c.get('b')];
  sent(one);
  assert.deepEqual(two, bytes('two'));
  const many = c.getMany(['a', 'b']);
  sent(many.get('a'));
  assert.deepEqual(many.get('b'), bytes('two'));
});

test('getMany reads its list once', (t) => {
  const c = cache(t);
  c.set('a', 'one');
  let reads = 0;
  const keys = [];
  Object.defineProperty(keys, 0, { enumerable: true, get: () => (reads++ === 0 ? 'a' : 'other') });
  assert.deepEqual(c.getMany(keys), new Map([['a', bytes('one')]]));
  assert.equal(reads, 1);
});

test('a value that is longer than any string', (t) => {
  const c = cache(t, { memoryLimit: 2 ** 31, itemSizeMax: 2 ** 30 });
  const length = constants.MAX_STRING_LENGTH + 1;
  c.set('key', Buffer.alloc(length));
  assert.throws(() => c.getString('key'), { name: 'ValueTooLargeError', message: /string/ });
  assert.equal(c.getInto('key', Buffer.alloc(1)), length);
});

test('itemSizeMax is taken as it is', (t) => {
  for (const size of [1024, 1025, 300_000, 1_500_000]) {
    assert.equal(cache(t, { itemSizeMax: size }).stats('settings').item_size_max, size);
  }
  const c = cache(t, { itemSizeMax: 1024 });
  c.set('key', Buffer.alloc(700));
  assert.equal(c.append('key', Buffer.alloc(700)), false);
  assert.equal(c.prepend('key', Buffer.alloc(700)), false);
  assert.equal(c.get('key').length, 700);
});
