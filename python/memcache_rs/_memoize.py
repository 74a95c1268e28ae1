"""Functions whose results are cached: the wrapper, and the keys it makes from arguments."""

from __future__ import annotations

import itertools
import sys
import weakref
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, cast, overload

from memcache_rs._values import to_bytes

if TYPE_CHECKING:
    import inspect
    from collections.abc import Callable, Coroutine
    from datetime import timedelta

    from memcache_rs._cache import Cache
    from memcache_rs._typing import TTL, BytesLike

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
V = TypeVar("V")
R_co = TypeVar("R_co", covariant=True)

_KEY_MAX = 250

#: Counts the functions of each name that were decorated in this process.
_decorated: dict[str, itertools.count[int]] = {}


class Memoized(Generic[P, R_co]):
    """A function whose results are cached. :meth:`Cache.memoize` makes it.

    Calling it returns the cached result, or calls the function.

    Example:
        >>> cache = Cache()
        >>> @cache.memoize(ttl=60)
        ... def greet(name):
        ...     return f"Hello {name}"
        >>> greet("Ada"), greet.cache_delete("Ada")
        (b'Hello Ada', True)
    """

    __wrapped__: Callable[..., Any]
    __name__: str
    __qualname__: str

    def __init__(
        self,
        cache: Cache[Any],
        function: Any,
        ttl: TTL,
        stale_for: float | timedelta | None,
        key: Callable[..., BytesLike] | None,
    ) -> None:
        import functools
        import inspect

        #: Whether it was put above ``@classmethod``.
        self._of_class = issubclass(type(function), classmethod)
        if self._of_class:
            function = function.__func__
        if not callable(function) or issubclass(type(function), staticmethod):
            raise TypeError(
                f"memoize must decorate a function, got a {type(function).__name__}; "
                f"put it below @{type(function).__name__}"
            )
        functools.update_wrapper(self, function)
        self._cache = cache
        #: Most bytes of a key.
        self._room = _KEY_MAX - len(cache.prefix)
        self._ttl = ttl
        self._stale_for = stale_for
        self._make_key = key
        self._name = _identity(function)
        try:
            self._signature: inspect.Signature | None = inspect.signature(function)
        except (TypeError, ValueError):
            # Some built-in functions have no signature.
            self._signature = None
        #: The object, if this is a bound method.
        self._bound: tuple[object, ...] = ()
        self._in_class = False

    def cache_key(self, *args: P.args, **kwargs: P.kwargs) -> bytes:
        """Returns the key of the result for these arguments.

        Args:
            *args: Positional arguments of the function.
            **kwargs: Keyword arguments. All spellings of a call have the same key.

        Returns:
            The key, at most 250 bytes.

        Raises:
            TypeError: The arguments do not fit the function, or one has a type that cannot be part
                of a key. Pass ``key`` to ``memoize``.

        Example:
            >>> @Cache().memoize()
            ... def greet(name, language="en"):
            ...     return name
            >>> greet.cache_key("Ada") == greet.cache_key(name="Ada", language="en")
            True
        """
        return self._fitting_key(args, kwargs)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Returns the cached result for these arguments, or calls the function."""
        given = self._bound + args

        def make() -> R_co:
            return cast("R_co", self.__wrapped__(*given, **kwargs))

        found = self._cache.get_or_set(self._key(given, kwargs), make, self._ttl, stale_for=self._stale_for)
        return cast("R_co", found)

    def cache_delete(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Removes the result for these arguments.

        Args:
            *args: Positional arguments of the function.
            **kwargs: Keyword arguments. All spellings of a call name the same result.

        Returns:
            ``True`` if the result was removed, ``False`` if there is none.

        Raises:
            TypeError: The arguments do not fit the function, or one has a type that cannot be part
                of a key. Pass ``key`` to ``memoize``.
            InvalidKeyError: The ``key`` of ``memoize`` returned an invalid key.
            ClosedError: The cache is closed.
            ForkError: The cache belongs to the parent process.

        Example:
            >>> @Cache().memoize()
            ... def greet(name):
            ...     return name
            >>> greet("Ada"), greet.cache_delete(name="Ada"), greet.cache_delete("Ada")
            (b'Ada', True, False)
        """
        return self._cache.delete(self._fitting_key(args, kwargs))

    def cache_clear(self) -> None:
        """Removes all results of the function, in constant time.

        For a method these are the results for all objects.

        Raises:
            TypeError: ``memoize`` got a ``key``. Give the function a namespace of its own, and
                clear that.
            ClosedError: The cache is closed.
            ForkError: The cache belongs to the parent process.

        Example:
            >>> @Cache().memoize()
            ... def greet(name):
            ...     return name
            >>> greet("Ada"), greet.cache_clear(), greet.cache_delete("Ada")
            (b'Ada', None, False)
        """
        if self._make_key is not None:
            raise TypeError(
                "cache_clear must not be called on a function with `key`, whose keys may have any prefix; "
                "use cache.namespace(...).memoize(...) and clear the namespace"
            )
        # These signs are not part of a name.
        self._cache.flush_prefix(self._name + "(")
        self._cache.flush_prefix(self._head() + b":")

    #: The earlier name of :meth:`cache_delete`.
    forget = cache_delete

    def __set_name__(self, owner: type, name: str) -> None:
        self._in_class = True

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> Memoized[P, R_co]: ...
    @overload
    def __get__(
        self: Memoized[Concatenate[Any, Q], R], instance: object, owner: type | None = None
    ) -> Memoized[Q, R]: ...
    def __get__(self, instance: object, owner: type | None = None) -> Any:
        # `classmethod.__get__` of Python 3.10 to 3.12 passes the class as `instance`.
        first = instance if not self._of_class else type(instance) if owner is None else owner
        if first is None:
            return self
        bound = object.__new__(type(self))
        bound.__dict__.update(self.__dict__)
        bound._bound = (first,)
        bound._in_class = True
        return bound

    def _fitting_key(self, args: tuple[object, ...], kwargs: dict[str, Any]) -> bytes:
        """Returns the key of a call. Raises :class:`TypeError` if there is no such call."""
        given = self._bound + args
        if self._signature is not None:
            self._signature.bind(*given, **kwargs)
        return self._key(given, kwargs)

    def _key(self, args: tuple[object, ...], kwargs: dict[str, Any]) -> bytes:
        if self._make_key is not None:
            return to_bytes(self._make_key(*args, **kwargs))
        whole = f"{self._name}({self._arguments(args, kwargs)})".encode()
        if len(whole) <= self._room:
            return whole
        import hashlib

        return self._head() + b":" + hashlib.sha256(whole).hexdigest().encode()

    def _head(self) -> bytes:
        """Returns the beginning of the keys of long arguments, which no other function has."""
        name, most = self._name.encode(), self._room - 65
        if len(name) <= most:
            return name
        import hashlib

        return name[: max(most - 17, 0)] + b"~" + hashlib.sha256(name).hexdigest()[:16].encode()

    def _arguments(self, args: tuple[object, ...], kwargs: dict[str, Any]) -> str:
        """Writes the arguments into a key, in the same way for all spellings of a call."""
        try:
            bound = self._signature.bind(*args, **kwargs).arguments if self._signature is not None else None
        except TypeError:
            # The call does not fit the signature. The function itself accepts or refuses it.
            bound = None
        if self._signature is None or bound is None:
            return f"*{stable(args)}{_named(kwargs)}"
        parts: list[str] = []
        for name, parameter in self._signature.parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD:
                parts.append(_named(bound.get(name, {})))
                continue
            value = bound.get(name, () if parameter.kind is parameter.VAR_POSITIONAL else parameter.default)
            if self._in_class and not parts and parameter.kind is parameter.VAR_POSITIONAL and value:
                parts.append(f"{_of_object(value[0])},{stable(value[1:])}")
                continue
            try:
                parts.append(stable(value))
            except TypeError:
                if value is parameter.default:
                    # The default may have any type, because it is the same object in each call.
                    parts.append("...")
                elif not parts and (self._in_class or isinstance(value, type)):
                    # Since Python 3.13, `classmethod` passes the class as an argument.
                    parts.append(_of_object(value))
                else:
                    raise
        return ",".join(parts)


class AsyncMemoized(Memoized[P, R_co]):
    """A memoized ``async def``. Calling it returns a coroutine."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        # Frameworks check whether a function is a coroutine function.
        import asyncio
        import inspect

        if sys.version_info >= (3, 12):
            inspect.markcoroutinefunction(self)
        else:
            self._is_coroutine = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        return cast("R_co", self._call(self._bound + args, kwargs))

    async def _call(self, args: tuple[object, ...], kwargs: dict[str, Any]) -> Any:
        key = self._key(args, kwargs)

        async def make() -> Any:
            return await self.__wrapped__(*args, **kwargs)

        return await self._cache.aget_or_set(key, make, self._ttl, stale_for=self._stale_for)


class Decorator(Protocol):
    """The decorator that ``memoize`` returns if it has a serializer."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Memoized[P, Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Memoized[P, R]: ...


class ValueDecorator(Protocol[V]):
    """The decorator that ``memoize`` returns without a serializer, for values of the cache."""

    @overload
    def __call__(
        self, function: Callable[P, Coroutine[Any, Any, V | BytesLike]], /
    ) -> Memoized[P, Coroutine[Any, Any, V]]: ...
    @overload
    def __call__(self, function: Callable[P, V | BytesLike], /) -> Memoized[P, V]: ...


def is_async(function: Any) -> bool:
    """Returns whether calls of a function return coroutines."""
    import inspect

    if issubclass(type(function), classmethod):
        function = function.__func__
    call = getattr(function, "__call__", None)  # noqa: B004
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def _identity(function: object) -> str:
    """Returns a name that no other function has. Lambdas, for example, share a name."""
    module = getattr(function, "__module__", "")
    name = getattr(function, "__qualname__", type(function).__qualname__)
    # The characters that a key adds to the name must not occur in it.
    plain = "".join(sign if sign.isalnum() or sign in "._<>" else f"%{ord(sign):x};" for sign in f"{module}.{name}")
    number = next(_decorated.setdefault(plain, itertools.count(1)))
    return plain if number == 1 else f"{plain}#{number}"


def stable(value: object) -> str:
    """Writes an argument into a key: the same text in every process, another for unequal values.

    Subclasses may define their own comparison and ``repr``, so they are refused. Enum members and
    named tuples are written with their class.
    """
    kind = type(value)
    if kind is int:
        # Python refuses to write numbers of thousands of digits in decimal.
        return repr(value) if -(1 << 64) < cast("int", value) < 1 << 64 else hex(cast("int", value))
    if value is None or kind in (bool, float, complex, str, bytes):
        return repr(value)
    if kind is tuple:
        return f"({''.join(f'{stable(part)},' for part in cast('tuple[object, ...]', value))})"
    from enum import Enum

    if isinstance(value, Enum) and _is_importable(kind):
        # Some combinations of enum flags have no name.
        member = cast("object", value.name) or cast("object", value.value)
        return f"<{kind.__module__!r}{kind.__qualname__!r}{stable(member)}>"
    if isinstance(value, tuple) and hasattr(kind, "_fields") and _is_importable(kind):
        return f"<{kind.__module__!r}{kind.__qualname__!r}{stable(tuple(cast('tuple[object, ...]', value)))}>"
    raise TypeError(
        "arguments must be str, bytes, numbers, None, enum members or tuples of these, "
        f"got {kind.__name__}; pass memoize a `key` that makes a key from the arguments"
    )


def _named(arguments: dict[str, Any]) -> str:
    """Writes keyword arguments into a key."""
    named = sorted((str.__str__(name), value) for name, value in arguments.items())
    return "{" + "".join(f"{name!r}:{stable(value)}," for name, value in named) + "}"


def _is_importable(kind: type) -> bool:
    """Returns whether a class is found under its name, so that the name identifies it."""
    found: object = sys.modules.get(kind.__module__)
    for name in kind.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is kind


#: The numbers of objects with memoized methods, by address.
_objects: dict[int, tuple[weakref.ref[object], int]] = {}
_numbers = itertools.count(1)


def _of_object(thing: object) -> str:
    """Writes an object into the keys of its methods: a number that no other object ever gets."""
    try:
        return stable(thing)
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
            f"objects with memoized methods must allow weak references, got a {type(thing).__name__}; "
            "pass memoize a `key` that makes a key from self and the arguments"
        ) from None
    known = _objects.setdefault(place, made)
    if known[0]() is not thing:
        _objects[place] = known = made
    return f"@{known[1]}"
