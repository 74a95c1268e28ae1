// Sessions in a memcached.

import { callbackify } from 'node:util';
import session from 'express-session';
import memjs from 'memjs';

/** Seconds that an unused session lives. */
const KEPT = 30 * 60;
/** Milliseconds after which a memcached without an answer counts as failed. */
const PATIENCE = 1000;

export class MemcachedSessions extends session.Store {
  #client;

  constructor(address) {
    super();
    const client = memjs.Client.create(address, { retries: 1, failover: false, logger: { log() {} } });
    const key = (sid) => `session:${sid}`;
    this.#client = client;
    this.get = callbackify(async (sid) => {
      const { value } = await inTime(client.get(key(sid)));
      return value && JSON.parse(value);
    });
    this.set = callbackify((sid, data) => inTime(client.set(key(sid), JSON.stringify(data), { expires: KEPT })));
    this.touch = callbackify((sid) => inTime(client.touch(key(sid), KEPT)));
    this.destroy = callbackify((sid) => inTime(client.delete(key(sid))));
  }

  close() {
    this.#client.close();
  }
}

/** Limits the wait: the client itself waits without end if its connection ends before the reply. */
function inTime(asked) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(reject, PATIENCE, new Error('the memcached does not answer'));
  });
  return Promise.race([asked, late]).finally(() => clearTimeout(timer));
}
