// A server in this process. index.d.ts documents the classes.
'use strict';

const { readFileSync } = require('node:fs');
const { isIP } = require('node:net');
const { inspect, types } = require('node:util');
const { runInThisContext } = require('node:vm');
const native = require('./native.js').load();
const { branded } = require('./brand.js');
const { Cache, nativeOf } = require('./cache.js');
const { call, classes, toPublicError } = require('./errors.js');
const { Faults } = require('./faults.js');
const { keepAlive } = require('./keep-alive.js');
const { checkMost, checkNames, checkTimeout, checkType, defined, toSettings } = require('./options.js');
const { Watch } = require('./watch.js');

const { ClosedError, ConfigError } = classes;

/** The options, with the defaults of those that are not settings. The addon's table has others. */
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
  threads: undefined,
  maxConnections: undefined,
  idleTimeout: undefined,
  shutdownEnabled: undefined,
  proxy: undefined,
  clusterNodes: [],
  recordCommands: false,
  settings: undefined,
};
const NAMES = new Set(Object.keys(DEFAULTS));
/** The types of options that are settings, and not numbers. */
const SETTING_TYPES = { proxy: 'string', shutdownEnabled: 'boolean' };
const CLOSE_OPTIONS = new Set(['graceful', 'timeout']);
/** The options of `tls`, with their types. The first two are required. */
const TLS_TYPES = {
  certificate: 'string',
  key: 'string',
  ca: 'string',
  verifyClients: 'boolean',
  clientCertificate: 'string',
  clientKey: 'string',
};
const TLS_OPTIONS = new Set(Object.keys(TLS_TYPES));

/** Seconds of one wait of `settle`. A worker that is terminated waits for the current one. */
const SETTLE_SLICE = 0.1;

/** How many seconds the proxy of a cluster may take to notice that a server has died. */
const PATIENCE = 5;

const configError = (text) => new ConfigError(text);

/**
 * The functions that end the servers that are running or starting. A server runs until it is closed
 * or its thread ends, even if the program keeps no reference to it. Node runs no finalizers at
 * process.exit(), and then the files of servers would stay.
 */
const running = new Map();

/** Node's own `process`. A test in Jest has a copy, whose listeners are not called at the exit. */
const realProcess = runInThisContext('process');

function endAll() {
  for (const end of running.values()) end();
}

function started(server, end) {
  if (running.size === 0) realProcess.on('exit', endAll);
  running.set(server, end);
}

function stopped(server) {
  if (running.delete(server) && running.size === 0) realProcess.off('exit', endAll);
}

/** Has the handles of a server settle another one first. */
let settleAfter;

class Server {
  static {
    settleAfter = (server, first) => {
      const [own, other] = [server.#live(), first.#live()];
      call(() => own.settleAfter(other));
    };
  }

  #options;
  /** The settings of the addon's table, and those of them that a cache has. */
  #settings;
  #cacheSettings;
  #port;
  #host;
  #native = new native.Server();
  #cache;
  #listening;
  #watches = new Set();
  /** The last start or stop. The next one waits for it. */
  #turn = Promise.resolve();
  /** Ends what `ref` has begun. */
  #release;

  static async start(options) {
    const server = new this(options);
    await server.start();
    return server;
  }

  constructor(options = {}) {
    checkNames(options, NAMES, 'a server', configError);
    this.#options = { ...DEFAULTS, ...defined(options) };
    const { port, host, unixSocket, unixMask, tls, auth, cache, name, threads, maxConnections, idleTimeout, settings } =
      this.#options;
    checkInteger('port', port, 0, 65535);
    checkInteger('unixMask', unixMask, 0, 0o777);
    const { proxy, shutdownEnabled } = this.#options;
    const named = defined({ threads, maxConnections, idleTimeout, proxy, shutdownEnabled });
    for (const [name, value] of Object.entries(named)) checkOption(name, value, SETTING_TYPES[name] ?? 'number');
    if (settings !== undefined) checkOption('settings', settings, 'object');
    // A server for tests needs one worker.
    this.#settings = toSettings({ threads: 1, ...settings, ...named }, configError);
    const ofCache = new Set(call(() => native.Server.checkSettings(this.#settings)));
    this.#cacheSettings = Object.fromEntries(Object.entries(settings ?? {}).filter(([name]) => ofCache.has(name)));
    for (const name of ['udp', 'recordCommands']) checkOption(name, this.#options[name], 'boolean');
    if (typeof (unixSocket ?? false) !== 'boolean') checkOption('unixSocket', unixSocket, 'string');
    this.#options.clusterNodes = toNodes(this.#options.clusterNodes);
    if (auth !== 'text' && auth !== 'sasl') throw configError(`auth must be 'text' or 'sasl', got ${inspect(auth)}`);
    const plain = (tls ?? false) === false;
    if (!plain && tls !== 'test' && tls !== 'test-mutual' && typeof tls !== 'object') {
      throw configError(`tls must be 'test', 'test-mutual' or an object with files, got ${inspect(tls)}`);
    }
    if (!plain && typeof tls === 'object') checkTls(tls);
    if (this.#options.users !== undefined) this.#options.users = toUsers(this.#options.users);
    if (cache !== undefined) {
      nativeOf(cache);
      if (name !== undefined) throw configError('name must be left out with cache: the Cache keeps its own');
    }
    this.#port = port;
    this.#host = unixSocket && host === undefined ? undefined : toAddress(host ?? '127.0.0.1');
    if (!plain && this.#host === undefined) {
      throw configError('tls needs TCP: add host beside unixSocket, or leave tls out');
    }
    this.#cache = cache;
  }

  // Start and stop.

  start() {
    return this.#next(() => this.#start());
  }

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
    this.#cache ??= new Cache({ name, memoryLimit, itemSizeMax, evictions, settings: this.#cacheSettings });
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
          values: this.#settings,
          clusterNodes: options.clusterNodes,
          recordCommands: options.recordCommands,
          settles: options.cache === undefined,
        }),
      );
    } catch (error) {
      stopped(this);
      this.#forget();
      throw toPublicError(error);
    }
    this.#listening = this.#native.addresses();
    // The next start takes the same port.
    this.#port = this.#at('tcp')?.port ?? this.#port;
    return this;
  }

  async #close(options = {}) {
    // A bad argument leaves the server running.
    checkNames(options, CLOSE_OPTIONS, 'close');
    const { graceful = false, timeout = 5 } = options;
    checkType('graceful', graceful, 'boolean');
    checkTimeout(timeout);
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

  /** Closes the cache if the server has created it. */
  #forget() {
    if (this.#options.cache !== undefined) return;
    this.#cache?.close();
    this.#cache = undefined;
  }

  [Symbol.asyncDispose]() {
    return this.close();
  }

  #live() {
    if (this.#listening === undefined) throw new ClosedError('the server is not running: call start() first');
    return this.#native;
  }

  get running() {
    return this.#listening !== undefined && this.#native.running();
  }

  ref() {
    this.#live();
    this.#release ??= keepAlive();
    return this;
  }

  unref() {
    this.#release?.();
    this.#release = undefined;
    return this;
  }

  // Addresses.

  #at(kind) {
    return this.#listening?.find((one) => one.kind === kind);
  }

  #tcp() {
    this.#live();
    const at = this.#at('tcp');
    if (at === undefined) throw new ClosedError('the server has no TCP address: read unixSocket, or start it with a host');
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
    if (!this.#options.tls) throw configError("the server has no TLS: start it with { tls: 'test' }");
    const { host, port } = this;
    // Test certificates are in memory, and need no files.
    const pem = running.clientPem();
    if (pem) return { host, port, ca: Buffer.from(pem.ca), cert: Buffer.from(pem.certificate), key: Buffer.from(pem.key) };
    const { ca, clientCertificate, clientKey } = this.tls;
    const read = (path) => (path === undefined ? undefined : readFileSync(path));
    return { host, port, ca: read(ca), cert: read(clientCertificate), key: read(clientKey) };
  }

  // Handles.

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

  async settle(timeout = 1) {
    checkTimeout(timeout);
    const running = this.#live();
    // Counted, not measured: a test may have replaced the clocks.
    for (let left = timeout; ; left -= SETTLE_SLICE) {
      if (await running.settle(Math.min(left, SETTLE_SLICE))) return true;
      if (left <= SETTLE_SLICE) return false;
    }
  }

  retryBackends() {
    const running = this.#live();
    if (!call(() => running.retryBackends())) throw new Error('a worker of the proxy did not answer in a second');
  }

  async reloadProxy(config) {
    if (config !== undefined) checkType('config', config, 'string');
    return this.#next(async () => {
      const running = this.#live();
      try {
        await call(() => running.reloadProxy(config));
      } catch (error) {
        throw toPublicError(error);
      }
      if (config === undefined) return;
      // The next start reads it, too.
      const others = this.#settings.filter(({ name }) => name !== 'proxy');
      this.#settings = [...others, { name: 'proxy', value: config }];
    });
  }

  stats(group = '') {
    checkType('group', group, 'string');
    const running = this.#live();
    return call(() => running.stats(group));
  }

  metrics(format = 'prometheus') {
    checkType('format', format, 'string');
    const running = this.#live();
    return call(() => running.metrics(format));
  }

  metricFamilies() {
    const running = this.#live();
    return call(() => running.metricFamilies());
  }

  hotKeys(most = 10) {
    checkMost(most);
    const running = this.#live();
    return call(() => running.hotKeys(most));
  }

  watch(...kinds) {
    const running = this.#live();
    for (const kind of kinds) checkType('kinds', kind, 'string');
    const watch = new Watch(
      (onEvents) => call(() => running.watch(kinds, onEvents)),
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
    const list = [...nodes];
    for (const node of list) checkType('nodes', node, 'string');
    call(() => running.setClusterNodes(list));
  }

  [inspect.custom]() {
    return this.running ? `<Server at ${this.url}>` : '<Server, not running>';
  }
}

/** The clock of a cluster. A node that starts again has a new clock, which `join` sets. */
class ClusterClock {
  #clocks;
  #frozen = false;

  constructor(clocks) {
    this.#clocks = clocks;
  }

  freeze() {
    for (const clock of this.#all()) clock.freeze();
    this.#frozen = true;
    for (const clock of this.#clocks()) align(clock, this);
    return this;
  }

  resume() {
    for (const clock of this.#all()) clock.resume();
    this.#frozen = false;
  }

  reset() {
    for (const clock of this.#all()) clock.reset();
    this.#frozen = false;
  }

  advance(seconds) {
    for (const clock of this.#all()) clock.advance(seconds);
  }

  time() {
    return this.#all()[0].time();
  }

  [Symbol.dispose]() {
    this.resume();
  }

  /** Sets a new clock to the time of another one, if any runs. */
  join(clock, other) {
    if (this.#frozen) clock.freeze();
    if (other !== undefined) align(clock, other);
  }

  #all() {
    const clocks = this.#clocks();
    if (clocks.length === 0) throw new ClosedError('no server of the cluster is running: call start() first');
    return clocks;
  }
}

/** Moves a clock to the time of another one. */
function align(clock, other) {
  clock.advance(other.time() - clock.time());
}

/** Returns the options of the servers of a cluster, and those of the proxy before them. */
function split(options) {
  // Only the proxy has what concerns clients.
  const { tls, users, auth, settings, ...ofNodes } = options;
  const { host, itemSizeMax, threads, maxConnections, idleTimeout, recordCommands } = options;
  const ofProxy = { tls, users, auth, host, itemSizeMax, threads, maxConnections, idleTimeout, recordCommands };
  if (settings !== undefined) {
    checkOption('settings', settings, 'object');
    const { rights, rights_file, ...ofServers } = settings;
    const ofCaches = new Set(call(() => native.Server.checkSettings(toSettings(settings, configError))));
    // A proxy refuses values that are too large for its servers, and times requests.
    for (const name of ['item_size_max', 'sample_rate']) ofCaches.delete(name);
    ofNodes.settings = ofServers;
    ofProxy.settings = Object.fromEntries(Object.entries(settings).filter(([name]) => !ofCaches.has(name)));
  }
  return [ofNodes, defined(ofProxy)];
}

function checkRoute(proxy) {
  if (typeof proxy === 'boolean') return;
  checkOption('proxy', proxy, 'string');
  // Each line of a configuration has the sign.
  if (proxy.includes('=') || proxy.endsWith('.toml')) return;
  throw configError(`proxy must be a boolean, a text in TOML or the name of a file, got ${inspect(proxy)}`);
}

/** Returns a part of a configuration, which may be in a file. */
function readRoute(proxy) {
  if (!proxy.endsWith('.toml')) return proxy;
  try {
    return readFileSync(proxy, 'utf8');
  } catch (error) {
    throw configError(`proxy: cannot read ${proxy}: ${error.message}`);
  }
}

class Cluster {
  #servers;
  /** The configuration of the proxy, or whether there is one, and its options. */
  #route;
  #ofProxy;
  #proxy;
  /** The addresses of all nodes, running or not. */
  #nodes;
  #clock = new ClusterClock(() => this.#running().map((server) => server.clock));

  static async start(size, options) {
    const cluster = new this(size, options);
    await cluster.start();
    return cluster;
  }

  constructor(size = 3, options = {}) {
    checkInteger('size', size, 1, 1024);
    if (options.port) throw configError('port must be left out: each node of a cluster takes a free one');
    if (options.cache !== undefined || options.name !== undefined) {
      throw configError('cache and name must be left out: each node of a cluster has its own cache');
    }
    if (options.unixSocket && options.host === undefined) {
      throw configError('unixSocket needs a host in a cluster: nodes announce their TCP addresses');
    }
    const { proxy = false, ...settings } = options;
    checkRoute(proxy);
    this.#route = proxy;
    const [ofNodes, ofProxy] = proxy ? split(settings) : [settings];
    this.#ofProxy = ofProxy;
    if (proxy) new Server(ofProxy);
    this.#servers = Array.from({ length: size }, () => new Server(ofNodes));
  }

  async start() {
    const [other] = this.#running();
    try {
      await Promise.all(this.#servers.map((server) => server.start()));
      // They keep their addresses.
      this.#nodes = this.#servers.map((server) => server.address);
      if (this.#route) await this.#startProxy();
      const running = this.#running();
      for (const server of running) this.#clock.join(server.clock, (other ?? running[0]).clock);
      this.#announce();
    } catch (error) {
      await this.close();
      throw error;
    }
    return this;
  }

  async #startProxy() {
    this.#proxy ??= new Server({ ...this.#ofProxy, proxy: this.#config(this.#route) });
    await this.#proxy.start();
    for (const server of this.#servers) settleAfter(server, this.#proxy);
  }

  /** Returns the configuration of the proxy. */
  #config(proxy) {
    return native.Server.clusterProxy(typeof proxy === 'string' ? readRoute(proxy) : undefined, this.#nodes);
  }

  /** Returns the running servers, the proxy first. */
  #running() {
    return [this.#proxy, ...this.#servers].filter((server) => server?.running);
  }

  /** Has each running node announce all running nodes (auto discovery). */
  #announce() {
    const up = this.#servers.filter((server) => server.running);
    const nodes = up.map((server) => server.address);
    for (const server of up) server.setClusterNodes(nodes);
  }

  async kill(number) {
    await this.#node(number).close();
    this.#announce();
    if (this.#proxy?.running && !(await this.#proxy.settle(PATIENCE))) {
      throw new Error(`the proxy did not notice the end of server ${number} in ${PATIENCE} seconds`);
    }
  }

  async revive(number) {
    const server = this.#node(number);
    if (server.running) return;
    const [other] = this.#running();
    await server.start();
    if (this.#proxy?.running) settleAfter(server, this.#proxy);
    this.#clock.join(server.clock, other?.clock);
    this.#announce();
    if (this.#proxy?.running) this.#proxy.retryBackends();
  }

  async reloadProxy(proxy = this.#route) {
    const running = this.proxy;
    checkRoute(proxy);
    if (proxy === false) throw configError('proxy must not be false: to have no proxy, make another cluster');
    await running.reloadProxy(this.#config(proxy));
    this.#route = proxy;
  }

  #node(number) {
    checkInteger('number', number, 0, this.#servers.length - 1);
    return this.#servers[number];
  }

  async close() {
    try {
      await this.#proxy?.close();
    } finally {
      await Promise.all(this.#servers.map((server) => server.close()));
    }
  }

  [Symbol.asyncDispose]() {
    return this.close();
  }

  get servers() {
    return [...this.#servers];
  }

  get addresses() {
    if (this.#nodes === undefined) throw new ClosedError('the cluster was not started: call start() first');
    return [...this.#nodes];
  }

  get proxy() {
    if (this.#proxy === undefined) {
      throw new ClosedError('the cluster has no proxy: make it with { proxy: true }, and start it');
    }
    return this.#proxy;
  }

  get address() {
    return this.proxy.address;
  }

  get clock() {
    return this.#clock;
  }

  get length() {
    return this.#servers.length;
  }

  [Symbol.iterator]() {
    return this.#servers.values();
  }
}

function checkInteger(name, value, least, most) {
  if (!Number.isInteger(value) || value < least || value > most) {
    throw configError(`${name} must be an integer from ${least} to ${most}, got ${inspect(value)}`);
  }
}

function joined({ host, port }) {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

function checkOption(name, value, type) {
  if (typeof value !== type) throw configError(`${name} must be a ${type}, got ${inspect(value)}`);
}

function checkTls(tls) {
  checkNames(tls, TLS_OPTIONS, 'tls', configError);
  for (const [name, type] of Object.entries(TLS_TYPES)) {
    const value = tls[name] ?? undefined;
    if (value !== undefined || name === 'certificate' || name === 'key') checkOption(`tls.${name}`, value, type);
  }
}

/** Returns the nodes of auto discovery as a list. */
function toNodes(nodes) {
  if (typeof nodes === 'string' || typeof nodes?.[Symbol.iterator] !== 'function') {
    throw configError(`clusterNodes must be a list of strings, got ${inspect(nodes)}`);
  }
  const list = [...nodes];
  for (const node of list) checkOption('clusterNodes', node, 'string');
  return list;
}

/** Returns the IP address to listen at. */
function toAddress(host) {
  if (host === 'localhost') return '127.0.0.1';
  if (isIP(host) !== 0) return host;
  throw configError(`host must be an IP address, such as '127.0.0.1' or '::1', got ${inspect(host)}`);
}

/** Returns users as a list. They come as a Map of any realm, or as an object. */
function toUsers(given) {
  if (typeof given !== 'object' || given === null || (Symbol.iterator in given && !types.isMap(given))) {
    throw configError(`users must be a Map or an object of passwords by name, got ${inspect(given)}`);
  }
  const pairs = types.isMap(given) ? [...given] : Object.entries(given);
  return pairs.map(([name, password]) => {
    if (typeof name === 'string' && typeof password === 'string') return { name, password };
    throw configError('users must map names to passwords, which are strings');
  });
}

module.exports = { Cluster: branded(Cluster), ClusterClock: branded(ClusterClock), Server: branded(Server) };
