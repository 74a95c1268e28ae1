// The same objects as through require.
import adapter from './express-session.js';

export const { MemcacheStore } = adapter;
