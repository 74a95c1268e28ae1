"""A collector for ``prometheus_client`` with the metrics of a cache or a server in this process.

Example:
    >>> from prometheus_client import CollectorRegistry, generate_latest
    >>> from memcache_rs import Cache
    >>> from memcache_rs.adapters.prometheus import MemcacheCollector
    >>> registry = CollectorRegistry()
    >>> registry.register(MemcacheCollector(Cache()))
    >>> b"memcached_current_items 0.0" in generate_latest(registry)
    True
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client.openmetrics import parser
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from prometheus_client import Metric

    from memcache_rs import Cache, Server


# prometheus_client does not declare its type.
_read: Callable[[str], Iterable[Metric]] = parser.text_string_to_metric_families  # pyright: ignore


class MemcacheCollector(Collector):
    """Collects the metrics of a cache or a server at each scrape.

    The names are those of Prometheus' memcached exporter, and further ones that begin with
    ``memcache_rs_``. Counters of the exporter whose names do not end in ``_total`` have the type
    ``unknown``, because ``prometheus_client`` would change the names.

    A registry takes one collector of this kind: it refuses a second one, whose names would be the
    same. A program with several caches gives each a registry of its own.

    Args:
        source: The cache or the server.
        labels: Labels that each sample gets.

    Example:
        >>> from memcache_rs import Server
        >>> with Server() as server:
        ...     names = {family.name for family in MemcacheCollector(server).collect()}
        >>> "memcached_commands" in names
        True
    """

    def __init__(self, source: Cache[Any] | Server, labels: Mapping[str, str] | None = None) -> None:
        self._source = source
        self._labels = dict(labels or {})

    def collect(self) -> Iterable[Metric]:
        """Yields the families of metrics as they are now.

        Raises:
            ClosedError: The cache is closed, or the server does not run.
        """
        for family in _read(self._source.metrics("openmetrics")):
            for sample in family.samples:
                sample.labels.update(self._labels)
            yield family
