// The same objects as by require, so that there is one of each in a process.
import memcache from './index.js';

export const {
  MEMCACHED_VERSION,
  VERSION,
  Cache,
  Clock,
  ClosedError,
  Cluster,
  ConfigError,
  FaultRule,
  Faults,
  InvalidKeyError,
  InvalidTTLError,
  MemcacheError,
  NotANumberError,
  OutOfMemoryError,
  Server,
  StartError,
  ValueTooLargeError,
  Watch,
} = memcache;
