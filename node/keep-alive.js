// Keeps the process alive. A timer would do that too, but test runners replace timers.
'use strict';

const { MessageChannel } = require('node:worker_threads');

/** Keeps the process alive until the returned function is called. */
function keepAlive() {
  const { port1 } = new MessageChannel();
  port1.ref();
  return () => port1.close();
}

module.exports = { keepAlive };
