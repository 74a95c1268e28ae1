"""The daemon ``memcached-rs``: ``python -m memcache_rs -p 11211 -m 64``; ``-h`` lists its flags."""

from __future__ import annotations

import signal
import sys

from memcache_rs import _native


def main() -> int:
    """Runs the daemon with the arguments of this process; gives its exit status."""
    # It catches signals itself; Python's KeyboardInterrupt would only come after the end.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _native.run_daemon(["memcached-rs", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
