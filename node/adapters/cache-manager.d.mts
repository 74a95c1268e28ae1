export * from './cache-manager.js';
