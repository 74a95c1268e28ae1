// A registry for prom-client. prom-client.d.ts documents it.
'use strict';

const { requirePeer } = require('../resolve-peer.js');
const { Registry } = requirePeer('prom-client');

/** A family as prom-client reads its own metrics. */
class Family {
  aggregator = 'sum';

  constructor(family, isOpen) {
    Object.assign(this, family);
    // OpenMetrics has no counters without this end, and prom-client would add it.
    if (isOpen && this.type === 'counter' && !this.name.endsWith('_total')) this.type = 'unknown';
  }

  async get() {
    return this;
  }

  reset() {}
}

class MemcacheRegistry extends Registry {
  #source;

  constructor(source, contentType) {
    super(contentType);
    this.#source = source;
  }

  // All other methods of a registry, and `Registry.merge`, read its metrics by these two.

  getMetricsAsArray() {
    const isOpen = this.contentType === Registry.OPENMETRICS_CONTENT_TYPE;
    return this.#source.metricFamilies().map((family) => new Family(family, isOpen));
  }

  getSingleMetric(name) {
    return this.getMetricsAsArray().find((family) => family.name === name);
  }

  async getSingleMetricAsString(name) {
    return this.getMetricsAsString(this.getSingleMetric(name));
  }
}

module.exports = { MemcacheRegistry };
