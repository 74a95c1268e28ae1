// Shared by the tests.
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

// Test files run side by side. Each has its own directory for temporary files.
const temporary = mkdtempSync(join(tmpdir(), 'memcache-test-'));
process.env.TMPDIR = temporary;
process.on('exit', () => rmSync(temporary, { recursive: true, force: true }));

v8.setFlagsFromString('--expose-gc');
const gc = vm.runInNewContext('gc');

/** Collects garbage, and lets Node run the finalizers. */
async function collect() {
  for (let times = 0; times < 3; times += 1) {
    gc();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Sends lines to a server, and returns all replies until it closes. */
async function ask(at, ...lines) {
  const socket = net.connect(at);
  socket.end(`${lines.join('\r\n')}\r\nquit\r\n`);
  const chunks = [];
  for await (const chunk of socket) chunks.push(chunk);
  return Buffer.concat(chunks).toString('latin1');
}

/** Returns the address that a client connects to. */
const place = (server) => ({ host: server.host, port: server.port });

/** Waits for an event, and ignores errors before it. */
const whenever = (emitter, name) =>
  new Promise((resolve) => {
    emitter.on('error', () => {});
    emitter.once(name, resolve);
  });

/** Returns whether connections to a port are refused. */
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

/** Runs a program in its own process, in which `memcache` is the package. */
async function run(program, { args = [], signal } = {}) {
  const source = `const memcache = require(${JSON.stringify(INDEX)});\n${program}`;
  const child = spawn(process.execPath, [...args, '-e', source], { stdio: ['ignore', 'pipe', 'pipe', 'ipc'], signal });
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr']) child[name].on('data', (chunk) => (output[name] += chunk));
  const [code, by] = await once(child, 'close');
  return { ...output, code, signal: by };
}

/** Starts a thread with a program, which may use `memcache`, `data` and `parent`. */
function thread(program, data) {
  const source = `
    const memcache = require(${JSON.stringify(INDEX)});
    const { parentPort: parent, workerData: data } = require('node:worker_threads');
    (async () => { ${program} })().catch((error) => { setImmediate(() => { throw error; }); });`;
  return new Worker(source, { eval: true, workerData: data });
}

/** Returns the next message of a thread. An error of the thread is thrown here. */
async function message(worker) {
  const [value] = await once(worker, 'message');
  return value;
}

/** Returns the directories of servers. */
const directories = () => readdirSync(tmpdir()).filter((name) => name.startsWith('memcache-rs-'));

/** Returns the resources of this process: threads, descriptors, and resident KiB. */
function usage() {
  const status = readFileSync('/proc/self/status', 'utf8');
  const number = (name) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)[1]);
  return { threads: number('Threads'), resident: number('VmRSS'), descriptors: readdirSync('/proc/self/fd').length };
}

module.exports = { INDEX, ask, collect, directories, gc, message, place, refuses, run, thread, usage, whenever };
