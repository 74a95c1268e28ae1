"""The metrics of caches and servers, and the collector for prometheus_client."""

from __future__ import annotations

import re

import pytest

from memcache_rs import Cache, Server
from memcache_rs.errors import ClosedError

prometheus_client = pytest.importorskip("prometheus_client")

from prometheus_client import CollectorRegistry, generate_latest  # noqa: E402
from prometheus_client.openmetrics import exposition  # noqa: E402

from memcache_rs.adapters.prometheus import MemcacheCollector, _read  # noqa: E402


def numbers(text: str) -> dict[str, float]:
    """Returns the samples of a text by name and sorted labels, without the times of the process."""
    samples = {}
    for line in text.splitlines():
        if line and not line.startswith("#") and "cpu_seconds" not in line:
            series, value = line.rsplit(" ", 1)
            name, _, labels = series.partition("{")
            samples[name + "".join(sorted(re.findall(r'\w+="[^"]*"', labels)))] = float(value)
    return samples


def test_both_forms_say_the_same() -> None:
    with Cache() as cache, cache.clock.freeze():
        cache.set("a", "1")
        assert cache.get("b") is None
        plain, openmetrics = cache.metrics(), cache.metrics("openmetrics")
        assert numbers(plain) == numbers(openmetrics)
        assert numbers(plain)['memcached_commands_totalcommand="get"status="miss"'] == 1
        with pytest.raises(ValueError, match="'prometheus' or 'openmetrics', got \"xml\""):
            cache.metrics("xml")
    with pytest.raises(ClosedError):
        cache.metrics()


def test_prometheus_client_reads_openmetrics() -> None:
    with Server() as server:
        server.cache.set(b"\xff:\\", "1")
        families = {family.name: family for family in _read(server.metrics("openmetrics"))}
    assert families["memcached_commands"].type == "counter"
    assert families["memcached_uptime_seconds"].type == "unknown"
    assert families["memcached_current_items"].samples[0].value == 1


@pytest.mark.parametrize("generate", [generate_latest, exposition.generate_latest])
def test_a_collector_keeps_the_names(generate: object) -> None:
    assert callable(generate)
    with Server() as server, server.clock.freeze():
        server.cache.set("a", "1")
        registry = CollectorRegistry()
        registry.register(MemcacheCollector(server))
        assert numbers(generate(registry).decode()) == numbers(server.metrics())
        server.cache.set("b", "1")
        assert registry.get_sample_value("memcached_current_items") == 2


def test_a_collector_adds_labels_and_stands_alone() -> None:
    with Cache() as one, Cache() as other:
        registry = CollectorRegistry(auto_describe=True)
        registry.register(MemcacheCollector(one, {"cache": "one"}))
        assert registry.get_sample_value("memcached_up", {"cache": "one"}) == 1
        with pytest.raises(ValueError, match="Duplicated timeseries"):
            registry.register(MemcacheCollector(other))
