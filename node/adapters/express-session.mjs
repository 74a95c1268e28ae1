// The same as by require.
import adapter from './express-session.js';

export const { MemcacheStore } = adapter;
