"""A server in this process, and several of them."""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from memcache_rs import _native
from memcache_rs._cache import Cache
from memcache_rs.errors import ClosedError, ConfigError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from os import PathLike

    from typing_extensions import Self

    from memcache_rs._typing import Kind


class TLS(NamedTuple):
    """The files that a server with TLS needs: PEM."""

    #: The server's certificate and those above it.
    certificate: str | PathLike[str]
    #: Its private key.
    key: str | PathLike[str]
    #: Who signs the certificates of clients, and, for :meth:`Server.ssl_context`, that of the server.
    ca: str | PathLike[str] | None = None
    #: Whether clients need a certificate.
    verify_clients: bool = False
    #: For clients that need one.
    client_certificate: str | PathLike[str] | None = None
    #: The key of that certificate.
    client_key: str | PathLike[str] | None = None


class Event(NamedTuple):
    """Something that happened in a server."""

    #: ``item_get``, ``item_store``, ``deleted``, ``eviction``, ``conn_new``, …, by memcached's names.
    type: str
    #: Unix time.
    time: float
    #: The key, where there is one.
    key: bytes | None
    #: Everything that memcached's log line says.
    fields: Mapping[str, str]

    @classmethod
    def parse(cls, line: str) -> Event:
        """From a line of memcached's log of events."""
        from urllib.parse import unquote_to_bytes

        fields: dict[str, str] = {}
        for part in line.split():
            name, _, value = part.partition("=")
            fields[name] = value
        if "skipped" in fields:
            return cls("skipped", 0.0, None, fields)
        key = fields.get("key")
        octets = None if key is None else unquote_to_bytes(key)
        return cls(fields.get("type", ""), float(fields.get("ts", "0")), octets, fields)


class Watch:
    """The events of a server, as they happen: an iterator that waits for the next one.

    It ends when ``timeout`` seconds pass without an event, and when it is closed, which a ``with`` block does.
    """

    def __init__(self, native: _native.Watcher, timeout: float | None) -> None:
        self._native = native
        self._timeout = timeout

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        event = self.get(self._timeout)
        if event is None:
            raise StopIteration
        return event

    def get(self, timeout: float | None = None) -> Event | None:
        """The next event; None if there is none within ``timeout`` seconds."""
        line = self._native.next_line(timeout)
        return None if line is None else Event.parse(line)

    def close(self) -> None:
        """Ends it. Events that were received can still be read."""
        self._native.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


#: Servers that run, to be stopped when the interpreter ends, and where they listen.
_running: weakref.WeakKeyDictionary[Server, set[str | tuple[str, int]]] = weakref.WeakKeyDictionary()


#: Held while servers start, so that a child knows of all sockets that it inherits.
_starting = threading.Lock()


@atexit.register
def _stop_all() -> None:
    for server in list(_running):
        server.stop()


def _in_child() -> None:
    """Closes the sockets of the parent's servers.

    In the child nobody would ever answer, but the address would stay taken, and clients connected, when the parent
    has ended.
    """
    _starting.release()
    addresses = set[object]().union(*_running.values())
    _running.clear()
    if not addresses:
        return
    import socket

    for name in os.listdir("/dev/fd"):
        try:
            one = socket.socket(fileno=int(name))
        except OSError:
            # No socket.
            continue
        # By IPv6 there is more than host and port.
        address = one.getsockname()
        if (address if isinstance(address, str) else tuple(address[:2])) in addresses:
            one.close()
        else:
            one.detach()


os.register_at_fork(before=_starting.acquire, after_in_parent=_starting.release, after_in_child=_in_child)


class Server:
    """A memcached in this process, for any client, on a port that is free unless ``port`` says which.

    >>> import socket
    >>> with Server() as server:
    ...     with socket.create_connection(server.address) as client:
    ...         _ = client.sendall(b"set greeting 0 60 5\\r\\nhello\\r\\nquit\\r\\n")
    ...         print(client.makefile().read().strip())
    ...     server.cache.get("greeting")
    STORED
    b'hello'

    ``server.cache`` is the same store without the socket, ``server.clock`` its time, which a test stops and moves,
    ``server.faults`` what goes wrong for clients.

    >>> with Server() as server, server.clock.freeze():
    ...     server.cache.set("key", "value", ttl=3600)
    ...     server.clock.advance(3600)
    ...     print(server.cache.get("key"))
    None

    ``unix_socket`` is a path to listen at in place of TCP, or True for one in a directory of its own; give both
    ``host`` and ``unix_socket`` for both. ``tls`` is a :class:`TLS`, or ``"test"``: certificates are made on the spot,
    ``"test-mutual"`` has clients show one. ``users`` are names with passwords, for SASL in the binary protocol
    (``auth="sasl"``) or for the text protocols (``auth="text"``). ``cache`` serves a cache that is there.

    A stopped server can be started again: at the same address, and empty, as a memcached that was restarted, unless
    its cache was given. After a fork, a child raises :class:`ForkError` where it uses its parent's server; stopping
    it there does nothing.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        host: str | None = None,
        unix_socket: bool | str | PathLike[str] = False,
        unix_mask: int = 0o700,
        udp: bool = False,
        tls: Literal["test", "test-mutual"] | TLS | None = None,
        users: Mapping[str, str] | None = None,
        auth: Literal["text", "sasl"] = "sasl",
        cache: Cache | None = None,
        memory_limit: int = 64 << 20,
        item_size_max: int | None = None,
        evictions: bool = True,
        threads: int = 1,
        max_connections: int = 1024,
        idle_timeout: int = 0,
        shutdown_enabled: bool = False,
        cluster_nodes: Sequence[str] = (),
        record_commands: bool = False,
    ) -> None:
        if not 0 <= port <= 65535:
            raise ConfigError(f"a port is 0 (any that is free) to 65535, not {port}")
        if auth not in ("text", "sasl"):
            raise ConfigError(f'auth is "text" or "sasl", not {auth!r}')
        if isinstance(tls, str) and tls not in ("test", "test-mutual"):
            raise ConfigError(f'tls is "test", "test-mutual" or a TLS with files, not {tls!r}')
        self._port = port
        self._host = None if unix_socket and host is None else _address(host or "127.0.0.1")
        self._unix = unix_socket
        self._tls_wanted = tls
        self._own_cache = cache is None
        self._cache = cache
        self._cache_settings: dict[str, Any] = {
            "memory_limit": memory_limit,
            "item_size_max": item_size_max,
            "evictions": evictions,
        }
        self._settings: dict[str, Any] = {
            "udp": udp,
            "unix_mask": unix_mask,
            "users": None if users is None else (list(users.items()), auth == "sasl"),
            "threads": threads,
            "max_connections": max_connections,
            "idle_timeout": idle_timeout,
            "shutdown_enabled": shutdown_enabled,
            "cluster_nodes": list(cluster_nodes),
            "record_commands": record_commands,
        }
        self._native: _native.Server | None = None
        self._directory: str | None = None
        self._tls: TLS | None = None

    # Start and stop.

    def start(self) -> Self:
        """Starts it; returns when it accepts connections. Nothing happens if it runs."""
        if self._native is not None:
            if self._native.running:
                return self
            self._forget()
        if self._cache is None:
            self._cache = Cache(**self._cache_settings)
        try:
            settings = self._settings | {
                "host": self._host,
                "port": self._port,
                "unix_socket": self._socket_path(),
                "tls": self._tls_files(),
            }
            with _starting:
                self._native = _native.Server.start(self._cache, settings)
                addresses = self._native.addresses
                _running[self] = {host if kind == "unix" else (host, port) for kind, host, port in addresses}
        except BaseException:
            self._remove_directory()
            raise
        for kind, _, port in addresses:
            if kind == "tcp":
                # Where it will be again.
                self._port = port
        return self

    def stop(self, *, graceful: bool = False, timeout: float = 5.0) -> None:
        """Stops it, and leaves no thread, connection or socket file.

        ``graceful`` finishes the replies that are under way first, for at most ``timeout`` seconds. A server that
        does not run, or belongs to the parent process, is left as it is.
        """
        native = self._native
        if native is None or not native.owned:
            return
        native.stop(graceful, timeout)
        self._forget()
        if self._own_cache and self._cache is not None:
            self._cache.flush()

    def _forget(self) -> None:
        self._native = None
        _running.pop(self, None)
        self._remove_directory()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __del__(self) -> None:
        # A server that was not stopped: its directory must not stay.
        # (One whose settings were refused has nothing to stop.)
        if getattr(self, "_native", None) is not None:
            self.stop()

    def _live(self) -> _native.Server:
        if self._native is None:
            raise ClosedError("this server does not run; call start(), or use it in a with statement")
        return self._native

    @property
    def running(self) -> bool:
        """Whether it runs, in this process."""
        return self._native is not None and self._native.running

    # Where it is.

    def _addresses(self, kind: str) -> list[tuple[str, int]]:
        return [(host, port) for one, host, port in self._live().addresses if one == kind]

    @property
    def tcp_addresses(self) -> list[tuple[str, int]]:
        """Host and port wherever it listens by TCP; none if it has a Unix socket alone."""
        return self._addresses("tcp")

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        addresses = self.tcp_addresses
        if not addresses:
            raise ClosedError("this server listens at a Unix socket alone; see unix_socket, or give it a host")
        return addresses[0]

    @property
    def host(self) -> str:
        """Its address."""
        return self.address[0]

    @property
    def port(self) -> int:
        """Its port."""
        return self.address[1]

    @property
    def udp_address(self) -> tuple[str, int] | None:
        """Host and port for UDP, if it is spoken."""
        addresses = self._addresses("udp")
        return addresses[0] if addresses else None

    @property
    def unix_socket(self) -> str | None:
        """The path of its Unix socket, if it has one."""
        addresses = self._addresses("unix")
        return addresses[0][0] if addresses else None

    @property
    def url(self) -> str:
        """``memcache://127.0.0.1:PORT``, ``memcaches://`` with TLS, or ``memcache:///path`` of a Unix socket."""
        path = self.unix_socket
        if path is not None and not self.tcp_addresses:
            from urllib.parse import quote

            return f"memcache://{quote(os.path.abspath(path))}"
        host, port = self.address
        scheme = "memcaches" if self._tls is not None else "memcache"
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

    def _socket_path(self) -> str | None:
        if self._unix is False:
            return None
        if self._unix is True:
            return os.path.join(self._make_directory(), "memcached.sock")
        return os.fspath(self._unix)

    # TLS.

    def _tls_files(self) -> tuple[str, str, str | None, bool] | None:
        wanted = self._tls_wanted
        if wanted is None:
            return None
        if isinstance(wanted, str):
            place = self._make_directory()
            paths: dict[str, str] = {}
            for name, text in _native.make_certificates():
                paths[name] = os.path.join(place, name)
                with open(paths[name], "x", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
                    file.write(text)
            wanted = TLS(
                paths["server.pem"],
                paths["server-key.pem"],
                paths["ca.pem"],
                verify_clients=wanted == "test-mutual",
                client_certificate=paths["client.pem"],
                client_key=paths["client-key.pem"],
            )
        self._tls = wanted
        ca = None if wanted.ca is None else os.fspath(wanted.ca)
        return os.fspath(wanted.certificate), os.fspath(wanted.key), ca, wanted.verify_clients

    @property
    def tls(self) -> TLS | None:
        """The files of TLS, if it is spoken; those of ``tls="test"`` live as long as the server runs."""
        self._live()
        return self._tls

    def ssl_context(self) -> ssl.SSLContext:
        """What a client needs: it trusts this server, and shows a certificate if there is one."""
        import ssl

        tls = self.tls
        if tls is None:
            raise ConfigError('this server has no TLS; start it with tls="test"')
        context = ssl.create_default_context(cafile=None if tls.ca is None else os.fspath(tls.ca))
        if tls.client_certificate is not None:
            context.load_cert_chain(tls.client_certificate, tls.client_key)
        return context

    def _make_directory(self) -> str:
        if self._directory is None:
            import tempfile

            self._directory = tempfile.mkdtemp(prefix="memcache-rs-")
        return self._directory

    def _remove_directory(self) -> None:
        directory, self._directory = self._directory, None
        if directory is not None:
            import shutil

            shutil.rmtree(directory, ignore_errors=True)

    # What is inside.

    @property
    def cache(self) -> Cache:
        """The items, without the socket."""
        self._live()
        assert self._cache is not None
        return self._cache

    @property
    def clock(self) -> _native.Clock:
        """Its time: ``freeze()``, ``advance(seconds)``, ``resume()``."""
        return self.cache.clock

    @property
    def faults(self) -> _native.Faults:
        """What goes wrong for clients: ``delay``, ``drop``, ``error``, ``miss``, ``truncate``.

        ``command`` is a name on the wire (``get``, ``mg``), ``key`` a pattern in which ``*`` stands for anything,
        ``times`` and ``probability`` say how often.

        >>> with Server() as server:
        ...     with server.faults.error("out of order", command="get", times=1) as fault:
        ...         pass
        ...     fault.remove()
        0
        """
        return self._live().faults

    def stats(self, group: str = "") -> dict[str, int | str]:
        """Statistics, by memcached's names: whole numbers as int."""
        return self._live().stats(group)

    def watch(self, *kinds: Kind, timeout: float | None = None) -> Watch:
        """Events from now on: of all kinds, or of those named.

        >>> with Server() as server, server.watch("mutations", timeout=5) as events:
        ...     server.cache.set("key", "value")
        ...     event = next(events)
        ...     event.type, event.key
        ('item_store', b'key')
        """
        wanted: Iterable[str] = kinds or ("fetchers", "mutations", "deletions", "evictions", "connevents")
        return Watch(self._live().watch(list(wanted)), timeout)

    @property
    def last_commands(self) -> list[str]:
        """The last 200 commands of the text protocols, with ``record_commands``."""
        return self._live().last_commands

    def clear_commands(self) -> None:
        """Forgets the commands received so far."""
        self._live().clear_commands()

    def set_cluster_nodes(self, nodes: Iterable[str]) -> None:
        """Replaces the nodes (``host|ip|port`` or ``host:port``) that auto discovery tells of."""
        self._live().set_cluster_nodes(list(nodes))

    def __reduce__(self) -> Any:
        raise TypeError("a server can be neither pickled nor copied; give other processes its address")

    def __repr__(self) -> str:
        if self._native is None:
            return "<Server, not running>"
        return f"<Server at {self.url}>" if self._native.owned else "<Server of the parent process>"


class Cluster:
    """Several servers, for clients that spread their keys; each tells of all of them (auto discovery).

    >>> with Cluster(3) as cluster:
    ...     len(cluster.addresses)
    3
    """

    def __init__(self, size: int = 3, **settings: Any) -> None:
        if size < 1:
            raise ConfigError(f"a cluster has at least one node, not {size}")
        if settings.get("port"):
            raise ConfigError("the nodes of a cluster take ports that are free")
        if settings.get("cache") is not None:
            raise ConfigError("each node of a cluster has a cache of its own")
        self.servers = [Server(**settings) for _ in range(size)]

    def start(self) -> Self:
        """Starts all nodes, or none."""
        try:
            for server in self.servers:
                server.start()
            self._tell()
        except BaseException:
            self.stop()
            raise
        return self

    def _tell(self) -> None:
        """Auto discovery: each node that runs tells of all that run."""
        running = [server for server in self.servers if server.running]
        nodes = [f"{_bracketed(host)}:{port}" for server in running for host, port in server.tcp_addresses]
        for server in running:
            server.set_cluster_nodes(nodes)

    def stop_node(self, number: int) -> None:
        """Stops one node, as if it had died; the others tell of it no more."""
        self.servers[number].stop()
        self._tell()

    def start_node(self, number: int) -> None:
        """Starts a node again, at its address, empty."""
        self.servers[number].start()
        self._tell()

    def stop(self) -> None:
        """Stops all nodes."""
        for server in self.servers:
            server.stop()

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of each node."""
        return [server.address for server in self.servers]

    def __len__(self) -> int:
        return len(self.servers)

    def __getitem__(self, number: int) -> Server:
        return self.servers[number]

    def __iter__(self) -> Iterator[Server]:
        return iter(self.servers)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _address(host: str) -> str:
    """A host as an address, which is what can be listened at."""
    import ipaddress

    if host == "localhost":
        return "127.0.0.1"
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        raise ConfigError(f'host is an IP address to listen at, such as "127.0.0.1" or "::1", not {host!r}') from None
