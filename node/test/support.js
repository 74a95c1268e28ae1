// What the tests share.
'use strict';

const { spawn } = require('node:child_process');
const { once } = require('node:events');
const { mkdtempSync, readdirSync, readFileSync, rmSync } = require('node:fs');
const net = require('node:net');
const { tmpdir } = require('node:os');
const { join } = require('node:path');
const v8 = require('node:v8');
const vm = require('node:vm');
const { Worker } = require('node:worker_threads');

const INDEX = join(__dirname, '..', 'index.js');

// Test files run beside each other: each has a place of its own for temporary files, in which nothing must stay.
const temporary = mkdtempSync(join(tmpdir(), 'memcache-test-'));
process.env.TMPDIR = temporary;
process.on('exit', () => rmSync(temporary, { recursive: true, force: true }));

v8.setFlagsFromString('--expose-gc');
const gc = vm.runInNewContext('gc');

/** Collects what nobody has, and lets Node give back what belonged to it. */
async function collect() {
  for (let times = 0; times < 3; times += 1) {
    gc();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Sends lines to a server and gives all that it answers until it closes. */
async function ask(at, ...lines) {
  const socket = net.connect(at);
  socket.end(`${lines.join('\r\n')}\r\nquit\r\n`);
  const chunks = [];
  for await (const chunk of socket) chunks.push(chunk);
  return Buffer.concat(chunks).toString('latin1');
}

/** Where a client connects to. */
const place = (server) => ({ host: server.host, port: server.port });

/** An event that comes, whatever error comes before it. */
const whenever = (emitter, name) =>
  new Promise((resolve) => {
    emitter.on('error', () => {});
    emitter.once(name, resolve);
  });

/** Whether nobody listens there any more. */
async function refuses(port) {
  const socket = net.connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return false;
  } catch (error) {
    return error.code === 'ECONNREFUSED';
  } finally {
    socket.destroy();
  }
}

/** Runs a program in a process of its own; `memcache` is the package. */
async function run(program, { args = [], signal } = {}) {
  const source = `const memcache = require(${JSON.stringify(INDEX)});\n${program}`;
  const child = spawn(process.execPath, [...args, '-e', source], { stdio: ['ignore', 'pipe', 'pipe', 'ipc'], signal });
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr']) child[name].on('data', (chunk) => (output[name] += chunk));
  const [code, by] = await once(child, 'close');
  return { ...output, code, signal: by };
}

/** A thread with a program of its own, in which `memcache`, `data` and `parent` are there. */
function thread(program, data) {
  const source = `
    const memcache = require(${JSON.stringify(INDEX)});
    const { parentPort: parent, workerData: data } = require('node:worker_threads');
    (async () => { ${program} })().catch((error) => { setImmediate(() => { throw error; }); });`;
  return new Worker(source, { eval: true, workerData: data });
}

/** The next message of a thread; an error of it is one here. */
async function message(worker) {
  const [value] = await once(worker, 'message');
  return value;
}

/** Directories of servers that are there. */
const directories = () => readdirSync(tmpdir()).filter((name) => name.startsWith('memcache-rs-'));

/** What the system says of this process: threads, descriptors, and resident KiB. */
function usage() {
  const status = readFileSync('/proc/self/status', 'utf8');
  const number = (name) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)[1]);
  return { threads: number('Threads'), resident: number('VmRSS'), descriptors: readdirSync('/proc/self/fd').length };
}

module.exports = { INDEX, ask, collect, directories, gc, message, place, refuses, run, thread, usage, whenever };
