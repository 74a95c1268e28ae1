// Keeps the process alive. A timer would do, too, but test runners replace timers.
'use strict';

const { MessageChannel } = require('node:worker_threads');

/** Keeps the process alive until the function that it gives is called. */
function hold() {
  const { port1 } = new MessageChannel();
  port1.ref();
  return () => port1.close();
}

module.exports = { hold };
