"""The exceptions of this package. All are subclasses of :class:`MemcacheError`.

An error of the system at the file of a snapshot is a plain :class:`OSError`, such as
:class:`FileNotFoundError`.

Each is also a subclass of the built-in exception that fits, so that ``except ValueError`` works as
expected. A key or value that is neither str nor bytes-like raises a plain :class:`TypeError`.

Example:
    >>> from memcache_rs import Cache, errors
    >>> try:
    ...     Cache().set("", "value")
    ... except errors.InvalidKeyError as error:
    ...     isinstance(error, ValueError)
    True
"""

__all__ = [
    "BadSnapshotError",
    "BusyError",
    "CancelledError",
    "ClosedError",
    "ConfigError",
    "ForkError",
    "InvalidKeyError",
    "InvalidTTLError",
    "MemcacheError",
    "NotANumberError",
    "OutOfMemoryError",
    "OutOfRangeError",
    "SerializerError",
    "StartError",
    "ValueTooLargeError",
]


class MemcacheError(Exception):
    """The base class of all exceptions of this package."""


class InvalidKeyError(MemcacheError, ValueError):
    """A key is empty or longer than 250 bytes."""


class InvalidTTLError(MemcacheError, ValueError):
    """A TTL is negative, more than 100 years, or not a time."""


class ValueTooLargeError(MemcacheError, ValueError):
    """An item does not fit in ``item_size_max``."""


class NotANumberError(MemcacheError, ValueError):
    """The value to increment or decrement is not a decimal number from 0 to 2**64 - 1."""


class OutOfMemoryError(MemcacheError, MemoryError):
    """The cache has reached ``memory_limit``, and ``evictions`` is off."""


class SerializerError(MemcacheError, ValueError):
    """The flags of an item are not those of the cache's serializer."""


class ConfigError(MemcacheError, ValueError):
    """A setting or an argument is invalid."""


class OutOfRangeError(ConfigError, OverflowError):
    """A number is out of the range of its parameter, such as a negative ``delta``."""


class StartError(MemcacheError, OSError):
    """A server or a cache failed to start. ``errno`` has the reason, such as a port in use."""


class ClosedError(MemcacheError, RuntimeError):
    """A closed cache or a stopped server was used."""


class ForkError(MemcacheError, RuntimeError):
    """A cache or a server of the parent process was used in a child of ``fork``."""


class BadSnapshotError(MemcacheError, ValueError):
    """A file is damaged and ``strict`` is set, or this version cannot read it as a snapshot."""


class BusyError(MemcacheError, RuntimeError):
    """Another save to the file is under way, or the cache was flushed during the save."""


class CancelledError(MemcacheError, RuntimeError):
    """``progress`` returned ``False``, which ended a save or a load."""
