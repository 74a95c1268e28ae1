"""The docstrings: complete, equal in the stub and at run time, and with examples that work.

The doc comments in bindings/python are the source of the docstrings of native classes. After a
change, build the package and run this file as a program: it copies them into the stub.
"""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import io
import os
import re
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import memcache_rs
from memcache_rs import Cache, Server, _native, errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STUB = Path(__file__).resolve().parents[1] / "memcache_rs" / "_native.pyi"

#: Members that raise nothing. All others have a section `Raises:`.
QUIET = {
    "Cache.closed",
    "Cache.prefix",
    "Server.running",
    "Watch.close",
}
#: Classes whose objects other methods return.
RETURNED = {"Watch", "Memoized"}
#: Classes that have only fields.
RECORDS = {"Damage", "HotKey", "Item", "ItemInfo", "Loaded", "Progress", "Saved"}


class Member:
    """A public class, function, method or property."""

    def __init__(self, name: str, thing: Any) -> None:
        self.name = name
        #: As `getattr_static` finds it.
        self.thing = thing
        self.doc = inspect.cleandoc(thing.__doc__ or "")

    def section(self, title: str) -> str:
        """Returns the text of a section such as `Args`, without its indentation."""
        found = re.search(rf"^{title}:\n((?:    .*\n|\n)+)", self.doc + "\n", re.M)
        return inspect.cleandoc("    \n" + found[1]) if found else ""

    def entries(self, title: str) -> list[str]:
        """Returns the names that a section lists."""
        return re.findall(r"^(\*{0,2}\w+): ", self.section(title), re.M)

    def parameters(self) -> list[str]:
        """Returns the parameters of a callable, without `self`."""
        if self.is_data():
            return []
        try:
            signature = inspect.signature(self.thing)
        except ValueError:
            # A native class without a constructor.
            return []
        stars: dict[Any, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
        names = [stars.get(one.kind, "") + one.name for one in signature.parameters.values()]
        return [name for name in names if name not in ("self", "cls")]

    def is_data(self) -> bool:
        """Returns whether this is a property, or a field of an item."""
        return inspect.isdatadescriptor(self.thing)


def is_member(thing: object) -> bool:
    kinds = (types.FunctionType, types.MethodDescriptorType, types.GetSetDescriptorType, property, classmethod)
    return isinstance(thing, kinds)


def members_of(owner: type) -> Iterator[Member]:
    """Yields a class and its public members, also those of base classes in this package."""
    yield Member(owner.__name__, owner)
    own = [base for base in owner.__mro__ if base.__module__.startswith("memcache_rs")]
    for name, thing in {name: thing for base in reversed(own) for name, thing in vars(base).items()}.items():
        if not name.startswith("_") and is_member(thing):
            yield Member(f"{owner.__name__}.{name}", getattr(thing, "__func__", thing))


CLASSES = [thing for name in memcache_rs.__all__ if inspect.isclass(thing := getattr(memcache_rs, name))]
MEMBERS = [
    pytest.param(member, id=member.name)
    for owner in CLASSES
    if not issubclass(owner, errors.MemcacheError)
    for member in members_of(owner)
]


@pytest.mark.parametrize("member", MEMBERS)
def test_a_docstring_is_complete(member: Member) -> None:
    first, _, _ = member.doc.partition("\n\n")
    sentence = re.split(r"(?<=[.])\s", first)[0]
    assert sentence.endswith("."), member.doc
    assert len(sentence.split()) <= 16, sentence
    is_field = member.is_data() and member.name.partition(".")[0] in RECORDS
    if member.name not in RETURNED:
        assert member.entries("Args") == member.parameters()
    if not member.is_data() and not inspect.isclass(member.thing):
        assert bool(member.section("Returns")) == (returned(member) != "None")
    if not is_field:
        assert ">>> " in member.section("Example")
    if not inspect.isclass(member.thing) and not is_field:
        assert bool(member.entries("Raises")) == (member.name not in QUIET)


def returned(member: Member) -> str:
    """Returns the annotation of what a function or a method returns."""
    if inspect.isfunction(member.thing):
        return str(inspect.signature(member.thing).return_annotation)
    node = dict(stub_nodes())[member.name]
    assert isinstance(node, ast.FunctionDef)
    return ast.unparse(node.returns) if node.returns else ""


@pytest.mark.parametrize("member", MEMBERS)
def test_an_example_works(member: Member) -> None:
    run_examples(member.name, member.doc, vars(memcache_rs))


@pytest.mark.parametrize(
    "name",
    [
        "memcache_rs",
        "memcache_rs.errors",
        "memcache_rs.pytest_plugin",
        "memcache_rs.adapters",
        "memcache_rs.adapters.cachelib",
        "memcache_rs.adapters.cachetools",
        "memcache_rs.adapters.django",
        "memcache_rs.adapters.dogpile",
    ],
)
def test_a_module_is_documented_and_its_examples_work(name: str) -> None:
    module = pytest.importorskip(name) if "adapters." in name else importlib.import_module(name)
    run_examples(name, module.__doc__ or "", vars(module))
    for thing in vars(module).values():
        if getattr(thing, "__module__", None) != name:
            continue
        # An adapter's method has the docstring of the interface, unless it adds to that.
        for member in members_of(thing) if inspect.isclass(thing) else [Member(thing.__name__, thing)]:
            if not member.name.startswith("_"):
                assert inspect.getdoc(thing), member.name
                run_examples(member.name, member.doc, vars(module))


def run_examples(name: str, doc: str, names: dict[str, Any]) -> None:
    test = doctest.DocTestParser().get_doctest(doc, dict(names), name, None, None)
    output: list[str] = []
    doctest.DocTestRunner(verbose=False).run(test, out=output.append)
    assert output == []


def test_exceptions_are_documented() -> None:
    for name in errors.__all__:
        assert (getattr(errors, name).__doc__ or "").endswith(".")


# The stub.


def stub_nodes() -> Iterator[tuple[str, ast.ClassDef | ast.FunctionDef]]:
    """Yields what the stub defines, by name, without special methods. Of overloads, the first."""
    seen = set()
    for node in ast.parse(STUB.read_text()).body:
        for one in [node, *node.body] if isinstance(node, ast.ClassDef) else [node]:
            if isinstance(one, (ast.ClassDef, ast.FunctionDef)) and not one.name.startswith("__"):
                name = one.name if one is node else f"{getattr(node, 'name', '')}.{one.name}"
                if name not in seen:
                    seen.add(name)
                    yield name, one


def native(name: str) -> str:
    """Returns the docstring of a native object at run time."""
    thing: Any = _native
    for part in name.split("."):
        thing = inspect.getattr_static(thing, part)
    thing = getattr(thing, "__func__", thing)
    return inspect.cleandoc(thing.__doc__ or "")


@pytest.mark.skipif(not STUB.exists(), reason="the stub is not beside the tests")
def test_the_stub_has_the_docstrings_of_the_native_module() -> None:
    different = [name for name, node in stub_nodes() if (ast.get_docstring(node) or "") != native(name)]
    assert different == [], "build the package, then run: python tests/test_docs.py"


def update() -> None:
    """Copies the docstrings of the native module into the stub."""
    lines = STUB.read_text().split("\n")
    for name, node in reversed(list(stub_nodes())):
        doc = native(name)
        text = ('r"""' if "\\" in doc else '"""') + doc + ("\n" if "\n" in doc else "") + '"""'
        quoted = [line and " " * (node.col_offset + 4) + line for line in text.split("\n")]
        body = node.body[0]
        first = min([body.lineno, *(one.lineno for one in getattr(body, "decorator_list", []))])
        last = body.end_lineno or first
        if isinstance(node, ast.ClassDef) and ast.get_docstring(node) is None:
            # Before the first member.
            lines[first - 1 : first - 1] = quoted
        elif first == node.end_lineno and lines[first - 1].endswith(" ..."):
            # After the signature, in place of the dots.
            lines[first - 1 : first] = [lines[first - 1].removesuffix(" ..."), *quoted]
        else:
            lines[first - 1 : last] = quoted
    STUB.write_text("\n".join(lines))


# The exceptions.

LARGE = bytes(2 << 20)
with Cache() as empty:
    empty.save(file := io.BytesIO())
    SNAPSHOT = file.getvalue()
GOOD: dict[str, Any] = {
    "key": "key",
    "keys": ["key"],
    "value": "1",
    "values": {"key": "1"},
    "cas": 1,
    "delta": 1,
    "initial": 1,
    "flags": 0,
    "ttl": 60,
    "stale_for": 30,
    "make": lambda: "1",
    "group": "",
    "prefix": "site1:",
    "serializer": "json",
    "limit": None,
}
BAD: list[tuple[str, Any]] = [
    *(("key", key) for key in ("", 1)),
    *(("keys", [key]) for key in ("", 1)),
    *(("value", value) for value in (LARGE, 1)),
    *(("values", {"key": value}) for value in (LARGE, 1)),
    *(("values", {key: "1"}) for key in ("", 1)),
    *(("ttl", ttl) for ttl in (-1, "1")),
    *(("stale_for", ttl) for ttl in (-1, "1")),
    *((name, number) for name in ("cas", "delta", "initial", "flags") for number in (-1, 1 << 64)),
    ("cas", 0),
    ("group", "none"),
    ("make", lambda: 1),
    *(("file", file) for file in (1, "/", "/nowhere/file")),
    *((name, "none of these") for name in ("codec", "ttl", "threads")),
    *((name, 0) for name in ("threads", "rate")),
    ("note", "n" * 5000),
]
CALLS = [member for member in members_of(Cache) if not inspect.isclass(member.thing) and member.name != "Cache.memoize"]


def use(member: Member, cache: Cache, **arguments: Any) -> None:
    """Calls a method with good arguments, but for those given, or reads a property."""
    name = member.name.partition(".")[2]
    if member.is_data():
        getattr(cache, name)
        return
    # The ttl of a load is a word.
    good = ({"file": io.BytesIO(SNAPSHOT)} if "file" in member.parameters() else GOOD) | arguments
    parameters = inspect.signature(member.thing).parameters.values()
    chosen = {one.name: good[one.name] for one in parameters if one.name in good}
    positional = [chosen.pop(one.name) for one in parameters if one.kind is one.POSITIONAL_ONLY and one.name in chosen]
    result = getattr(cache, name)(*positional, **chosen)
    if inspect.iscoroutine(result):
        import asyncio

        asyncio.run(result)


def undocumented(call: Callable[..., None], member: Member, *args: Any, **arguments: Any) -> str | None:
    """Returns the exception of a call, if the docstring lists neither it nor a base class."""
    try:
        call(member, *args, **arguments)
    except Exception as error:
        known = {kind.__name__ for kind in type(error).__mro__ if kind not in (Exception, errors.MemcacheError)}
        if not known.intersection(member.entries("Raises")):
            return f"{member.name}: {error!r}"
    return None


@pytest.mark.parametrize("member", [pytest.param(member, id=member.name) for member in CALLS])
def test_the_exceptions_of_bad_arguments_are_documented(member: Member) -> None:
    for name, value in BAD:
        if name in member.parameters():
            with Cache() as cache:
                if name == "value":
                    cache.set("key", "0")
                assert undocumented(use, member, cache, **{name: value}) is None


@pytest.mark.parametrize("member", [pytest.param(member, id=member.name) for member in CALLS])
def test_the_exceptions_of_a_closed_cache_are_documented(member: Member) -> None:
    cache = Cache()
    cache.close()
    if "ClosedError" in member.doc:
        with pytest.raises(errors.ClosedError):
            use(member, cache)
    assert undocumented(use, member, cache) is None


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_the_exceptions_in_a_child_of_a_fork_are_documented() -> None:
    with Cache() as cache, Server() as server:
        read, write = os.pipe()
        if os.fork() == 0:
            try:
                found = [undocumented(use, member, cache) for member in CALLS]
                found += [undocumented(call_server, member, server) for member in SERVER]
                os.write(write, "\n".join(filter(None, found)).encode())
                os._exit(0)
            finally:
                os._exit(1)
        os.close(write)
        with open(read) as file:
            assert file.read() == ""
        assert os.waitstatus_to_exitcode(os.wait()[1]) == 0


SERVER = [
    member
    for member in members_of(Server)
    if not inspect.isclass(member.thing) and member.name not in ("Server.start", "Server.stop")
]


def call_server(member: Member, server: Server) -> None:
    name = member.name.partition(".")[2]
    thing = getattr(server, name)
    if callable(thing) and not member.is_data():
        thing(*[["127.0.0.1:1"] for _ in range(name == "set_cluster_nodes")])


@pytest.mark.parametrize("member", [pytest.param(member, id=member.name) for member in SERVER])
def test_the_exceptions_of_a_stopped_server_are_documented(member: Member) -> None:
    assert undocumented(call_server, member, Server()) is None


if __name__ == "__main__":
    update()
