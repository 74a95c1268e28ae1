"""The daemon ``memcached-rs``, as ``python -m memcache_rs -p 11211 -m 64``.

``-h`` lists the flags, which are memcached's.
"""

from __future__ import annotations

import signal
import sys

from memcache_rs import _native


def main() -> int:
    """Runs the daemon with the arguments of this process.

    Returns:
        The exit status.
    """
    # The daemon handles signals itself. Python would raise KeyboardInterrupt only after its end.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _native.run_daemon(["memcached-rs", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
