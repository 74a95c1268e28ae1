// The same objects as through require, so that a process has each class once.
import memcache from './index.js';

export const {
  MEMCACHED_VERSION,
  VERSION,
  BadSnapshotError,
  BusyError,
  Cache,
  CancelledError,
  Clock,
  ClosedError,
  Cluster,
  ClusterClock,
  ConfigError,
  FaultRule,
  Faults,
  FileError,
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
