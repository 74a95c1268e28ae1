// A shop that keeps its carts in a memcached, until a visitor has been away for half an hour. When
// the memcached fails there are no carts, but the shop is open, and no visitor waits.
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
    // The answer waits until the cart is stored.
    session.save((error) => (error ? next(error) : response.status(201).json(session.cart)));
  });

  app.use((error, request, response, next) => {
    // A session that could not be stored is not tried again.
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
