// A shop whose carts are kept in a memcached until nobody has come for half an hour. When the memcached is out of order
// there are no carts, but the shop is open, and nobody waits.
//
//     MEMCACHED=127.0.0.1:11211 node app.js

import { pathToFileURL } from 'node:url';
import express from 'express';
import session from 'express-session';
import { MemcachedSessions } from './sessions.js';

const FRUIT = ['apples', 'pears', 'quinces'];

export function createApp(sessions) {
  const app = express();

  app.get('/', (_request, response) => {
    response.json(FRUIT);
  });

  app.use(
    session({
      store: sessions,
      secret: process.env.SECRET ?? 'for development',
      resave: false,
      saveUninitialized: false,
    }),
  );

  app.get('/cart', (request, response) => {
    response.json(request.session.cart ?? []);
  });

  app.post('/cart/:fruit', (request, response, next) => {
    const { session, params } = request;
    if (!FRUIT.includes(params.fruit)) return response.sendStatus(404);
    session.cart = [...(session.cart ?? []), params.fruit];
    // Nothing is promised before it is kept.
    session.save((error) => (error ? next(error) : response.status(201).json(session.cart)));
  });

  app.use((error, request, response, next) => {
    // What could not be kept is not tried again.
    request.session = undefined;
    if (response.headersSent) return next(error);
    response.status(503).set('Retry-After', '10').json({ error: 'there are no carts at the moment' });
  });
  return app;
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const sessions = new MemcachedSessions(process.env.MEMCACHED ?? '127.0.0.1:11211');
  createApp(sessions).listen(3000, () => console.log('http://127.0.0.1:3000/'));
}
