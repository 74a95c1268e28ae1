// A test environment for Jest, with a memcached for each test file. jest.d.ts documents it.
'use strict';

const { requirePeer } = require('../resolve-peer.js');
const { loadInto } = require('./realm.js');

function withMemcache(Environment) {
  return class extends Environment {
    #fixture;

    constructor(config, context) {
      super(config, context);
      // Loaded in the realm of the test, so that errors of `memcache` are instances of its Error.
      const { Fixture } = loadInto(this.getVmContext(), require.resolve('./fixture.js'));
      this.#fixture = new Fixture(config.projectConfig.testEnvironmentOptions.memcache);
    }

    async setup() {
      await super.setup();
      const fixture = this.#fixture;
      await fixture.reset();
      this.global.memcache = fixture.server;
      this.global.memcacheCluster = (size, options) => fixture.cluster(size, options);
      // Tests have a copy of the environment. Processes that they start inherit the original.
      this.global.process.env.MEMCACHED = fixture.address;
      process.env.MEMCACHED = fixture.address;
    }

    async handleTestEvent(event, state) {
      await super.handleTestEvent?.(event, state);
      if (event.name === 'test_start') await this.#fixture.reset();
      if (event.name !== 'test_done') return;
      if (event.test.errors.length > 0) this.#fixture.show(this.global.console.log);
      await this.#fixture.endTest();
    }

    async teardown() {
      await this.#fixture.close();
      await super.teardown();
    }
  };
}

// Jest takes the module itself as the class.
const TestEnvironment = withMemcache(requirePeer('jest-environment-node').TestEnvironment);
module.exports = TestEnvironment;
module.exports.TestEnvironment = TestEnvironment;
module.exports.withMemcache = withMemcache;
