// Carries out lines `get KEY` and `set KEY` through a client, for clients.py.
// Arguments: the client, and the nodes as host:port.
'use strict';
const readline = require('node:readline');
const connect = require('../../examples/cluster/connect.js');

const wait = (call) => new Promise((resolve, reject) => call((error, value) => (error ? reject(error) : resolve(value))));

const withCallbacks = (client) => ({
  get: (key) => wait((done) => client.get(key, done)),
  set: (key) => wait((done) => client.set(key, key, 0, done)),
});

const clients = {
  memcached: (nodes) => withCallbacks(connect.withMemcached(nodes)),
  async discovery([endpoint]) {
    const client = connect.withDiscovery(endpoint);
    await new Promise((resolve) => client.once('autoDiscover', resolve));
    return withCallbacks(client);
  },
  memjs(nodes) {
    const client = connect.withMemjs(nodes);
    return {
      get: async (key) => (await client.get(key)).value,
      set: (key) => client.set(key, key, {}),
    };
  },
};

async function main() {
  const [kind, ...nodes] = process.argv.slice(2);
  const client = await clients[kind](nodes);
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [command, key] = line.split(' ');
    try {
      if (command === 'set') {
        console.log((await client.set(key)) ? 'stored' : 'failed not stored');
      } else {
        const value = await client.get(key);
        console.log(value == null ? 'miss' : `value ${value}`);
      }
    } catch (error) {
      console.log('failed', String(error.message).split('\n')[0]);
    }
  }
  process.exit();
}

main();
