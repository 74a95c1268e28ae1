// Shared by the helpers for test runners: a server for all tests, and clusters for one test each.
'use strict';

const { Cluster, Server } = require('../server.js');

/** Commands that a failing test shows for each server. */
const SHOWN = 20;

class Fixture {
  #options;
  #clusters = [];
  /** The servers of the clusters, the proxy of each first. */
  #shown = [];

  constructor(options) {
    this.#options = { recordCommands: true, ...options };
    this.server = new Server(this.#options);
  }

  /** The address for clients: host:port, or the path of a Unix socket. */
  get address() {
    return this.server.unixSocket ?? this.server.address;
  }

  /**
   * Prepares the server for a test: running, empty, without faults, on the time of the machine. The
   * test before may have stopped it.
   */
  async reset() {
    const { server } = this;
    await server.start();
    server.faults.clear();
    server.clock.reset();
    server.cache.flush();
    server.clearCommands();
  }

  /** Starts a cluster that ends with the test. */
  async cluster(size, options) {
    const wanted = { ...this.#options, ...options };
    const cluster = await Cluster.start(size, wanted);
    this.#clusters.push(cluster);
    this.#shown.push(...(wanted.proxy ? [cluster.proxy] : []), ...cluster.servers);
    return cluster;
  }

  /** Cleans up after a test: stops its clusters, and removes faults that could delay that. */
  async endTest() {
    if (this.server.running) this.server.faults.clear();
    this.#shown = [];
    await Promise.all(this.#clusters.splice(0).map((cluster) => cluster.close()));
  }

  async close() {
    await this.endTest();
    await this.server.close();
  }

  /** Prints the last commands that the servers received, if there are any. */
  show(print) {
    for (const server of [this.server, ...this.#shown]) {
      const commands = server.running ? server.lastCommands : [];
      if (commands.length === 0) continue;
      const more = commands.length > SHOWN ? ['...'] : [];
      print([`memcached at ${server.url}: last commands`, ...more, ...commands.slice(-SHOWN)].join('\n  '));
    }
  }
}

let first;

/** Returns the fixture of this thread. The first call's options apply. */
function ofThread(options) {
  first ??= new Fixture(options);
  return first;
}

module.exports = { Fixture, ofThread };
