"""Shared parts of the Python smoke tests: a named check, and a wait for an expiry."""

import os
import sys
import time

LARGE = b"0123456789abcdef" * 32768  # 512 KiB


# Names of checks that this server does not pass, for a reason that run.py has.
LEFT_OUT = set(filter(None, os.environ.get("LEFT_OUT", "").split(";")))


class Checks:
    """Counts checks. The first that fails ends the test with its name."""

    def __init__(self):
        self.count = 0

    def equal(self, what, got, wanted):
        if what in LEFT_OUT:
            return
        self.count += 1
        if got != wanted:
            shown = [repr(value)[:200] for value in (got, wanted)]
            sys.exit(f"{what}: got {shown[0]}, wanted {shown[1]}")

    def true(self, what, value):
        self.equal(what, bool(value), True)

    def done(self):
        print(f"{self.count} checks")


def address():
    """Returns the server's host and port, from the command line."""
    return sys.argv[1], int(sys.argv[2])


def how():
    """Returns the way to talk to the server: text, binary, sasl (binary, with a name) or tls."""
    return sys.argv[3]


def credentials():
    """Returns the name and the password for the server of `sasl`."""
    return sys.argv[4], sys.argv[5]


def certificate():
    """Returns the file with the certificate of the server of `tls`."""
    return sys.argv[4]


def until_gone(fetch):
    """Returns whether fetch() gives None within a few seconds: the item has expired."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if fetch() is None:
            return True
        time.sleep(0.1)
    return False


async def until_gone_async(fetch):
    """Like expires(), with a coroutine."""
    import asyncio

    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if await fetch() is None:
            return True
        await asyncio.sleep(0.1)
    return False
