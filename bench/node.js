#!/usr/bin/env node
// Measures the Node package beside others, in one process and one run.
//
// usage: node.js RESULTS.jsonl
//
// Each cache reads and writes values of 100 bytes by eight string keys in turn, then reads 100 keys
// at a time. Each number includes the loop. It is the best of several rounds, because the best
// repeats even on a machine that does other work. Caches in JavaScript return the stored object,
// whereas memcache-rs returns bytes. Prints a table at the end.
'use strict';

const assert = require('node:assert/strict');
const { execFileSync, spawn } = require('node:child_process');
const { once } = require('node:events');
const { writeFileSync } = require('node:fs');
const net = require('node:net');
const { performance } = require('node:perf_hooks');
const { Keyv } = require('keyv');
const { LRUCache } = require('lru-cache');
const memjs = require('memjs');
const NodeCache = require('node-cache');
const memcache = require('../node');

const ROUNDS = 9;
const VALUE = Buffer.alloc(100, 'x');
const KEYS = Array.from({ length: 100 }, (_, n) => `key:${String(n).padStart(10, '0')}`);
const HOT = KEYS.slice(0, 8);

/**
 * Compiles a loop around the text of a statement, so that it is not optimised together with other
 * statements. The loop is asynchronous if the statement begins with `await`.
 */
function loop(statement) {
  const body = `let last; for (let n = 0; n < count; n += 1) { const key = HOT[n & 7]; last = ${statement}; } return last;`;
  const Made = statement.startsWith('await ') ? (async () => {}).constructor : Function;
  return new Made('cache', 'HOT', 'KEYS', 'VALUE', 'out', 'count', body);
}

/** Returns the nanoseconds that a statement takes. */
async function nanoseconds(cache, statement, count) {
  const run = loop(statement);
  const out = Buffer.alloc(1024);
  let best = Number.POSITIVE_INFINITY;
  // The first rounds warm up the compiler.
  for (let round = 0; round < ROUNDS + 3; round += 1) {
    const begun = performance.now();
    const last = await run(cache, HOT, KEYS, VALUE, out, count);
    best = Math.min(best, ((performance.now() - begun) * 1e6) / count);
    assert.notEqual(last, null);
  }
  return best;
}

/** Returns for each subject its name, cache, number of calls in a round, and statements. */
function subjects(memcachedPort) {
  const map = new Map();
  const lru = new LRUCache({ max: 1000 });
  const nodeCache = new NodeCache({ useClones: false });
  const keyv = new Keyv();
  const cache = new memcache.Cache();
  const found = [
    ['Map', map, 1_000_000, { get: 'cache.get(key)', set: 'cache.set(key, VALUE)' }],
    [
      'memcache-rs',
      cache,
      1_000_000,
      {
        getInto: 'cache.getInto(key, out)',
        getString: 'cache.getString(key)',
        get: 'cache.get(key)',
        set: 'cache.set(key, VALUE) ?? 1',
        getMany: 'cache.getMany(KEYS)',
      },
    ],
    ['lru-cache', lru, 1_000_000, { get: 'cache.get(key)', set: 'cache.set(key, VALUE)' }],
    ['node-cache', nodeCache, 500_000, { get: 'cache.get(key)', set: 'cache.set(key, VALUE)', getMany: 'cache.mget(KEYS)' }],
    [
      'keyv in memory',
      keyv,
      100_000,
      { get: 'await cache.get(key)', set: 'await cache.set(key, VALUE)', getMany: 'await cache.getMany(KEYS)' },
    ],
  ];
  if (memcachedPort !== undefined) {
    const client = memjs.Client.create(`127.0.0.1:${memcachedPort}`, { logger: { log() {} } });
    found.push(['memjs, memcached', client, 1000, { get: 'await cache.get(key)', set: 'await cache.set(key, VALUE, {})' }]);
  }
  return found;
}

/** Returns the milliseconds from the start of a server to its first reply. */
async function firstReply() {
  const begun = performance.now();
  const server = await memcache.Server.start();
  const client = net.connect(server.port, server.host);
  client.write('mn\r\n');
  const [reply] = await once(client, 'data');
  const time = performance.now() - begun;
  assert.equal(String(reply), 'MN\r\n');
  client.destroy();
  await server.close();
  return time;
}

/** Returns the milliseconds of loading the package in a fresh process, the best of several. */
function loadTime() {
  const program = `const t = performance.now(); require(${JSON.stringify(require.resolve('../node'))}); console.log(performance.now() - t);`;
  const times = Array.from({ length: 15 }, () =>
    Number(execFileSync(process.execPath, ['-e', program], { encoding: 'utf8' })),
  );
  return Math.min(...times);
}

/** Starts a memcached to compare with. Returns undefined if MEMCACHED does not name one. */
async function startMemcached() {
  const program = process.env.MEMCACHED;
  if (!program) return undefined;
  const probe = net.createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  const user = process.getuid() === 0 ? ['-u', 'root'] : [];
  const child = spawn(program, ['-l', '127.0.0.1', '-p', port, '-U', '0', ...user], { stdio: 'inherit' });
  for (;;) {
    const client = net.connect(port, '127.0.0.1');
    try {
      await once(client, 'connect');
      client.destroy();
      return { port, stop: () => child.kill() };
    } catch (error) {
      if (child.exitCode !== null || error.code !== 'ECONNREFUSED') throw error;
    }
  }
}

async function measure(write) {
  const memcached = await startMemcached();
  for (const [subject, cache, count, statements] of subjects(memcached?.port)) {
    for (const key of KEYS) await cache.set(key, VALUE, subject.startsWith('memjs') ? {} : undefined);
    for (const [what, statement] of Object.entries(statements)) {
      const many = what === 'getMany';
      const time = await nanoseconds(cache, statement, many ? count / 100 : count);
      write({ node: what, subject, ns: many ? time / KEYS.length : time });
    }
    if (subject.startsWith('memjs')) cache.close();
  }
  memcached?.stop();
  const starts = [];
  for (let n = 0; n < 50; n += 1) starts.push(await firstReply());
  write({ node: 'server start', subject: 'memcache-rs', ms: starts.sort((a, b) => a - b)[25] });
  write({ node: 'load', subject: 'memcache-rs', ms: loadTime() });
}

async function main() {
  const results = [];
  await measure((result) => results.push(result));
  const lines = results.map((result) => JSON.stringify({ ...result, interpreter: process.versions.node }));
  writeFileSync(process.argv[2], `${lines.join('\n')}\n`);
  const base = results.find(({ node, subject }) => node === 'get' && subject === 'lru-cache').ns;
  for (const { node, subject, ns, ms } of results) {
    const time =
      ms === undefined ? `${ns.toFixed(0)} ns ${(ns / base).toFixed(1).padStart(8)}x lru-cache.get` : `${ms.toFixed(2)} ms`;
    console.log(subject.padEnd(20), node.padEnd(14), time.padStart(12));
  }
}

main();
