"""The kinds of arguments, for annotations."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime, timedelta
    from typing import Any, Literal

    from typing_extensions import Buffer

#: A key or a value.
Octets: TypeAlias = "str | Buffer"
#: How long an item lives.
TTL: TypeAlias = "float | timedelta | datetime | None"
#: How what is no bytes becomes bytes.
Serializer: TypeAlias = "Literal['pickle', 'json'] | tuple[Callable[[Any], Octets], Callable[[bytes], Any]]"
#: A kind of events.
Kind: TypeAlias = "Literal['fetchers', 'mutations', 'deletions', 'evictions', 'connevents']"
