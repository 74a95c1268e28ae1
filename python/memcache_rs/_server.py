"""A server in this process."""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from memcache_rs import _native
from memcache_rs._cache import Cache
from memcache_rs._directory import load_identity, make_directory
from memcache_rs._runs import Runs
from memcache_rs._watch import Watch
from memcache_rs.errors import ClosedError, ConfigError, OutOfRangeError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Mapping, Sequence
    from os import PathLike

    from typing_extensions import Self

    from memcache_rs._native import Clock, HotKey
    from memcache_rs._typing import Kind, Path, ServerSettings, Setting


class TLS(NamedTuple):
    """The PEM files of a server with TLS.

    Args:
        certificate: The server's certificate, followed by those above it.
        key: The server's private key.
        ca: The authority that signs the certificates of clients. :meth:`Server.ssl_context` also
            uses it for the certificate of the server.
        verify_clients: Whether clients must present a certificate.
        client_certificate: The certificate that :meth:`Server.ssl_context` presents.
        client_key: The key of ``client_certificate``.

    Example:
        >>> tls = TLS("server.pem", "server-key.pem", ca="ca.pem")
        >>> tls.verify_clients
        False
    """

    certificate: str | PathLike[str]
    key: str | PathLike[str]
    ca: str | PathLike[str] | None = None
    verify_clients: bool = False
    client_certificate: str | PathLike[str] | None = None
    client_key: str | PathLike[str] | None = None


class _Addresses:
    """The addresses of a server. A child of a fork can read them."""

    def __init__(self, addresses: list[tuple[str, str, int]]) -> None:
        self.tcp = [(host, port) for kind, host, port in addresses if kind == "tcp"]
        self.udp = next(((host, port) for kind, host, port in addresses if kind == "udp"), None)
        self.unix = next((path for kind, path, _ in addresses if kind == "unix"), None)
        #: The addresses in the form of ``socket.getsockname``.
        self.sockets: set[str | tuple[str, int]] = {
            path if kind == "unix" else (path, n) for kind, path, n in addresses
        }

    def first_tcp(self) -> tuple[str, int]:
        if not self.tcp:
            raise ClosedError("the server has no TCP address; use unix_socket, or set host")
        return self.tcp[0]


#: The running servers and their addresses. They are stopped when the interpreter ends.
_running: weakref.WeakKeyDictionary[Server, set[str | tuple[str, int]]] = weakref.WeakKeyDictionary()

#: Held while a server starts, so that a child of a fork knows all sockets that it inherits.
_starting = threading.Lock()


@atexit.register
def _stop_all() -> None:
    for server in list(_running):
        server.stop()


def _in_child() -> None:
    """Closes the inherited sockets of the parent's servers.

    The child has no threads to serve them. If they stayed open, the addresses would be in use and
    clients connected after the end of the parent.
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
            # This is not a socket.
            continue
        # IPv6 addresses have more parts than host and port.
        address = one.getsockname()
        if (address if isinstance(address, str) else tuple(address[:2])) in addresses:
            one.close()
        else:
            one.detach()


os.register_at_fork(before=_starting.acquire, after_in_parent=_starting.release, after_in_child=_in_child)


class Server(Runs):
    """A memcached server in this process, for any memcached client.

    Use it in a ``with`` block, or call :meth:`start` and :meth:`stop`. In asyncio, ``async with``
    starts and stops it in a thread, while the event loop runs. ``server.cache`` reads and writes
    the same items without a socket. ``server.clock`` is the time of the items, which tests
    stop and move. ``server.faults`` injects faults for clients.

    A stopped server can be started again at the same address. It is then empty, unless it was given
    a ``cache`` or a file to ``persist``.

    In a child of ``fork``, :meth:`stop` does nothing, and only the addresses of the parent's server
    can be read. Other methods raise :class:`ForkError`.

    A signal that ends the process, such as SIGTERM, stops no server. A Unix socket then stays
    behind. The next server at the same path replaces it. The next server with
    ``unix_socket=True`` removes the sockets of ended processes.

    Args:
        port: The TCP port. 0 takes a free one.
        host: The IP address to listen on. ``None`` means 127.0.0.1, or no TCP if there is a
            ``unix_socket``.
        unix_socket: The path of a Unix socket to listen on. ``True`` takes a path in a temporary
            directory.
        unix_mask: The access mode of the Unix socket.
        udp: Whether to listen on UDP as well, on the same port. With port 0, UDP takes another free
            one.
        tls: Enables TLS with the files of a :class:`TLS`. ``"test"`` makes certificates in memory.
            ``"test-mutual"`` also requires one from clients.
        users: Passwords by user name. Clients must then log in. The setting ``rights`` limits what
            each may do, such as ``settings={"rights": "ada all; shop ro,prefix=shop/"}``.
        auth: How clients log in: ``"sasl"`` in the binary protocol, or ``"text"`` in the text
            protocols.
        cache: A cache to serve. ``None`` makes one.
        memory_limit: See :class:`Cache`. This and the next two apply without ``cache``.
        item_size_max: See :class:`Cache`.
        evictions: See :class:`Cache`.
        threads: The number of worker threads, 1 to 1024. The default is 1.
        max_connections: Most connections at a time. The default is 1024.
        idle_timeout: Closes connections that are idle for this many seconds. The default is 0,
            which means never.
        shutdown_enabled: Whether clients may stop the server with ``shutdown``. The default is
            ``False``.
        cluster_nodes: The nodes that auto discovery announces, each ``host|ip|port`` or
            ``host:port``.
        record_commands: Whether :attr:`last_commands` keeps the commands of clients.
        persist: A file for the items. A start loads it if it exists, and a stop saves it. A start
            refuses a file that is not a snapshot, and leaves it as it is. The settings
            ``persist_interval``, ``persist_strict`` and others say how: see docs/settings.md.
        proxy: Makes the server a proxy. It is a configuration as a text in TOML, or the name of a
            file that ends in ``.toml``: see docs/proxy.md. Commands with keys go to its backends.
            A start reads it.
        settings: Further settings by name, of the server and of the cache that it makes. See
            :class:`Cache`.

    Raises:
        ConfigError: A setting is invalid.
        OutOfRangeError: A number is out of the range of its setting.

    Example:
        >>> import socket
        >>> with Server() as server:
        ...     with socket.create_connection(server.address) as client:
        ...         client.sendall(b"set greeting 0 60 5\\r\\nhello\\r\\n")
        ...         client.recv(100)
        ...     server.cache.get("greeting")
        b'STORED\\r\\n'
        b'hello'
        >>> with Server() as server, server.clock.freeze():
        ...     server.cache.set("key", "value", ttl=3600)
        ...     server.clock.advance(3600)
        ...     server.cache.get("key", "expired")
        'expired'
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
        cache: Cache[Any] | None = None,
        memory_limit: int | None = None,
        item_size_max: int | None = None,
        evictions: bool | None = None,
        threads: int | None = None,
        max_connections: int | None = None,
        idle_timeout: int | None = None,
        shutdown_enabled: bool | None = None,
        cluster_nodes: Sequence[str] = (),
        record_commands: bool = False,
        persist: Path | None = None,
        proxy: Path | None = None,
        settings: Mapping[str, Setting] | None = None,
    ) -> None:
        _check("port", port, 0, 65535)
        _check("unix_mask", unix_mask, 0, 0o777)
        if auth not in ("text", "sasl"):
            raise ConfigError(f'auth must be "text" or "sasl", got {auth!r}')
        if isinstance(tls, str) and tls not in ("test", "test-mutual"):
            raise ConfigError(f'tls must be "test", "test-mutual" or a TLS, got {tls!r}')
        parameters: dict[str, Setting] = {
            "threads": threads,
            "max_connections": max_connections,
            "idle_timeout": idle_timeout,
            "shutdown_enabled": shutdown_enabled,
            "persist": None if persist is None else os.fsdecode(persist),
            "proxy": None if proxy is None else os.fsdecode(proxy),
        }
        given = {name: value for name, value in parameters.items() if value is not None}
        # A server for tests needs one worker.
        named: dict[str, Setting] = {"threads": 1, **(settings or {}), **given}
        of_cache = _native.check_settings(named)
        self._unix = unix_socket
        self._tls_wanted = tls
        self._own_cache = cache is None
        self._cache: Cache[Any] | None = cache
        self._cache_settings: dict[str, Any] = {
            "memory_limit": memory_limit,
            "item_size_max": item_size_max,
            "evictions": evictions,
            "settings": {name: named[name] for name in of_cache},
        }
        self._settings: ServerSettings = {
            "host": None if unix_socket and host is None else _address(host or "127.0.0.1"),
            "port": port,
            "udp": udp,
            "unix_socket": None,
            "unix_mask": unix_mask,
            "tls": None,
            "tls_texts": None,
            "verify_clients": tls == "test-mutual",
            "users": None if users is None else (list(users.items()), auth == "sasl"),
            "values": named,
            "cluster_nodes": list(cluster_nodes),
            "record_commands": record_commands,
            "settles": self._own_cache,
        }
        self._native: _native.Server | None = None
        self._addresses: _Addresses | None = None
        self._directory: _native.Directory | None = None
        self._tls: TLS | dict[str, str] | None = None
        self._commands: list[str] = []

    def start(self) -> Self:
        """Starts the server, and returns when it accepts connections.

        A running server is left as it is.

        Returns:
            The server.

        Raises:
            ConfigError: A setting is invalid, the file of ``persist`` is not a snapshot, or the
                configuration of ``proxy`` has a mistake, whose line the message names.
            StartError: The server cannot listen, for example because the port is in use.
            ClosedError: The ``cache`` to serve is closed.
            ForkError: The ``cache`` to serve belongs to the parent process.

        Example:
            >>> server = Server().start()
            >>> server.running
            True
            >>> server.stop()
        """
        if self._native is not None:
            if self._native.running:
                return self
            self._forget()
        if self._cache is None:
            self._cache = Cache(**self._cache_settings)
        try:
            settings = self._native_settings()
            with _starting:
                self._native = _native.Server.start(self._cache, settings)
                self._addresses = _Addresses(self._native.addresses)
                _running[self] = self._addresses.sockets
        except BaseException:
            self._remove_directory()
            raise
        if self._addresses.tcp:
            # The next start takes the same port.
            self._settings["port"] = self._addresses.tcp[-1][1]
        return self

    def stop(self, *, graceful: bool = False, timeout: float = 5.0) -> None:
        """Stops the server, and leaves no thread, connection or socket file.

        A server that does not run, or that belongs to the parent process, is left as it is.

        Args:
            graceful: Whether to finish replies in progress first. A signal handler that raises,
                as for Ctrl-C, ends that wait. The server is stopped when the exception arrives.
            timeout: How many seconds a graceful stop waits at most.

        Raises:
            KeyboardInterrupt: Ctrl-C interrupted a graceful stop.
            TimeoutError: A thread of the server did not end in 5 seconds.

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
            self._commands = (self._commands + native.last_commands)[-_native.COMMANDS :]
        _running.pop(self, None)
        self._remove_directory()

    def __del__(self) -> None:
        # The directory of a server that was not stopped must not stay. If __init__ refused the
        # settings, there is no attribute.
        if getattr(self, "_native", None) is not None:
            self.stop()

    def _live(self) -> _native.Server:
        if self._native is None:
            raise _closed()
        return self._native

    def _bound(self) -> _Addresses:
        if self._native is None or self._addresses is None:
            raise _closed()
        return self._addresses

    @property
    def running(self) -> bool:
        """Whether the server runs in this process.

        Example:
            >>> with Server() as server:
            ...     server.running
            True
        """
        return self._native is not None and self._native.running

    # A child of a fork may read the addresses, so they are plain data.

    @property
    def tcp_addresses(self) -> list[tuple[str, int]]:
        """The host and port of each TCP listener. Empty if there is only a Unix socket.

        Raises:
            ClosedError: The server does not run.

        Example:
            >>> with Server() as server:
            ...     server.tcp_addresses == [server.address]
            True
        """
        return list(self._bound().tcp)

    @property
    def address(self) -> tuple[str, int]:
        """The host and port of the first TCP listener.

        Raises:
            ClosedError: The server does not run, or listens only on a Unix socket.

        Example:
            >>> with Server() as server:
            ...     server.address == (server.host, server.port)
            True
        """
        return self._bound().first_tcp()

    @property
    def host(self) -> str:
        """The IP address of the first TCP listener.

        Raises:
            ClosedError: The server does not run, or listens only on a Unix socket.

        Example:
            >>> with Server() as server:
            ...     server.host
            '127.0.0.1'
        """
        return self.address[0]

    @property
    def port(self) -> int:
        """The port of the first TCP listener.

        Raises:
            ClosedError: The server does not run, or listens only on a Unix socket.

        Example:
            >>> with Server() as server:
            ...     server.port > 0
            True
        """
        return self.address[1]

    @property
    def udp_address(self) -> tuple[str, int] | None:
        """The host and port for UDP, or ``None`` without UDP.

        Raises:
            ClosedError: The server does not run.

        Example:
            >>> with Server(udp=True) as server:
            ...     host, port = server.udp_address
        """
        return self._bound().udp

    @property
    def unix_socket(self) -> str | None:
        """The path of the Unix socket, or ``None`` without one.

        Raises:
            ClosedError: The server does not run.

        Example:
            >>> with Server(unix_socket=True) as server:
            ...     server.unix_socket.endswith("memcached.sock")
            True
        """
        return self._bound().unix

    @property
    def url(self) -> str:
        """The URL of the server.

        It is ``memcache://host:port``, ``memcaches://host:port`` with TLS, or ``memcache:///path``
        if there is only a Unix socket.

        Raises:
            ClosedError: The server does not run.

        Example:
            >>> with Server() as server:
            ...     server.url == f"memcache://127.0.0.1:{server.port}"
            True
        """
        path = self.unix_socket
        if path is not None and not self.tcp_addresses:
            from urllib.parse import quote

            return f"memcache://{quote(os.path.abspath(path))}"
        scheme = "memcaches" if self._tls is not None else "memcache"
        return f"{scheme}://{host_port(self.address)}"

    def _socket_path(self) -> str | None:
        if self._unix is False:
            return None
        if self._unix is True:
            return self._make_directory().path("memcached.sock")
        return os.fspath(self._unix)

    def _native_settings(self) -> ServerSettings:
        settings = self._settings.copy()
        settings["unix_socket"] = self._socket_path()
        wanted = self._tls_wanted
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
        """The files of TLS, or ``None`` without TLS.

        The first read of this writes the certificates and keys of ``tls="test"`` to a directory
        that only this user can read. The server removes it when it stops. If a signal ends the
        process, the files stay until another server of this user needs a directory.
        :meth:`ssl_context` needs no files.

        Raises:
            ClosedError: The server does not run.

        Example:
            >>> with Server(tls="test") as server:
            ...     server.tls.verify_clients
            False
        """
        self._bound()
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
        """Returns an SSL context for clients of this server.

        It trusts the server's certificate, and presents a client certificate if there is one. The
        certificates of ``tls="test"`` stay in memory.

        Returns:
            The context.

        Raises:
            ClosedError: The server does not run.
            ConfigError: The server has no TLS.

        Example:
            >>> import socket
            >>> with Server(tls="test") as server, socket.create_connection(server.address) as raw:
            ...     context = server.ssl_context()
            ...     with context.wrap_socket(raw, server_hostname="localhost") as secure:
            ...         secure.version()
            'TLSv1.3'
        """
        import ssl

        self._bound()
        tls = self._tls
        if tls is None:
            raise ConfigError('the server has no TLS; set tls, for example to "test"')
        if isinstance(tls, dict):
            context = ssl.create_default_context(cadata=tls["ca.pem"])
            load_identity(context, tls["client.pem"] + tls["client-key.pem"])
            return context
        context = ssl.create_default_context(cafile=None if tls.ca is None else os.fspath(tls.ca))
        if tls.client_certificate is not None:
            context.load_cert_chain(tls.client_certificate, tls.client_key)
        return context

    def _make_directory(self) -> _native.Directory:
        if self._directory is None:
            self._directory = make_directory()
        return self._directory

    def _remove_directory(self) -> None:
        directory, self._directory = self._directory, None
        if directory is not None:
            directory.remove()

    @property
    def cache(self) -> Cache:
        """The cache with the server's items.

        Raises:
            ClosedError: The server does not run.

        Example:
            >>> with Server() as server:
            ...     server.cache.set("user:1", "Ada")
            ...     server.cache.get("user:1")
            b'Ada'
        """
        self._live()
        assert self._cache is not None
        return self._cache

    @property
    def clock(self) -> _native.Clock:
        """The clock of the server's cache.

        Raises:
            ClosedError: The server does not run.
            ForkError: The server belongs to the parent process.

        Example:
            >>> with Server() as server, server.clock.freeze() as clock:
            ...     clock.advance(3600)
        """
        return self.cache.clock

    @property
    def faults(self) -> _native.Faults:
        """The faults that the server injects for clients.

        Raises:
            ClosedError: The server does not run.
            ForkError: The server belongs to the parent process.

        Example:
            >>> with Server() as server:
            ...     with server.faults.error("out of order", command="get", times=1) as rule:
            ...         pass  # The next get of a client fails.
            ...     rule.remove()
            0
        """
        return self._live().faults

    def settle(self, timeout: float = 1.0) -> bool:
        """Waits until the server has run the commands that local clients sent before this call.

        That includes commands without replies, datagrams, and connections that are not accepted
        yet. ``cache``, ``clock``, ``faults``, ``stats`` and ``watch`` settle first by themselves,
        unless the server was given a ``cache``. It does not wait for clients that do not read their
        replies, or whose command an injected fault delays. It waits for delayed replies.

        Args:
            timeout: How many seconds to wait at most.

        Returns:
            ``True`` if the commands have run, ``False`` if ``timeout`` passed first.

        Raises:
            ClosedError: The server does not run.
            ForkError: The server belongs to the parent process.

        Example:
            >>> with Server() as server:
            ...     server.settle()
            True
        """
        return self._live().settle(timeout)

    def retry_backends(self) -> None:
        """Has a proxy try its backends again at once.

        It forgets their failures, and later requests wait for their connections. A test calls it
        after it has started a backend again. It does nothing for a server without ``proxy``.

        Raises:
            ClosedError: The server does not run.
            ForkError: The server belongs to the parent process.
            TimeoutError: A worker of the server did not answer in a second.

        Example:
            >>> text = "route = 'main'\\npools.main.backends = ['127.0.0.1:9']"
            >>> with Server(proxy=text) as server:
            ...     server.retry_backends()
        """
        self._live().retry_backends()

    def reload_proxy(self, config: Path | None = None) -> None:
        """Has a proxy read its configuration again, or another one in its place.

        Requests that come after this call follow it. A mistake changes nothing. Sources of
        backends are looked up first, for at most 5 seconds.

        Args:
            config: A text in TOML, or the name of a file that ends in ``.toml``. Later reloads and
                starts read it, too. ``None`` reads the configuration so far, such as a file that
                has changed.

        Raises:
            ConfigError: The configuration has a mistake, whose line the message names. The file
                cannot be read. The server was started without ``proxy``.
            ClosedError: The server does not run.
            ForkError: The server belongs to the parent process.

        Example:
            >>> with Server() as backend:
            ...     text = f"route = 'main'\\npools.main.backends = ['127.0.0.1:{backend.port}']"
            ...     with Server(proxy="route = { error = 'closed' }") as proxy:
            ...         proxy.reload_proxy(text)
        """
        text = None if config is None else os.fsdecode(config)
        self._live().reload_proxy(text)
        if text is not None:
            self._settings["values"]["proxy"] = text

    def stats(self, group: str = "") -> dict[str, int | str]:
        """Returns statistics under memcached's names.

        Args:
            group: ``""`` for the general statistics, ``"items"``, ``"slabs"``, ``"sizes"``,
                ``"quotas"``, ``"settings"``, ``"conns"``, ``"latency"`` or ``"hotkeys"``. A
                proxy also has ``"proxy"``, ``"proxyfuncs"``, ``"proxybe"`` and ``"proxypools"``.

        Returns:
            The statistics by name. Whole numbers are int, all others str.

        Raises:
            ValueError: ``group`` is none of these.
            ClosedError: The server does not run.
            ForkError: The server belongs to the parent process.

        Example:
            >>> with Server(threads=2) as server:
            ...     server.stats("settings")["num_threads"]
            2
        """
        return self._live().stats(group)

    def metrics(self, format: str = "prometheus") -> str:
        """Returns metrics as text, for a monitoring system.

        The names are those of Prometheus' memcached exporter, and further ones that begin with
        ``memcache_rs_``. :mod:`memcache_rs.adapters.prometheus` adds them to ``prometheus_client``.

        Args:
            format: ``"prometheus"`` for the text form 0.0.4, or ``"openmetrics"`` for
                OpenMetrics 1.0.

        Returns:
            The text.

        Raises:
            ValueError: ``format`` is neither.
            ClosedError: The server does not run.
            ForkError: The server belongs to the parent process.

        Example:
            >>> with Server(threads=2) as server:
            ...     "memcache_rs_threads 2" in server.metrics()
            True
        """
        return self._live().metrics(format)

    def hot_keys(self, most: int = 10) -> list[HotKey]:
        """Returns the keys that had the most requests in the last 2 to 4 seconds.

        The numbers are estimates from samples: one of ``sample_rate`` requests is counted, 128 by
        default.

        Args:
            most: The number of keys, at most 512.

        Returns:
            The keys, the one with the most requests first.

        Raises:
            OutOfRangeError: ``most`` is negative.
            ClosedError: The server does not run.
            ForkError: The server belongs to the parent process.

        Example:
            >>> with Server(settings={"sample_rate": 1}) as server:
            ...     _ = server.cache.get("user:1")
            ...     server.hot_keys()
            [HotKey(key=b'user:1', reads=1, writes=0, error=0, share=1.0)]
        """
        return self._live().hot_keys(most)

    def watch(self, *kinds: Kind, timeout: float | None = None) -> Watch:
        """Returns an iterator over the events that happen from now on.

        Args:
            *kinds: The kinds of events: ``"fetchers"``, ``"mutations"``, ``"deletions"``,
                ``"evictions"`` and ``"connevents"``, and of a proxy ``"proxyreqs"``,
                ``"proxyevents"`` and ``"proxyuser"``. Without any, events of all kinds.
            timeout: The iterator ends if no event comes for this many seconds.

        Returns:
            The iterator.

        Raises:
            ConfigError: A kind does not exist, or the server has 20 watches already.
            ClosedError: The server does not run.
            ForkError: The server belongs to the parent process.

        Example:
            >>> with Server() as server, server.watch("mutations", timeout=5) as events:
            ...     server.cache.set("key", "value")
            ...     event = next(events)
            ...     event.type, event.key
            ('item_store', b'key')
        """
        return Watch(self._live().watch(list(kinds)), timeout)

    @property
    def last_commands(self) -> list[str]:
        """The last 200 commands of clients, oldest first. Empty without ``record_commands``.

        Each is the command line, without the value. A command of the binary protocol is written in
        its text form, after the word ``binary``. A stop and a start keep the commands.

        Raises:
            ClosedError: The server was never started.
            ForkError: The server belongs to the parent process.

        Example:
            >>> import socket
            >>> with Server(record_commands=True) as server:
            ...     with socket.create_connection(server.address) as client:
            ...         client.sendall(b"set greeting 0 60 5\\r\\nhello\\r\\n")
            ...     server.last_commands
            ['set greeting 0 60 5']
        """
        if self._native is None and self._addresses is not None:
            return list(self._commands)
        return (self._commands + self._live().last_commands)[-_native.COMMANDS :]

    def clear_commands(self) -> None:
        """Removes the commands from :attr:`last_commands`.

        Raises:
            ClosedError: The server does not run.
            ForkError: The server belongs to the parent process.

        Example:
            >>> with Server(record_commands=True) as server:
            ...     server.clear_commands()
        """
        self._commands = []
        self._live().clear_commands()

    def set_cluster_nodes(self, nodes: Iterable[str]) -> None:
        """Replaces the nodes that auto discovery announces.

        Args:
            nodes: The nodes, each ``host|ip|port`` or ``host:port``.

        Raises:
            ConfigError: A node is invalid.
            ClosedError: The server does not run.
            ForkError: The server belongs to the parent process.

        Example:
            >>> with Server() as server:
            ...     server.set_cluster_nodes(["127.0.0.1:11211", "127.0.0.1:11212"])
        """
        self._live().set_cluster_nodes(list(nodes))

    def __reduce__(self) -> Any:
        raise TypeError("a server can be neither pickled nor copied; pass its address to other processes")

    def __repr__(self) -> str:
        if self._native is None:
            return "<Server, not running>"
        return f"<Server at {self.url}>" if self._native.owned else "<Server of the parent process>"


# The next two use members of the class, for `Cluster`.
# pyright: reportPrivateUsage=false


def settle_after(server: Server, first: Server) -> None:
    """Has the handles of a server settle another server first."""
    server._live().settle_after(first._live())


def address_of(server: Server) -> tuple[str, int]:
    """Returns the address of a server, which keeps it while it is stopped."""
    if server._addresses is None:
        raise _closed()
    return server._addresses.first_tcp()


def clock_of(server: Server) -> Clock:
    """Returns the clock of a server, which keeps it while it is stopped."""
    if server._cache is None:
        raise _closed()
    return server._cache.clock


def host_port(address: tuple[str, int]) -> str:
    """Joins a host and a port."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _closed() -> ClosedError:
    return ClosedError("the server does not run; call start(), or use it in a with block")


def _check(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise OutOfRangeError(f"{name} must be from {least} to {most}, got {value}")


def _address(host: str) -> str:
    """Returns the IP address of a host."""
    import ipaddress

    if host == "localhost":
        return "127.0.0.1"
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        raise ConfigError(f'host must be an IP address, such as "127.0.0.1" or "::1", got {host!r}') from None
