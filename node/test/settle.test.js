// A handle of a server sees the commands that clients have sent before.
'use strict';

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { connect } = require('node:net');
const { test } = require('node:test');
const memjs = require('memjs');
const { Cache, ClosedError, Server } = require('../index.js');

async function connected(server) {
  const client = connect(server.port, server.host);
  await once(client, 'connect');
  return client;
}

test('a set without reply was not seen by the handles', async () => {
  for (const threads of [1, 4]) {
    await using(await Server.start({ threads }), async (server) => {
      const client = await connected(server);
      for (let n = 0; n < 200; n += 1) {
        client.write(`set key 0 0 3 noreply\r\n${String(n).padStart(3, '0')}\r\n`);
        assert.equal(server.cache.getString('key'), String(n).padStart(3, '0'));
        assert.equal(server.stats().cmd_set, n + 1);
      }
      server.clock.freeze();
      client.write('set key 0 60 1 noreply\r\nx\r\n');
      server.clock.advance(60);
      assert.equal(server.cache.get('key'), undefined);
      client.destroy();
    });
  }
});

test('a set without reply was not seen by keys', async () => {
  await using(await Server.start(), async (server) => {
    const client = await connected(server);
    for (let n = 0; n < 200; n += 1) {
      client.write('set key 0 0 1 noreply\r\n1\r\n');
      assert.deepEqual(Array.from(server.cache.keys(), String), ['key']);
      server.cache.flush();
    }
    client.destroy();
  });
});

test('quiet sets of the binary protocol settle', async () => {
  await using(await Server.start(), async (server) => {
    const client = await connected(server);
    const value = Buffer.from('value');
    const header = Buffer.alloc(24);
    header[0] = 0x80;
    header[1] = 0x11; // SETQ
    header.writeUInt16BE(3, 2);
    header[4] = 8;
    header.writeUInt32BE(8 + 3 + value.length, 8);
    for (let n = 0; n < 50; n += 1) {
      client.write(Buffer.concat([header, Buffer.alloc(8), Buffer.from('key'), value]));
      assert.equal(server.cache.getString('key'), 'value');
      server.cache.delete('key');
    }
    client.destroy();
  });
});

// memjs has no quiet operations and always asks for a reply. This test does not wait for replies.
test('commands of memjs whose replies are not awaited settle', async () => {
  for (const threads of [1, 4]) {
    await using(await Server.start({ threads }), async (server) => {
      const client = memjs.Client.create(`${server.host}:${server.port}`, { logger: { log() {} }, timeout: 5 });
      const first = client.set('key', 'first', {});
      // memjs keeps this command until it is connected, where no server can see it.
      assert.equal(server.cache.get('key'), undefined);
      assert.equal(await first, true);
      const replies = [];
      for (let n = 1; n <= 100; n += 1) {
        replies.push(client.set('key', String(n), {}));
        assert.equal(server.cache.getString('key'), String(n));
        replies.push(client.append('key', '+'));
        assert.equal(server.cache.getString('key'), `${n}+`);
        replies.push(client.increment('n', 1, { initial: 1 }));
        assert.equal(server.cache.getString('n'), String(n));
        replies.push(client.delete('key'));
        assert.equal(server.cache.get('key'), undefined);
      }
      await Promise.all(replies);
      client.close();
    });
  }
});

test('a server of a given cache settles in settle()', async () => {
  const cache = new Cache();
  const server = await Server.start({ cache });
  const client = await connected(server);
  for (let n = 0; n < 50; n += 1) {
    client.write(`set key 0 0 2 noreply\r\n${String(n).padStart(2, '0')}\r\n`);
    assert.equal(await server.settle(2), true);
    assert.equal(cache.getString('key'), String(n).padStart(2, '0'));
  }
  client.destroy();
  await server.close();
  await assert.rejects(server.settle(), ClosedError);
  await assert.rejects(server.settle('soon'), TypeError);
  await assert.rejects(server.settle(-1), RangeError);
  cache.close();
});

test('settle blocked the event loop', async () => {
  await using(await Server.start(), async (server) => {
    const client = await connected(server);
    // The server may close before it has read the set. The client's system then reports a reset.
    client.on('error', () => {});
    client.write('set key 0 0 1 noreply\r\n1\r\n');
    const settled = server.settle(Number.POSITIVE_INFINITY);
    assert.ok(settled instanceof Promise);
    const closed = server.close();
    assert.deepEqual(await Promise.all([settled, closed]), [true, undefined]);
    client.destroy();
  });
});

async function using(server, work) {
  try {
    await work(server);
  } finally {
    await server.close();
  }
}
