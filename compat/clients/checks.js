// Shared parts of the smoke tests of Node's clients: a named check, and a wait for an expiry.
'use strict';
const { isDeepStrictEqual, inspect } = require('node:util');

/** Names of checks that this server does not pass, for a reason that run.py has. */
const LEFT_OUT = (process.env.LEFT_OUT ?? '').split(';');

class Checks {
  count = 0;

  equal(what, got, wanted) {
    if (LEFT_OUT.includes(what)) return;
    this.count += 1;
    if (!isDeepStrictEqual(got, wanted)) {
      const shown = [got, wanted].map((value) => inspect(value).slice(0, 200));
      console.error(`${what}: got ${shown[0]}, wanted ${shown[1]}`);
      process.exit(1);
    }
  }

  async rejects(what, promise) {
    const answer = await promise.then(() => 'accepted', () => 'refused');
    this.equal(what, answer, 'refused');
  }

  done() {
    console.log(`${this.count} checks`);
    process.exit(0);
  }
}

// Returns whether fetch() gives null within a few seconds.
async function untilGone(fetch) {
  for (let tries = 0; tries < 50; tries += 1) {
    if ((await fetch()) === null) return true;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return false;
}

module.exports = { Checks, untilGone };
