// A server in this process.
'use strict';

const { readFileSync } = require('node:fs');
const { isIP } = require('node:net');
const { inspect, types } = require('node:util');
const { runInThisContext } = require('node:vm');
const native = require('./native.js').load();
const { branded } = require('./brand.js');
const { Cache, nativeOf } = require('./cache.js');
const { call, classes, refined } = require('./errors.js');
const { Faults } = require('./faults.js');
const { hold } = require('./hold.js');
const { checkNames, wrongType } = require('./options.js');
const { stats } = require('./stats.js');
const { Watch } = require('./watch.js');

const { ClosedError, ConfigError } = classes;

const KINDS = ['fetchers', 'mutations', 'deletions', 'evictions', 'connevents'];

/** What is not given. */
const DEFAULTS = {
  port: 0,
  host: undefined,
  unixSocket: false,
  unixMask: 0o700,
  udp: false,
  tls: undefined,
  users: undefined,
  auth: 'sasl',
  cache: undefined,
  name: undefined,
  memoryLimit: undefined,
  itemSizeMax: undefined,
  evictions: undefined,
  threads: 1,
  maxConnections: 1024,
  idleTimeout: 0,
  shutdownEnabled: false,
  clusterNodes: [],
  recordCommands: false,
};
const NAMES = new Set(Object.keys(DEFAULTS));
const OF_CLOSE = new Set(['graceful', 'timeout']);
const OF_TLS = new Set(['certificate', 'key', 'ca', 'verifyClients', 'clientCertificate', 'clientKey']);

const wrongSetting = (text) => new ConfigError(text);

/**
 * What ends the servers that run, or are about to: they do so until they are closed, or their thread ends, whoever remembers
 * them. Node finalizes nothing at a process.exit(), so that their files would stay.
 */
const running = new Map();

/** Node's own: what a test in Jest has is a copy, whose listeners nobody calls when the process ends. */
const real = runInThisContext('process');

function endAll() {
  for (const end of running.values()) end();
}

function started(server, end) {
  if (running.size === 0) real.on('exit', endAll);
  running.set(server, end);
}

function stopped(server) {
  if (running.delete(server) && running.size === 0) real.off('exit', endAll);
}

class Server {
  #options;
  #port;
  #host;
  #native = new native.Server();
  #cache;
  #listening;
  #watches = new Set();
  /** Starts and stops, one after the other. */
  #turn = Promise.resolve();
  /** Lets the process end, if this keeps it alive. */
  #release;

  static async start(options) {
    const server = new this(options);
    await server.start();
    return server;
  }

  constructor(options = {}) {
    checkNames(options, NAMES, 'a server', wrongSetting);
    const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
    this.#options = { ...DEFAULTS, ...given };
    const { port, host, unixSocket, unixMask, tls, auth, cache, name, threads, maxConnections } = this.#options;
    whole('a port', port, 0, 65535);
    whole('unixMask', unixMask, 0, 0o777);
    whole('threads', threads, 1, 1024);
    whole('maxConnections', maxConnections, 1, 2 ** 31 - 1);
    whole('idleTimeout', this.#options.idleTimeout, 0, 2 ** 31 - 1);
    if (auth !== 'text' && auth !== 'sasl') throw new ConfigError(`auth is 'text' or 'sasl', not ${inspect(auth)}`);
    const plain = (tls ?? false) === false;
    if (!plain && tls !== 'test' && tls !== 'test-mutual' && typeof tls !== 'object') {
      throw new ConfigError(`tls is 'test', 'test-mutual' or an object with files, not ${inspect(tls)}`);
    }
    if (typeof tls === 'object' && tls !== null) checkNames(tls, OF_TLS, 'tls', wrongSetting);
    if (this.#options.users !== undefined) this.#options.users = users(this.#options.users);
    if (cache !== undefined) {
      nativeOf(cache);
      if (name !== undefined) throw new ConfigError('cache is a Cache, which keeps its name; leave name out');
    }
    this.#port = port;
    this.#host = unixSocket && host === undefined ? undefined : address(host ?? '127.0.0.1');
    if (!plain && this.#host === undefined) {
      throw new ConfigError('TLS is spoken over TCP; give the server a host beside its unixSocket, or no tls');
    }
    this.#cache = cache;
  }

  // Start and stop.

  /** Starts it; resolves when it accepts connections. Nothing happens if it runs. */
  start() {
    return this.#next(() => this.#start());
  }

  /** Stops it; resolves when nothing of it is left. */
  close(options) {
    return this.#next(() => this.#close(options ?? undefined));
  }

  #next(work) {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => {});
    return done;
  }

  async #start() {
    if (this.running) return this;
    await this.#close();
    const options = this.#options;
    const { memoryLimit, itemSizeMax, evictions, name } = options;
    this.#cache ??= new Cache({ name, memoryLimit, itemSizeMax, evictions });
    const tls = typeof options.tls === 'object' ? (options.tls ?? undefined) : undefined;
    started(this, () => this.#native.end());
    try {
      const cache = nativeOf(this.#cache);
      await call(() =>
        this.#native.start(cache, {
          host: this.#host,
          port: this.#port,
          udp: options.udp,
          unixSocket: options.unixSocket === true ? '' : options.unixSocket || undefined,
          unixMask: options.unixMask,
          tls,
          testCertificates: typeof options.tls === 'string' ? options.tls === 'test-mutual' : undefined,
          users: options.users,
          sasl: options.auth === 'sasl',
          threads: options.threads,
          maxConnections: options.maxConnections,
          idleTimeout: options.idleTimeout,
          shutdownEnabled: options.shutdownEnabled,
          clusterNodes: [...options.clusterNodes],
          recordCommands: options.recordCommands,
          settles: options.cache === undefined,
        }),
      );
    } catch (error) {
      stopped(this);
      this.#forget();
      throw refined(error);
    }
    this.#listening = this.#native.addresses();
    // Where it will be again.
    this.#port = this.#at('tcp')?.port ?? this.#port;
    return this;
  }

  async #close(options = {}) {
    // Before anything is touched.
    checkNames(options, OF_CLOSE, 'close');
    const { graceful = false, timeout = 5 } = options;
    argument('graceful', graceful, 'boolean');
    argument('timeout', timeout, 'number');
    if (!(timeout >= 0)) {
      const error = new RangeError(`timeout is a number of seconds from 0, not ${timeout}`);
      throw Object.assign(error, { code: 'ERR_OUT_OF_RANGE' });
    }
    for (const watch of this.#watches) watch.close();
    this.unref();
    this.#listening = undefined;
    try {
      await this.#native.stop(graceful, timeout);
    } finally {
      stopped(this);
      this.#forget();
    }
  }

  /** A cache of its own goes with it. */
  #forget() {
    if (this.#options.cache !== undefined) return;
    this.#cache?.close();
    this.#cache = undefined;
  }

  [Symbol.asyncDispose]() {
    return this.close();
  }

  #live() {
    if (this.#listening === undefined) throw new ClosedError('this server does not run; start() starts it');
    return this.#native;
  }

  get running() {
    return this.#listening !== undefined && this.#native.running();
  }

  /** Keeps the process alive until it is closed. */
  ref() {
    this.#live();
    this.#release ??= hold();
    return this;
  }

  /** Lets the process end, which is how it starts. */
  unref() {
    this.#release?.();
    this.#release = undefined;
    return this;
  }

  // Where it is.

  #at(kind) {
    return this.#listening?.find((one) => one.kind === kind);
  }

  #tcp() {
    this.#live();
    const at = this.#at('tcp');
    if (at === undefined)
      throw new ClosedError('this server listens at a Unix socket alone; see unixSocket, or give it a host');
    return at;
  }

  get address() {
    return joined(this.#tcp());
  }

  get host() {
    return this.#tcp().host;
  }

  get port() {
    return this.#tcp().port;
  }

  get udpAddress() {
    this.#live();
    const at = this.#at('udp');
    return at && joined(at);
  }

  get unixSocket() {
    this.#live();
    return this.#at('unix')?.host;
  }

  get url() {
    const path = this.unixSocket;
    if (path !== undefined && this.#at('tcp') === undefined) return `memcache://${encodeURI(path)}`;
    return `${this.#options.tls ? 'memcaches' : 'memcache'}://${this.address}`;
  }

  get tls() {
    const running = this.#live();
    return call(() => running.tls()) ?? undefined;
  }

  tlsOptions() {
    const running = this.#live();
    if (!this.#options.tls) throw new ConfigError("this server has no TLS; start it with { tls: 'test' }");
    const { host, port } = this;
    // Test certificates are in memory, and stay there.
    const pem = running.clientPem();
    if (pem) return { host, port, ca: Buffer.from(pem.ca), cert: Buffer.from(pem.certificate), key: Buffer.from(pem.key) };
    const { ca, clientCertificate, clientKey } = this.tls;
    const read = (path) => (path === undefined ? undefined : readFileSync(path));
    return { host, port, ca: read(ca), cert: read(clientCertificate), key: read(clientKey) };
  }

  // What is inside.

  get cache() {
    this.#live();
    return this.#cache;
  }

  get clock() {
    return this.cache.clock;
  }

  get faults() {
    return new Faults(call(() => this.#live().faults()));
  }

  settle(timeout = 1) {
    argument('timeout', timeout, 'number');
    return call(() => this.#live().settle(timeout));
  }

  stats(group = '') {
    const running = this.#live();
    return stats(call(() => running.stats(group)));
  }

  watch(...kinds) {
    const running = this.#live();
    const wanted = kinds.length > 0 ? kinds : KINDS;
    const watch = new Watch(
      (bell) => call(() => running.watch(wanted, bell)),
      (closed) => this.#watches.delete(closed),
    );
    this.#watches.add(watch);
    return watch;
  }

  get lastCommands() {
    return this.#live().lastCommands();
  }

  clearCommands() {
    this.#live().clearCommands();
  }

  setClusterNodes(nodes) {
    const running = this.#live();
    call(() => running.setClusterNodes([...nodes]));
  }

  [inspect.custom]() {
    return this.running ? `<Server at ${this.url}>` : '<Server, not running>';
  }
}

/** Several servers, for clients that spread their keys; each tells of all of them (auto discovery). */
class Cluster {
  #servers;

  static async start(size, options) {
    const cluster = new this(size, options);
    await cluster.start();
    return cluster;
  }

  constructor(size = 3, options = {}) {
    whole('the size of a cluster', size, 1, 1024);
    if (options.port) throw new ConfigError('the nodes of a cluster take ports that are free');
    if (options.cache !== undefined || options.name !== undefined) {
      throw new ConfigError('each node of a cluster has a cache of its own');
    }
    if (options.unixSocket && options.host === undefined) {
      throw new ConfigError('the nodes of a cluster tell of their addresses; give them a host beside their unixSocket');
    }
    this.#servers = Array.from({ length: size }, () => new Server(options));
  }

  /** Starts all nodes, or none. */
  async start() {
    try {
      await Promise.all(this.#servers.map((server) => server.start()));
      this.#tell();
    } catch (error) {
      await this.close();
      throw error;
    }
    return this;
  }

  /** Auto discovery: each node that runs tells of all that run. */
  #tell() {
    const up = this.#servers.filter((server) => server.running);
    const nodes = up.map((server) => server.address);
    for (const server of up) server.setClusterNodes(nodes);
  }

  /** Stops one node, as if it had died; the others tell of it no more. */
  async stopNode(number) {
    await this.#node(number).close();
    this.#tell();
  }

  /** Starts a node again, at its address, empty. */
  async startNode(number) {
    await this.#node(number).start();
    this.#tell();
  }

  #node(number) {
    whole('the number of a node', number, 0, this.#servers.length - 1);
    return this.#servers[number];
  }

  /** Stops all nodes. */
  async close() {
    await Promise.all(this.#servers.map((server) => server.close()));
  }

  [Symbol.asyncDispose]() {
    return this.close();
  }

  get servers() {
    return [...this.#servers];
  }

  get addresses() {
    return this.#servers.map((server) => server.address);
  }

  get length() {
    return this.#servers.length;
  }

  [Symbol.iterator]() {
    return this.#servers.values();
  }
}

function whole(what, number, least, most) {
  if (!Number.isInteger(number) || number < least || number > most) {
    throw new ConfigError(`${what} is a whole number from ${least} to ${most}, not ${inspect(number)}`);
  }
}

function argument(name, value, kind) {
  if (typeof value !== kind) throw wrongType(`${name} is a ${kind}, not ${inspect(value)}`);
}

function joined({ host, port }) {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** A host as an address, which is what can be listened at. */
function address(host) {
  if (host === 'localhost') return '127.0.0.1';
  if (isIP(host) !== 0) return host;
  throw new ConfigError(`host is an IP address to listen at, such as '127.0.0.1' or '::1', not ${inspect(host)}`);
}

/** Users as pairs, of a Map of any realm or a plain object. */
function users(given) {
  if (typeof given !== 'object' || given === null || (Symbol.iterator in given && !types.isMap(given))) {
    throw new ConfigError(`users must be a Map or an object of passwords by name, got ${inspect(given)}`);
  }
  const pairs = types.isMap(given) ? [...given] : Object.entries(given);
  return pairs.map(([name, password]) => {
    if (typeof name === 'string' && typeof password === 'string') return { name, password };
    throw new ConfigError('users must be strings: passwords by name');
  });
}

module.exports = { Cluster: branded(Cluster), Server: branded(Server) };
