// The same as by require.
import adapter from './keyv.js';

export const { KeyvMemcache } = adapter;
