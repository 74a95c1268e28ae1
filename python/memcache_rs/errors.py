"""The exceptions of this package, all of them :class:`MemcacheError`.

Each is also the class of Python's own that fits, so that ``except ValueError`` works where one would expect it to. What
is no bytes or str where one of them is needed is a plain ``TypeError``.
"""

__all__ = [
    "ClosedError",
    "ConfigError",
    "ForkError",
    "InvalidKeyError",
    "InvalidTTLError",
    "MemcacheError",
    "NotANumberError",
    "OutOfMemoryError",
    "OutOfRangeError",
    "StartError",
    "ValueTooLargeError",
]


class MemcacheError(Exception):
    """What all exceptions of this package are."""


class InvalidKeyError(MemcacheError, ValueError):
    """A key is empty, or longer than 250 bytes."""


class InvalidTTLError(MemcacheError, ValueError):
    """A time to live is negative, longer than 100 years, or none at all."""


class ValueTooLargeError(MemcacheError, ValueError):
    """A value is larger than ``item_size_max`` allows."""


class NotANumberError(MemcacheError, ValueError):
    """What was to be counted is no decimal number."""


class OutOfMemoryError(MemcacheError, MemoryError):
    """The memory limit is reached, and ``evictions`` is off."""


class ConfigError(MemcacheError, ValueError):
    """Settings or arguments that cannot work."""


class OutOfRangeError(ConfigError, OverflowError):
    """A number that its argument or setting cannot take, such as a negative ``delta``; the text names the range."""


class StartError(MemcacheError, OSError):
    """A server or a cache could not start, for example because the port is taken; ``errno`` says why."""


class ClosedError(MemcacheError, RuntimeError):
    """A cache was used after it was closed, or a server while it does not run."""


class ForkError(MemcacheError, RuntimeError):
    """What belongs to the parent process was used in a child."""
