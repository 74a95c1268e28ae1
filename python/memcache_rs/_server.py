"""A server in this process, and several of them."""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from memcache_rs import _native
from memcache_rs._cache import Cache
from memcache_rs._directory import Directory, load_identity
from memcache_rs.errors import ClosedError, ConfigError, OutOfRangeError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from os import PathLike

    from typing_extensions import Self

    from memcache_rs._typing import Kind


#: Commands that are remembered.
_COMMANDS = 200


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

    It ends when ``timeout`` seconds pass without an event, when the server stops, and when it is closed, which a
    ``with`` block does. Events that came before the end are given first.
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
        """Returns the next event.

        Args:
            timeout: Seconds to wait for it; None waits until the server stops.

        Returns:
            The event, or None if there is none within ``timeout`` seconds, or none before the end.

        Raises:
            ForkError: The server belongs to the parent process.

        Example:
            >>> with Server() as server, server.watch("mutations") as events:
            ...     print(events.get(timeout=0))
            None
        """
        line = self._native.next_line(timeout)
        return None if line is None else Event.parse(line)

    def close(self) -> None:
        """Ends it. Events that were received can still be read."""
        self._native.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Place:
    """Where a server is. It stays readable in a child of a fork."""

    def __init__(self, addresses: list[tuple[str, str, int]]) -> None:
        self.tcp = [(host, port) for kind, host, port in addresses if kind == "tcp"]
        self.udp = next(((host, port) for kind, host, port in addresses if kind == "udp"), None)
        self.unix = next((path for kind, path, _ in addresses if kind == "unix"), None)
        #: As sockets name their own addresses.
        self.sockets: set[str | tuple[str, int]] = {
            path if kind == "unix" else (path, n) for kind, path, n in addresses
        }


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
    ``"test-mutual"`` has clients show one. Those stay in memory unless :attr:`tls` is read.

    ``users`` are names with passwords, for SASL in the binary protocol
    (``auth="sasl"``) or for the text protocols (``auth="text"``). ``cache`` serves a cache that is there.

    A stopped server can be started again: at the same address, and empty, as a memcached that was restarted, unless
    its cache was given. In a child of a fork, the addresses of its parent's server can be read, anything else raises
    :class:`ForkError`, and stopping it does nothing.

    A signal that ends the process, such as SIGTERM, stops no server: a Unix socket stays behind then. The next server
    at the same path replaces it, and the next one with ``unix_socket=True`` removes those of processes that are gone.
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
        _check("port", port, 0, 65535)
        _check("threads", threads, 1, 1024)
        _check("max_connections", max_connections, 1, 2**31 - 1)
        _check("idle_timeout", idle_timeout, 0, 2**31 - 1)
        _check("unix_mask", unix_mask, 0, 0o777)
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
            "settles": self._own_cache,
        }
        self._native: _native.Server | None = None
        self._place: _Place | None = None
        self._directory: Directory | None = None
        self._tls: TLS | dict[str, str] | None = None
        self._commands: list[str] = []

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
            settings = self._settings | {"host": self._host, "port": self._port, "unix_socket": self._socket_path()}
            settings |= self._tls_settings()
            with _starting:
                self._native = _native.Server.start(self._cache, settings)
                self._place = _Place(self._native.addresses)
                _running[self] = self._place.sockets
        except BaseException:
            self._remove_directory()
            raise
        if self._place.tcp:
            # Where it will be again.
            self._port = self._place.tcp[-1][1]
        return self

    def stop(self, *, graceful: bool = False, timeout: float = 5.0) -> None:
        """Stops the server, and leaves no thread, connection or socket file.

        A server that does not run, or belongs to the parent process, is left as it is.

        Args:
            graceful: Whether to finish the replies that are under way first. A signal whose handler raises, such as
                Ctrl-C, ends that wait: the server has stopped when the exception is raised.
            timeout: For how many seconds, at most.

        Raises:
            KeyboardInterrupt: Ctrl-C came while replies were under way.

        Example:
            >>> server = Server().start()
            >>> server.stop(graceful=True)
            >>> server.running
            False
        """
        native = self._native
        if native is None or not native.owned:
            return
        try:
            native.stop(graceful, timeout)
        finally:
            self._forget()
            if self._own_cache and self._cache is not None:
                self._cache.flush()

    def _forget(self) -> None:
        native, self._native = self._native, None
        if native is not None and native.owned:
            self._commands = (self._commands + native.last_commands)[-_COMMANDS:]
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
            raise _closed()
        return self._native

    def _at(self) -> _Place:
        if self._native is None or self._place is None:
            raise _closed()
        return self._place

    @property
    def running(self) -> bool:
        """Whether it runs, in this process."""
        return self._native is not None and self._native.running

    # Where it is.

    # Plain data, which a child of a fork may read: it is told of its parent's server.

    @property
    def tcp_addresses(self) -> list[tuple[str, int]]:
        """Host and port wherever it listens by TCP; none if it has a Unix socket alone."""
        return list(self._at().tcp)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port, also in a child of a fork.

        Returns:
            The address of its first listener.

        Raises:
            ClosedError: The server does not run, or listens at a Unix socket alone.

        Example:
            >>> with Server() as server:
            ...     server.address == (server.host, server.port)
            True
        """
        addresses = self._at().tcp
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
        return self._at().udp

    @property
    def unix_socket(self) -> str | None:
        """The path of its Unix socket, if it has one."""
        return self._at().unix

    @property
    def url(self) -> str:
        """``memcache://127.0.0.1:PORT``, ``memcaches://`` with TLS, or ``memcache:///path`` of a Unix socket."""
        path = self.unix_socket
        if path is not None and not self.tcp_addresses:
            from urllib.parse import quote

            return f"memcache://{quote(os.path.abspath(path))}"
        scheme = "memcaches" if self._tls is not None else "memcache"
        return f"{scheme}://{_host_port(self.address)}"

    def _socket_path(self) -> str | None:
        if self._unix is False:
            return None
        if self._unix is True:
            return self._make_directory().path("memcached.sock")
        return os.fspath(self._unix)

    # TLS.

    def _tls_settings(self) -> dict[str, Any]:
        wanted = self._tls_wanted
        settings: dict[str, Any] = {"tls": None, "tls_texts": None, "verify_clients": wanted == "test-mutual"}
        if isinstance(wanted, str):
            texts = self._tls = dict(_native.make_certificates())
            settings["tls_texts"] = (texts["server.pem"], texts["server-key.pem"], texts["ca.pem"])
        elif wanted is not None:
            self._tls = wanted
            ca = None if wanted.ca is None else os.fspath(wanted.ca)
            settings["tls"] = (os.fspath(wanted.certificate), os.fspath(wanted.key), ca)
            settings["verify_clients"] = wanted.verify_clients
        return settings

    @property
    def tls(self) -> TLS | None:
        """The files of TLS, if it is spoken.

        To read this is to ask for files: the certificates and keys of ``tls="test"`` are written to a directory that
        only this user can read, and removed when the server stops. A signal that ends the process leaves them there,
        until another server of this user needs a directory. :meth:`ssl_context` needs no files.

        Returns:
            The paths; None without TLS.

        Raises:
            ClosedError: The server does not run.

        Example:
            >>> with Server(tls="test") as server:
            ...     server.tls.verify_clients
            False
        """
        self._at()
        if not isinstance(self._tls, dict):
            return self._tls
        paths = {name: self._make_directory().write(name, text) for name, text in self._tls.items()}
        self._tls = TLS(
            paths["server.pem"],
            paths["server-key.pem"],
            paths["ca.pem"],
            verify_clients=self._tls_wanted == "test-mutual",
            client_certificate=paths["client.pem"],
            client_key=paths["client-key.pem"],
        )
        return self._tls

    def ssl_context(self) -> ssl.SSLContext:
        """Returns what a client needs: it trusts this server, and shows a certificate if there is one.

        The certificates of ``tls="test"`` go from memory to memory.

        Returns:
            A context for clients.

        Raises:
            ClosedError: The server does not run.
            ConfigError: The server has no TLS.

        Example:
            >>> import socket
            >>> with Server(tls="test") as server, socket.create_connection(server.address) as raw:
            ...     with server.ssl_context().wrap_socket(raw, server_hostname="localhost") as secure:
            ...         secure.version()
            'TLSv1.3'
        """
        import ssl

        self._at()
        tls = self._tls
        if tls is None:
            raise ConfigError('this server has no TLS; start it with tls="test"')
        if isinstance(tls, dict):
            context = ssl.create_default_context(cadata=tls["ca.pem"])
            load_identity(context, tls["client.pem"] + tls["client-key.pem"])
            return context
        context = ssl.create_default_context(cafile=None if tls.ca is None else os.fspath(tls.ca))
        if tls.client_certificate is not None:
            context.load_cert_chain(tls.client_certificate, tls.client_key)
        return context

    def _make_directory(self) -> Directory:
        if self._directory is None:
            self._directory = Directory()
        return self._directory

    def _remove_directory(self) -> None:
        directory, self._directory = self._directory, None
        if directory is not None:
            directory.remove()

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

    def settle(self, timeout: float = 1.0) -> bool:
        """Wait until what clients of this machine have sent before this call is carried out.

        That includes commands without replies, datagrams and connections that are not accepted yet. ``cache``,
        ``clock``, ``faults``, ``stats`` and ``watch`` do this by themselves, unless the server was given a ``cache``
        that was there before. A client that does not read its replies, or that meets an injected delay, is not waited
        for.

        Args:
            timeout: For how many seconds, at most.

        Returns:
            Whether it is carried out; ``False`` if that takes longer than ``timeout``.

        Raises:
            ClosedError: The server does not run.

        >>> with Server() as server:
        ...     server.settle()
        True
        """
        return self._live().settle(timeout)

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
        """The last 200 commands of clients, of all protocols, with ``record_commands``.

        They outlast a stop and a start.

        A command is its line, without the value. One of the binary protocol is written as its text form would be,
        after the word ``binary``.

        Returns:
            The commands, oldest first.

        Raises:
            ClosedError: The server was not started.
            ForkError: The server belongs to the parent process.

        Example:
            >>> import socket
            >>> with Server(record_commands=True) as server, socket.create_connection(server.address) as client:
            ...     client.sendall(b"set greeting 0 60 5\\r\\nhello\\r\\n")
            ...     _ = client.recv(100)
            ...     server.last_commands
            ['set greeting 0 60 5']
        """
        if self._native is None and self._place is not None:
            return list(self._commands)
        return (self._commands + self._live().last_commands)[-_COMMANDS:]

    def clear_commands(self) -> None:
        """Forgets the commands received so far."""
        self._commands = []
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
        nodes = [_host_port(address) for server in running for address in server.tcp_addresses]
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


def _host_port(address: tuple[str, int]) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _closed() -> ClosedError:
    return ClosedError("this server does not run; call start(), or use it in a with statement")


def _check(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise OutOfRangeError(f"{name} must be {least} to {most}, got {value}")


def _address(host: str) -> str:
    """A host as an address, which is what can be listened at."""
    import ipaddress

    if host == "localhost":
        return "127.0.0.1"
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        raise ConfigError(f'host is an IP address to listen at, such as "127.0.0.1" or "::1", not {host!r}') from None
