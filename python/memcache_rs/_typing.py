"""The types of arguments, for annotations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias, TypedDict

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime, timedelta
    from os import PathLike
    from typing import Any, Literal

    from typing_extensions import Buffer

    from memcache_rs._native import Progress

#: A key or a value. A str stands for its UTF-8 bytes.
BytesLike: TypeAlias = "str | Buffer"
#: How long an item lives.
TTL: TypeAlias = "float | timedelta | datetime | None"
#: A value in the form in which it is stored: its bytes and its client flags.
Stored: TypeAlias = "tuple[bytes, int]"
#: The outcome of a leader: a value, the exception of making it, or ``None``.
Outcome: TypeAlias = "Stored | Exception | None"
#: Converts values to bytes and back.
Serializer: TypeAlias = "Literal['pickle', 'json'] | tuple[Callable[[Any], BytesLike], Callable[[bytes], Any]]"
#: The value of a setting. The core's table says which a setting takes.
Setting: TypeAlias = "bool | float | str | list[int] | None"
#: A kind of events.
Kind: TypeAlias = """Literal[
    'fetchers', 'mutations', 'deletions', 'evictions', 'connevents', 'proxyreqs', 'proxyevents', 'proxyuser'
]"""
#: How a snapshot is stored.
Codec: TypeAlias = "Literal['lz4', 'none']"
#: How the TTLs of a snapshot go on.
SnapshotTTL: TypeAlias = "Literal['wall', 'paused']"
#: Receives the progress of a save or a load. ``False`` ends it.
OnProgress: TypeAlias = "Callable[[Progress], object]"


class Writable(Protocol):
    """A binary file to write to, or an object like it."""

    def write(self, data: bytes, /) -> int | None:
        """Writes bytes, and returns their number."""


class Readable(Protocol):
    """A binary file to read from, or an object like it."""

    def read(self, length: int, /) -> Buffer | None:
        """Returns at most ``length`` bytes, and none at the end."""


#: The path of a file.
Path: TypeAlias = "str | PathLike[str]"


class ServerSettings(TypedDict):
    """The settings of a native server, which reads them in ``bindings/python/src/server.rs``."""

    #: The IP address for TCP and UDP.
    host: str | None
    port: int
    udp: bool
    #: The path of the Unix socket.
    unix_socket: str | None
    unix_mask: int
    #: The files of the certificate, its key and the certificate authority.
    tls: tuple[str, str, str | None] | None
    #: The same as PEM texts, in place of files.
    tls_texts: tuple[str, str, str] | None
    verify_clients: bool
    #: Pairs of a user and a password, and whether clients log in by SASL.
    users: tuple[list[tuple[str, str]], bool] | None
    #: The settings of the core's table, by name.
    values: dict[str, Setting]
    cluster_nodes: list[str]
    record_commands: bool
    #: Whether handles of the cache wait for the server.
    settles: bool
