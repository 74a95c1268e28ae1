"""Several servers in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memcache_rs._server import Server, host_port
from memcache_rs.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Self


class Cluster:
    """Several servers, for clients that shard. Each announces all of them (auto discovery).

    Use it in a ``with`` block, or call :meth:`start` and :meth:`stop`. The nodes are in
    ``cluster.servers``, and ``cluster[0]`` is the first of them.

    Args:
        size: The number of nodes, at least 1.
        **settings: The settings of each :class:`Server`, except ``port``, ``cache`` and
            ``persist``.

    Raises:
        ConfigError: ``size`` is less than 1, or a setting is invalid.

    Example:
        >>> with Cluster(3) as cluster:
        ...     len(cluster.addresses)
        3
    """

    def __init__(self, size: int = 3, **settings: Any) -> None:
        if size < 1:
            raise ConfigError(f"size must be at least 1, got {size}")
        if settings.get("port"):
            raise ConfigError(f"port must be 0 for a cluster, got {settings['port']}; its nodes take free ports")
        if settings.get("cache") is not None:
            raise ConfigError("cache must be None for a cluster; each node makes a cache")
        if settings.get("persist") is not None:
            raise ConfigError("persist must be None for a cluster; its nodes cannot share a file")
        self.servers = [Server(**settings) for _ in range(size)]

    def start(self) -> Self:
        """Starts all nodes. If one fails, it stops the others.

        Returns:
            The cluster.

        Raises:
            ConfigError: A setting is invalid.
            StartError: A node failed to start.

        Example:
            >>> cluster = Cluster(2).start()
            >>> cluster.stop()
        """
        try:
            for server in self.servers:
                server.start()
            self._announce()
        except BaseException:
            self.stop()
            raise
        return self

    def _announce(self) -> None:
        """Lets each running node announce all running nodes."""
        running = [server for server in self.servers if server.running]
        nodes = [host_port(address) for server in running for address in server.tcp_addresses]
        for server in running:
            server.set_cluster_nodes(nodes)

    def stop_node(self, number: int) -> None:
        """Stops one node, as if it had failed. The others no longer announce it.

        Args:
            number: The index of the node.

        Raises:
            IndexError: There is no such node.
            ForkError: The cluster belongs to the parent process.

        Example:
            >>> with Cluster(2) as cluster:
            ...     cluster.stop_node(1)
            ...     [server.running for server in cluster]
            [True, False]
        """
        self.servers[number].stop()
        self._announce()

    def start_node(self, number: int) -> None:
        """Starts a stopped node again, at its address and empty.

        Args:
            number: The index of the node.

        Raises:
            IndexError: There is no such node.
            StartError: The node failed to start.

        Example:
            >>> with Cluster(2) as cluster:
            ...     cluster.stop_node(1)
            ...     cluster.start_node(1)
        """
        self.servers[number].start()
        self._announce()

    def stop(self) -> None:
        """Stops all nodes.

        Raises:
            TimeoutError: A thread of a node did not end in 5 seconds.

        Example:
            >>> cluster = Cluster(2).start()
            >>> cluster.stop()
        """
        for server in self.servers:
            server.stop()

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """The host and port of each node.

        Raises:
            ClosedError: A node does not run.

        Example:
            >>> with Cluster(2) as cluster:
            ...     cluster.addresses == [server.address for server in cluster]
            True
        """
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
