// The same as by require.
export { default } from './global-teardown.js';
