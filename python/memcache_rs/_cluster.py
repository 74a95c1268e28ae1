"""Several servers in this process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from memcache_rs import _native
from memcache_rs._runs import Runs
from memcache_rs._server import Server, address_of, clock_of, host_port, settle_after
from memcache_rs.errors import ClosedError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import timedelta
    from os import PathLike

    from typing_extensions import Self

    from memcache_rs._native import Clock

#: Arguments that concern clients: with a proxy, only that has them.
_OF_CLIENTS = ("tls", "users", "auth")
#: Arguments that a proxy has beside those.
_OF_PROXY = (
    *_OF_CLIENTS,
    "host",
    "item_size_max",
    "threads",
    "max_connections",
    "idle_timeout",
    "record_commands",
)
#: Further settings that concern clients.
_SETTINGS_OF_CLIENTS = ("rights", "rights_file")

#: Settings of a cache that a proxy has, too: it refuses values that are too large for its nodes,
#: and times requests.
_OF_CACHE_AND_PROXY = {"item_size_max", "sample_rate"}

#: How many seconds a proxy may take to notice that a node has died.
_PATIENCE = 5.0


def _split(settings: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the settings of the nodes, and those of the proxy before them."""
    of_nodes = {name: value for name, value in settings.items() if name not in _OF_CLIENTS}
    of_proxy = {name: settings[name] for name in _OF_PROXY if name in settings}
    if further := settings.get("settings"):
        of_caches = set(_native.check_settings(dict(further))) - _OF_CACHE_AND_PROXY
        of_nodes["settings"] = {name: further[name] for name in further if name not in _SETTINGS_OF_CLIENTS}
        of_proxy["settings"] = {name: further[name] for name in further if name not in of_caches}
    return of_nodes, of_proxy


def _check_route(proxy: object) -> None:
    is_known = isinstance(proxy, (bool, os.PathLike))
    # Each line of a configuration has the sign.
    if not is_known and not (isinstance(proxy, str) and ("=" in proxy or proxy.endswith(".toml"))):
        raise ConfigError(f"proxy must be True, False, a text in TOML or the name of a file, got {proxy!r}")


def _read_route(proxy: str | PathLike[str]) -> str:
    """Returns a part of a configuration, which may be in a file."""
    text = os.fspath(proxy)
    if isinstance(proxy, str) and not text.endswith(".toml"):
        return text
    try:
        with open(text, encoding="utf-8") as file:
            return file.read()
    except (OSError, ValueError) as failure:
        raise ConfigError(f"proxy: cannot read {text}: {failure}") from failure


class ClusterClock:
    """The clock of a :class:`Cluster`: of all its nodes and its proxy.

    Its methods are those of :class:`Clock`. It moves nodes that are down, too.
    :attr:`Cluster.clock` returns it.

    Args:
        clocks: Returns the clocks, of which the first tells the time.

    Example:
        >>> with Cluster(2) as cluster, cluster.clock.freeze() as clock:
        ...     cluster[1].cache.set("key", "value", ttl=60)
        ...     clock.advance(60)
        ...     "key" in cluster[1].cache
        False
    """

    def __init__(self, clocks: Callable[[], list[Clock]]) -> None:
        self._clocks = clocks

    def freeze(self) -> Self:
        """Stops the clock.

        Returns:
            The clock. As a context manager it resumes at the end of the block.

        Raises:
            ClosedError: The cluster was not started.
            ForkError: The cluster belongs to the parent process.

        Example:
            >>> with Cluster(2) as cluster, cluster.clock.freeze() as clock:
            ...     clock.time() == cluster[1].clock.time()
            True
        """
        first, *others = self._clocks()
        first.freeze()
        for clock in others:
            clock.freeze()
            # A second may have begun in between.
            clock.advance(first.time() - clock.time())
        return self

    def resume(self) -> None:
        """Lets the clock run again, from the time it shows.

        Raises:
            ClosedError: The cluster was not started.
            ForkError: The cluster belongs to the parent process.

        Example:
            >>> with Cluster(2) as cluster:
            ...     cluster.clock.freeze().resume()
        """
        for clock in self._clocks():
            clock.resume()

    def reset(self) -> None:
        """Sets the clock to the system time and lets it run.

        Raises:
            ClosedError: The cluster was not started.
            ForkError: The cluster belongs to the parent process.

        Example:
            >>> with Cluster(2) as cluster:
            ...     cluster.clock.reset()
        """
        for clock in self._clocks():
            clock.reset()

    def advance(self, by: float | timedelta) -> None:
        """Moves the clock forwards, or backwards if the time is negative.

        Args:
            by: Whole seconds, or a timedelta of whole seconds.

        Raises:
            ClosedError: The cluster was not started.
            ForkError: The cluster belongs to the parent process.
            ConfigError: ``by`` is not whole seconds, or the clock cannot show that time.

        Example:
            >>> with Cluster(2) as cluster:
            ...     cluster.clock.advance(60)
        """
        for clock in self._clocks():
            clock.advance(by)

    def time(self) -> int:
        """Returns the time that the clock shows.

        Returns:
            A Unix time in seconds.

        Raises:
            ClosedError: The cluster was not started.
            ForkError: The cluster belongs to the parent process.

        Example:
            >>> with Cluster(2) as cluster:
            ...     cluster.clock.time() > 1_700_000_000
            True
        """
        return self._clocks()[0].time()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.resume()


class Cluster(Runs):
    """Several servers. Clients shard, or a proxy before the servers does.

    Use it in a ``with`` block, or call :meth:`start` and :meth:`stop`. The nodes are in
    ``cluster.servers``, and ``cluster[0]`` is the first of them. Each announces all of them (auto
    discovery).

    With ``proxy``, clients connect to ``cluster.address`` alone, and the arguments ``tls``,
    ``users`` and ``auth`` are those of the proxy. A handle of a node, such as
    ``cluster[0].cache``, first waits until the proxy has carried out what clients have sent.

    In asyncio, ``async with`` starts and stops it in a thread. ``asyncio.to_thread(cluster.kill,
    1)`` kills a node while the event loop runs.

    In a child of ``fork``, :meth:`kill` and :meth:`stop` do nothing, as :meth:`Server.stop`.

    Args:
        size: The number of nodes, at least 1.
        proxy: Puts a proxy before the nodes. ``True`` leads each key to one node, by ketama. A text
            is the first part of a configuration of a proxy, in TOML, with a ``route`` of its own:
            see docs/proxy.md. The name of a file that ends in ``.toml`` stands for its text. It has
            two pools beside its own. ``nodes`` are the nodes, and ``next`` leads each key to the
            node after that of ``nodes``.
        **settings: The settings of each :class:`Server`, except ``port``, ``cache`` and
            ``persist``. With ``proxy``, those of ``settings`` that are not about the cache, and
            ``sample_rate``, are also those of the proxy. ``rights`` and ``rights_file`` are those
            of the proxy alone.

    Raises:
        ConfigError: ``size`` is less than 1, or a setting is invalid.

    Example:
        >>> with Cluster(3) as cluster:
        ...     len(cluster.addresses)
        3
        >>> with Cluster(3, proxy='route = { failover = ["nodes", "next"] }') as cluster:
        ...     cluster.kill(1)
        ...     cluster.address == cluster.proxy.address
        True
    """

    def __init__(self, size: int = 3, *, proxy: bool | str | PathLike[str] = False, **settings: Any) -> None:
        if size < 1:
            raise ConfigError(f"size must be at least 1, got {size}")
        if settings.get("port"):
            raise ConfigError(f"port must be 0 for a cluster, got {settings['port']}; its nodes take free ports")
        if settings.get("cache") is not None:
            raise ConfigError("cache must be None for a cluster; each node makes a cache")
        if settings.get("persist") is not None:
            raise ConfigError("persist must be None for a cluster; its nodes cannot share a file")
        _check_route(proxy)
        if proxy and settings.get("unix_socket") and settings.get("host") is None:
            raise ConfigError("unix_socket needs a host with a proxy, which reaches nodes by TCP")
        self._proxy: Server | None = None
        self._route = proxy
        self._nodes: list[str] = []
        of_nodes, self._of_proxy = _split(settings) if proxy else (settings, {})
        self.servers = [Server(**of_nodes) for _ in range(size)]
        if proxy:
            # Refuse settings that only the proxy has.
            Server(**self._of_proxy)

    def start(self) -> Self:
        """Starts all nodes, then the proxy. If one fails, it stops the others.

        Returns:
            The cluster.

        Raises:
            ConfigError: A setting is invalid, or the configuration of the proxy has a mistake.
            StartError: A node failed to start.
            ForkError: The cluster was started in the parent process.

        Example:
            >>> cluster = Cluster(2).start()
            >>> cluster.stop()
        """
        try:
            for server in self.servers:
                server.start()
            if self._route:
                if self._proxy is None:
                    self._proxy = self._make_proxy()
                self._proxy.start()
                for server in self.servers:
                    settle_after(server, self._proxy)
            self._announce()
        except BaseException:
            self.stop()
            raise
        return self

    def _make_proxy(self) -> Server:
        """Makes the proxy before the running nodes, which keep their addresses."""
        self._nodes = [host_port(address) for address in self.addresses]
        return Server(proxy=self._config(self._route), **self._of_proxy)

    def _config(self, proxy: bool | str | PathLike[str]) -> str:
        """Returns the configuration of the proxy."""
        return _native.cluster_proxy(None if isinstance(proxy, bool) else _read_route(proxy), self._nodes)

    def _node(self, number: int) -> Server:
        try:
            return self.servers[number]
        except IndexError:
            last = len(self.servers) - 1
            raise IndexError(f"number must be from 0 to {last}, the last node, got {number}") from None

    def _announce(self) -> None:
        """Lets each running node announce all running nodes."""
        running = [server for server in self.servers if server.running]
        nodes = [host_port(address) for server in running for address in server.tcp_addresses]
        for server in running:
            server.set_cluster_nodes(nodes)

    def kill(self, number: int) -> None:
        """Stops one node, as a crash of its process would.

        Its connections and its items are gone. The others no longer announce it. When the call
        returns, a proxy has noticed it: the next request for a key of the node fails at once, or
        takes another way by the route.

        Args:
            number: The index of the node.

        Raises:
            IndexError: There is no such node.
            TimeoutError: The proxy did not notice it in 5 seconds, for example because another node
                delays replies.

        Example:
            >>> with Cluster(2) as cluster:
            ...     cluster.kill(1)
            ...     [server.running for server in cluster]
            [True, False]
        """
        self._node(number).stop()
        self._announce()
        if self._proxy is not None and self._proxy.running and not self._proxy.settle(_PATIENCE):
            raise TimeoutError(f"the proxy did not notice the end of node {number} in {_PATIENCE:.0f} seconds")

    def revive(self, number: int) -> None:
        """Starts a killed node again, at its address and empty.

        When the call returns, the node serves the next request, also through a proxy. ``start()``
        of the node alone promises neither, and its handles no longer wait for the proxy.

        Args:
            number: The index of the node.

        Raises:
            IndexError: There is no such node.
            StartError: The node failed to start.
            ForkError: The cluster belongs to the parent process.
            TimeoutError: A worker of the proxy did not answer in a second.

        Example:
            >>> with Cluster(2) as cluster:
            ...     cluster.kill(1)
            ...     cluster.revive(1)
        """
        server = self._node(number)
        server.start()
        if self._proxy is not None and self._proxy.running:
            settle_after(server, self._proxy)
        self._announce()
        if self._proxy is not None and self._proxy.running:
            self._proxy.retry_backends()

    def reload_proxy(self, proxy: bool | str | PathLike[str] | None = None) -> None:
        """Has the proxy follow another configuration, or a file that has changed.

        Requests that come after this call follow it. A mistake changes nothing.

        Args:
            proxy: As that of the cluster. It counts for later reloads and starts, too. ``None`` is
                the one so far, such as a file that has changed.

        Raises:
            ConfigError: The configuration has a mistake, or ``proxy`` is ``False``.
            ClosedError: The cluster has no proxy, or does not run.
            ForkError: The cluster belongs to the parent process.

        Example:
            >>> with Cluster(2, proxy=True) as cluster:
            ...     cluster.reload_proxy('route = { failover = ["nodes", "next"] }')
        """
        running = self.proxy
        wanted = self._route if proxy is None else proxy
        _check_route(wanted)
        if wanted is False:
            raise ConfigError("proxy must not be False; to have no proxy, make another cluster")
        running.reload_proxy(self._config(wanted))
        self._route = wanted

    def stop(self) -> None:
        """Stops the proxy and all nodes.

        Raises:
            TimeoutError: A thread of a node did not end in 5 seconds.

        Example:
            >>> cluster = Cluster(2).start()
            >>> cluster.stop()
        """
        if self._proxy is not None:
            self._proxy.stop()
        for server in self.servers:
            server.stop()

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """The host and port of each node. A killed one comes back at its own.

        Raises:
            ClosedError: The cluster was not started, or listens only on Unix sockets.

        Example:
            >>> with Cluster(2) as cluster:
            ...     cluster.kill(1)
            ...     len(cluster.addresses)
            2
        """
        return [address_of(server) for server in self.servers]

    @property
    def proxy(self) -> Server:
        """The proxy, with its own faults, statistics and events.

        Raises:
            ClosedError: The cluster has no proxy, or was not started.

        Example:
            >>> with Cluster(2, proxy=True) as cluster:
            ...     cluster.proxy.running
            True
        """
        if self._proxy is None:
            raise ClosedError("the cluster has no proxy: make it with proxy=True, and start it")
        return self._proxy

    @property
    def address(self) -> tuple[str, int]:
        """The host and port of the proxy, which clients of the cluster connect to.

        Raises:
            ClosedError: The cluster has no proxy, or does not run.

        Example:
            >>> with Cluster(2, proxy=True) as cluster:
            ...     host, port = cluster.address
        """
        return self.proxy.address

    @property
    def clock(self) -> ClusterClock:
        """The clock of all nodes and of the proxy, which tests stop and move.

        Raises:
            ClosedError: The cluster was not started.
            ForkError: The cluster belongs to the parent process.

        Example:
            >>> with Cluster(2, proxy=True) as cluster, cluster.clock.freeze() as clock:
            ...     cluster[0].cache.set("key", "value", ttl=60)
            ...     clock.advance(60)
            ...     "key" in cluster[0].cache
            False
        """
        self._clocks()
        return ClusterClock(self._clocks)

    def _clocks(self) -> list[Clock]:
        servers = self.servers if self._proxy is None else [self._proxy, *self.servers]
        return [clock_of(server) for server in servers]

    def __len__(self) -> int:
        return len(self.servers)

    def __getitem__(self, number: int) -> Server:
        return self.servers[number]

    def __iter__(self) -> Iterator[Server]:
        return iter(self.servers)
