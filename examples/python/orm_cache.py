"""Keeps results of SQLAlchemy's ORM in a region of dogpile.cache.

    region = make_region().configure("memcache_rs", expiration_time=60)
    cache_queries(sessions, region)
    session.scalars(select(User).options(FromCache()))

Only statements with the option ``FromCache`` are kept. The objects belong to the session that asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.orm import UserDefinedOption
from sqlalchemy.orm.loading import merge_frozen_result

if TYPE_CHECKING:
    from dogpile.cache import CacheRegion
    from sqlalchemy.orm import ORMExecuteState, Session, sessionmaker


class FromCache(UserDefinedOption):
    """Keeps the result of a statement, for ``seconds`` or as long as the region says."""

    # Not for the statements that load attributes later.
    propagate_to_loaders = False

    def __init__(self, seconds: float | None = None) -> None:
        super().__init__()
        self.seconds = seconds


def cache_queries(sessions: sessionmaker[Session], region: CacheRegion) -> None:
    """Keeps the results of statements with the option ``FromCache``, for all these sessions."""

    @event.listens_for(sessions, "do_orm_execute")
    def execute(state: ORMExecuteState) -> Any:
        found = [option for option in state.user_defined_options if isinstance(option, FromCache)]
        if not state.is_select or not found:
            return None
        # Of all threads that ask, one runs the statement.
        frozen = region.get_or_create(key_of(state), lambda: state.invoke_statement().freeze(), found[0].seconds)
        return merge_frozen_result(state.session, state.statement, frozen, load=False)()


def key_of(state: ORMExecuteState) -> str:
    """Returns the key of a statement: what it returns, its text and its parameters."""
    statement: Any = state.statement
    # An object and its columns have the same text.
    returned = [str(part["expr"]) for part in statement.column_descriptions]
    compiled = statement.compile()
    return f"{returned} {compiled} {sorted({**compiled.params, **(state.parameters or {})}.items())!r}"
