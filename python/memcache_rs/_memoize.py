"""Functions whose results are kept: the wrapper, and the keys that it makes of calls."""

from __future__ import annotations

import itertools
import sys
import weakref
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, cast, overload

from memcache_rs._values import finished, octets

if TYPE_CHECKING:
    import inspect
    from collections.abc import Callable, Coroutine
    from datetime import timedelta

    from memcache_rs._cache import Cache
    from memcache_rs._typing import TTL, Octets, Serializer

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

_KEY_MAX = 250

#: How many functions of each name were decorated in this process.
_decorated: dict[str, itertools.count[int]] = {}


class Memoized(Generic[P, R_co]):
    """A function whose results are kept; see :meth:`Cache.memoize`."""

    __wrapped__: Callable[..., Any]
    __name__: str
    __qualname__: str

    def __init__(
        self,
        cache: Cache,
        function: Callable[..., Any],
        ttl: TTL,
        stale_for: float | timedelta | None,
        key: Callable[..., Octets] | None,
        serializer: tuple[Callable[[Any], Octets], Callable[[bytes], Any]],
    ) -> None:
        import functools
        import inspect

        if not callable(function):
            raise TypeError(
                f"memoize takes a function, not a {type(function).__name__}; put it below @{_kind(function)}"
            )
        functools.update_wrapper(self, function)
        self._cache = cache
        self._ttl = ttl
        self._stale_for = stale_for
        self._make_key = key
        self._dumps, self._loads = serializer
        self._name = _identity(function)
        try:
            self._signature: inspect.Signature | None = inspect.signature(function)
        except (TypeError, ValueError):
            # Some functions of C have none.
            self._signature = None
        #: The object whose method it is.
        self._bound: tuple[object, ...] = ()
        self._in_class = False

    def key(self, *args: P.args, **kwargs: P.kwargs) -> bytes:
        """Returns the key under which the result for these arguments is kept.

        Args:
            *args: Positional arguments of the function.
            **kwargs: Arguments by name. However a call is written, its key is the same.

        Returns:
            At most 250 bytes.

        Raises:
            TypeError: No key can be made of an argument, and ``memoize`` was given no ``key``.

        Example:
            >>> from memcache_rs import Cache
            >>> @Cache().memoize()
            ... def greet(name, language="en"):
            ...     return name
            >>> greet.key("Ada") == greet.key(name="Ada") == greet.key("Ada", "en")
            True
        """
        return self._key(self._bound + args, kwargs)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Calls the function, unless its result for these arguments is kept."""
        given = self._bound + args

        def make() -> Octets:
            return self._dumps(finished(self.__wrapped__(*given, **kwargs)))

        kept = self._cache.get_or_set(self._key(given, kwargs), make, self._ttl, stale_for=self._stale_for)
        return cast("R_co", self._loads(kept))

    def forget(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Removes the result for these arguments.

        Args:
            *args: Positional arguments of the function.
            **kwargs: Arguments by name. However the call was written, its result is removed.

        Returns:
            Whether there was one.

        Raises:
            TypeError: No key can be made of an argument, and ``memoize`` was given no ``key``.

        Example:
            >>> from memcache_rs import Cache
            >>> @Cache().memoize()
            ... def greet(name):
            ...     return name
            >>> greet("Ada"), greet.forget(name="Ada"), greet.forget("Ada")
            (b'Ada', True, False)
        """
        return self._cache.delete(self._key(self._bound + args, kwargs))

    def __set_name__(self, owner: type, name: str) -> None:
        self._in_class = True

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> Memoized[P, R_co]: ...
    @overload
    def __get__(
        self: Memoized[Concatenate[Any, Q], R], instance: object, owner: type | None = None
    ) -> Memoized[Q, R]: ...
    def __get__(self, instance: object, owner: type | None = None) -> Any:
        if instance is None:
            return self
        bound = object.__new__(type(self))
        bound.__dict__.update(self.__dict__)
        bound._bound = (instance,)
        bound._in_class = True
        return bound

    def _key(self, args: tuple[object, ...], kwargs: dict[str, Any]) -> bytes:
        if self._make_key is not None:
            return octets(self._make_key(*args, **kwargs))
        whole = f"{self._name}({self._arguments(args, kwargs)})".encode()
        if len(whole) <= _KEY_MAX:
            return whole
        import hashlib

        return self._name.encode()[: _KEY_MAX - 65] + b":" + hashlib.sha256(whole).hexdigest().encode()

    def _arguments(self, args: tuple[object, ...], kwargs: dict[str, Any]) -> str:
        """How a call is written into a key: the same for all spellings of a call, and different for other calls."""
        try:
            bound = self._signature.bind(*args, **kwargs).arguments if self._signature is not None else None
        except TypeError:
            # The function takes what it does not declare, or fails when it is called, in words of its own.
            bound = None
        if self._signature is None or bound is None:
            return f"*{_stable(args)}{_named(kwargs)}"
        parts: list[str] = []
        for name, parameter in self._signature.parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD:
                parts.append(_named(bound.get(name, {})))
                continue
            value = bound.get(name, () if parameter.kind is parameter.VAR_POSITIONAL else parameter.default)
            if self._in_class and not parts and parameter.kind is parameter.VAR_POSITIONAL and value:
                parts.append(f"{_of_object(value[0])},{_stable(value[1:])}")
                continue
            try:
                parts.append(_stable(value))
            except TypeError:
                if value is parameter.default:
                    # Of whatever type: it is the same object in each call.
                    parts.append("...")
                elif self._in_class and not parts:
                    parts.append(_of_object(value))
                else:
                    raise
        return ",".join(parts)


class AsyncMemoized(Memoized[P, R_co]):
    """The same for an ``async def``: a call returns a coroutine."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        # So that frameworks see what a call returns.
        import asyncio
        import inspect

        if sys.version_info >= (3, 12):
            inspect.markcoroutinefunction(self)
        else:
            self._is_coroutine = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        return cast("R_co", self._call(self._bound + args, kwargs))

    async def _call(self, args: tuple[object, ...], kwargs: dict[str, Any]) -> Any:
        async def make() -> Octets:
            return self._dumps(await self.__wrapped__(*args, **kwargs))

        key = self._key(args, kwargs)
        return self._loads(await self._cache.aget_or_set(key, make, self._ttl, stale_for=self._stale_for))


class Decorator(Protocol):
    """What ``memoize`` with a serializer returns."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Memoized[P, Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Memoized[P, R]: ...


class BytesDecorator(Protocol):
    """What ``memoize`` without a serializer returns."""

    @overload
    def __call__(
        self, function: Callable[P, Coroutine[Any, Any, Octets]], /
    ) -> Memoized[P, Coroutine[Any, Any, bytes]]: ...
    @overload
    def __call__(self, function: Callable[P, Octets], /) -> Memoized[P, bytes]: ...


def is_async(function: object) -> bool:
    """Whether calls of a function return coroutines."""
    import inspect

    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


def serializer_of(named: Serializer | None) -> tuple[Callable[[Any], Octets], Callable[[bytes], Any]]:
    """Returns the two functions of a serializer."""
    if named is None:
        return octets, bytes
    if named == "json":
        import json

        return json.dumps, json.loads
    if named == "pickle":
        import pickle

        return pickle.dumps, pickle.loads
    if isinstance(named, str) or len(named) != 2:
        raise TypeError(f'a serializer is "json", "pickle" or a pair of functions, not {named!r}')
    return named


def _identity(function: object) -> str:
    """A name that no other function gets: closures and lambdas have the same names, and are not the same."""
    module = getattr(function, "__module__", "")
    name = getattr(function, "__qualname__", type(function).__qualname__)
    # Whatever the name is, the signs that a key adds to it are not in it.
    plain = "".join(sign if sign.isalnum() or sign in "._<>" else f"%{ord(sign):x};" for sign in f"{module}.{name}")
    number = next(_decorated.setdefault(plain, itertools.count(1)))
    return plain if number == 1 else f"{plain}#{number}"


def _kind(function: object) -> str:
    return type(function).__name__


def _stable(value: object) -> str:
    """How an argument is written into a key: the same in every process, and different for what is not equal.

    Subclasses may compare and print as they like, so no key is made of them. Members of an enumeration and named
    tuples are known by their classes.
    """
    kind = type(value)
    if kind is int:
        # Python does not write numbers of thousands of digits in decimal.
        return repr(value) if -(1 << 64) < cast("int", value) < 1 << 64 else hex(cast("int", value))
    if value is None or kind in (bool, float, complex, str, bytes):
        return repr(value)
    if kind is tuple:
        return f"({''.join(f'{_stable(part)},' for part in cast('tuple[object, ...]', value))})"
    from enum import Enum

    if isinstance(value, Enum) and _is_importable(kind):
        # Some combinations of flags have no name.
        member = cast("object", value.name) or cast("object", value.value)
        return f"<{kind.__module__!r}{kind.__qualname__!r}{_stable(member)}>"
    if isinstance(value, tuple) and hasattr(kind, "_fields") and _is_importable(kind):
        return f"<{kind.__module__!r}{kind.__qualname__!r}{_stable(tuple(cast('tuple[object, ...]', value)))}>"
    raise TypeError(
        f"no key can be made of a {kind.__name__}; give memoize a function `key` that makes one of the arguments"
    )


def _named(arguments: dict[str, Any]) -> str:
    """The same for arguments by name."""
    named = sorted((str.__str__(name), value) for name, value in arguments.items())
    return "{" + "".join(f"{name!r}:{_stable(value)}," for name, value in named) + "}"


def _is_importable(kind: type) -> bool:
    """Whether a class is the one of its name: then the name tells it from all others."""
    found: object = sys.modules.get(kind.__module__)
    for name in kind.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is kind


#: Numbers of objects whose methods are memoized, by their addresses.
_objects: dict[int, tuple[weakref.ref[object], int]] = {}
_numbers = itertools.count(1)


def _of_object(thing: object) -> str:
    """How an object is written into keys of its methods: a number that no other object gets, now or later."""
    try:
        return _stable(thing)
    except TypeError:
        pass
    place = id(thing)

    def gone(which: weakref.ref[object]) -> None:
        known = _objects.get(place)
        if known is not None and known[0] is which:
            del _objects[place]

    try:
        made = (weakref.ref(thing, gone), next(_numbers))
    except TypeError:
        raise TypeError(
            f"a {type(thing).__name__} takes no weak references, so its methods need a `key`: a function that makes "
            "one of self and the arguments"
        ) from None
    known = _objects.setdefault(place, made)
    if known[0]() is not thing:
        _objects[place] = known = made
    return f"@{known[1]}"
