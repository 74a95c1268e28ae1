"""Settings by name, as the cases of the core say."""

from __future__ import annotations

from pathlib import Path

import pytest

import memcache_rs
from memcache_rs import Cache, Server, _native

CASES = [
    line.split(" | ")
    for line in (Path(__file__).parents[2] / "core/tests/settings.txt").read_text().splitlines()
    if line and line[0] not in "#["
]


@pytest.mark.parametrize(("name", "value", "answer"), CASES)
def test_every_value_is_answered_as_the_cases_of_the_core_say(name: str, value: str, answer: str) -> None:
    if answer == "ok":
        _native.check_settings({name: value})
    else:
        with pytest.raises(memcache_rs.ConfigError) as raised:
            _native.check_settings({name: value})
        assert str(raised.value) == answer


def test_settings_reach_the_cache_and_the_server() -> None:
    with Cache(settings={"lru_crawler": False, "growth_factor": 1.5}) as cache:
        assert cache.stats("settings")["growth_factor"] == "1.50"
    settings = {"backlog": 7, "chunk_size": 64}
    with Server(settings=settings) as server:
        stats = server.stats("settings")
        assert (stats["tcp_backlog"], stats["chunk_size"]) == (7, 64)
    with pytest.raises(memcache_rs.ConfigError, match="there is no setting"):
        Cache(settings={"threads": 2})
    with pytest.raises(memcache_rs.OutOfRangeError, match="verbosity must be 0 to 3"):
        Server(settings={"verbosity": 4})
