// The same objects as through require.
import adapter from './prom-client.js';

export const { MemcacheRegistry } = adapter;
