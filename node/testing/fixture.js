// What the helpers of all test runners share: a server for one test after the other, and clusters for one test each.
'use strict';

const { Cluster, Server } = require('../server.js');

/** Commands that are shown of each server. */
const SHOWN = 20;

class Fixture {
  #options;
  #clusters = [];

  constructor(options) {
    this.#options = { recordCommands: true, ...options };
    this.server = new Server(this.#options);
  }

  /** host:port, or the path of a Unix socket: what clients are told. */
  get place() {
    return this.server.unixSocket ?? this.server.address;
  }

  /**
   * Before a test: the server is empty, without faults, and its time is that of this machine, whatever `Date` says. A test may
   * have stopped it.
   */
  async renew() {
    const { server } = this;
    await server.start();
    server.faults.clear();
    server.clock.reset();
    server.cache.flush();
    server.clearCommands();
  }

  /** Starts several servers, until the test ends. */
  async cluster(size, options) {
    const cluster = await Cluster.start(size, { ...this.#options, ...options });
    this.#clusters.push(cluster);
    return cluster;
  }

  /** After a test: its clusters are gone, and no fault keeps anybody waiting. */
  async endTest() {
    if (this.server.running) this.server.faults.clear();
    await Promise.all(this.#clusters.splice(0).map((cluster) => cluster.close()));
  }

  async close() {
    await this.endTest();
    await this.server.close();
  }

  /** Tells by `print` what the servers saw last, if they saw anything. */
  show(print) {
    for (const server of [this.server, ...this.#clusters.flatMap((cluster) => cluster.servers)]) {
      const commands = server.running ? server.lastCommands : [];
      if (commands.length === 0) continue;
      const more = commands.length > SHOWN ? ['...'] : [];
      print([`memcached at ${server.url}: last commands`, ...more, ...commands.slice(-SHOWN)].join('\n  '));
    }
  }
}

let first;

/** The fixture of this thread; the options are those of the first call. */
function ofThread(options) {
  first ??= new Fixture(options);
  return first;
}

module.exports = { Fixture, ofThread };
