"""Settings by name, as the cases of the core say."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

import memcache_rs
from memcache_rs import Cache, Server, _native

ROOT = Path(__file__).parents[2]
CASES = [
    line.split(" | ")
    for line in (ROOT / "core/tests/settings.txt").read_text().splitlines()
    if line and line[0] not in "#["
]
#: The values and the default of each setting, from the document that a test of the core compares
#: with the table.
ROWS = {
    name: (values, default)
    for name, values, default in re.findall(
        r"^\| `(\w+)` \| (.*?) \| (.*?) \|", (ROOT / "docs/settings.md").read_text(), re.M
    )
}
#: Parameters that the table does not have.
STRUCTURE = {
    *("self", "port", "host", "unix_socket", "unix_mask", "udp", "tls", "users", "auth", "cache"),
    *("cluster_nodes", "record_commands", "settings", "serializer"),
    # In the table, these are a str. Here they are any path.
    *("persist", "proxy"),
}
#: Defaults that differ from those of the table: a server for tests needs one worker.
OWN = {"threads": "1"}


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


def type_of(values: str) -> str:
    """Returns the type of a parameter for a setting that takes these values."""
    if values == "true or false":
        return "bool | None"
    if re.match(r"(a power of two|0 or )?[^a-z]*(\d|at least \d)", values):
        return "int | None"
    return "float | None" if values.startswith("a number") else "str | None"


def number(text: str) -> str:
    """Returns a default as the table writes it."""
    found = re.fullmatch(r"(\d+) ([KMG])iB", text)
    return str(int(found[1]) << 10 * " KMG".index(found[2])) if found else text.strip("`").lower()


@pytest.mark.parametrize("of", [Cache, Server])
def test_named_parameters_have_types_and_defaults_of_the_table(of: type) -> None:
    documented = dict(re.findall(r"^    (\w+): ((?:.*\n)(?:     .*\n)*)", f"{inspect.getdoc(of)}\n", re.M))
    seen = 0
    for name, parameter in inspect.signature(of.__init__).parameters.items():  # type: ignore[misc]
        if name in STRUCTURE:
            continue
        values, default = ROWS[name]
        assert (parameter.annotation, parameter.default) == (type_of(values), None), name
        text = " ".join(documented[name].split())
        seen += 1
        if of is Server and text.startswith("See :class:`Cache`."):
            continue
        found = re.search(r"The default is (.*?)[,.]", text)
        assert found, text
        assert number(found[1]) == OWN.get(name, default), name
    assert seen > 2


def test_the_stub_has_the_parameters_of_the_class() -> None:
    stub = ast.parse((Path(memcache_rs.__file__).parent / "_native.pyi").read_text())
    of = next(node for node in stub.body if isinstance(node, ast.ClassDef) and node.name == "Cache")
    new = next(node for node in of.body if isinstance(node, ast.FunctionDef) and node.name == "__new__")
    arguments = [*new.args.args[1:], *new.args.kwonlyargs]
    types = {argument.arg: ast.unparse(argument.annotation) for argument in arguments if argument.annotation}
    # The cache of another handle, and the prefix of a namespace of it.
    del types["_of"], types["_prefix"]
    parameters = inspect.signature(Cache.__init__).parameters
    assert types == {name: parameters[name].annotation for name in parameters if name != "self"}


def test_a_setting_lost_against_the_default_of_a_parameter() -> None:
    settings = {"threads": 2, "max_connections": 7, "memory_limit": 4 << 20, "evictions": False}
    with Server(settings=settings) as server:
        stats = server.stats("settings")
        assert (stats["num_threads"], stats["maxconns"], stats["maxbytes"]) == (2, 7, 4 << 20)
        assert stats["evictions"] == "off"
    with Server(settings=settings, threads=3, evictions=True) as server:
        stats = server.stats("settings")
        assert (stats["num_threads"], stats["evictions"]) == (3, "on")


def test_settings_of_tls_have_names() -> None:
    with Server(tls="test", settings={"tls_min_version": "1.3", "tls_session_cache": True}) as server:
        stats = server.stats("settings")
        assert (stats["ssl_min_version"], stats["ssl_session_cache"]) == ("tlsv1.3", "yes")
