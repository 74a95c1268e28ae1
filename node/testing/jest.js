// A test environment for Jest: a memcached for each test file, empty for each test.
'use strict';

const { peer } = require('../peer.js');
const { loadInto } = require('./realm.js');

/** A test environment that has a memcached, too. */
function withMemcache(Environment) {
  return class extends Environment {
    #fixture;

    constructor(config, context) {
      super(config, context);
      // What a test gets from `memcache` is of its own realm: errors are instances of its Error.
      const { Fixture } = loadInto(this.getVmContext(), require.resolve('./fixture.js'));
      this.#fixture = new Fixture(config.projectConfig.testEnvironmentOptions.memcache);
    }

    async setup() {
      await super.setup();
      const fixture = this.#fixture;
      await fixture.renew();
      this.global.memcache = fixture.server;
      this.global.memcacheCluster = (size, options) => fixture.cluster(size, options);
      // The environment of tests is a copy; that of processes which they start is not.
      this.global.process.env.MEMCACHED = fixture.place;
      process.env.MEMCACHED = fixture.place;
    }

    async handleTestEvent(event, state) {
      await super.handleTestEvent?.(event, state);
      if (event.name === 'test_start') await this.#fixture.renew();
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

// What Jest takes is the module itself.
const TestEnvironment = withMemcache(peer('jest-environment-node').TestEnvironment);
module.exports = TestEnvironment;
module.exports.TestEnvironment = TestEnvironment;
module.exports.withMemcache = withMemcache;
