"""The results of a database in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from dogpile.cache import make_region
from memcache_rs import Cache
from sqlalchemy import create_engine, event, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, sessionmaker
from sqlalchemy.pool import StaticPool

from orm_cache import FromCache, cache_queries

if TYPE_CHECKING:
    from collections.abc import Iterator


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Database:
    """A database, its cache, and the statements that reached it."""

    def __init__(self, cache: Cache) -> None:
        self.cache = cache
        self.engine = create_engine("sqlite://", poolclass=StaticPool)
        Base.metadata.create_all(self.engine)
        self.sessions = sessionmaker(self.engine)
        cache_queries(self.sessions, make_region().configure("memcache_rs", arguments={"cache": cache, "ttl": 60}))
        with self.sessions.begin() as session:
            session.add_all([User(id=1, name="Ada"), User(id=2, name="Grace")])
        self.seen: list[str] = []
        event.listen(self.engine, "before_cursor_execute", lambda *given: self.seen.append(given[2]))

    def names(self, most: int = 9, *, cached: bool = True) -> list[str]:
        statement = select(User).where(User.id <= most).order_by(User.id)
        with self.sessions() as session:
            users = session.scalars(statement.options(FromCache()) if cached else statement).all()
            assert all(user in session for user in users)
            return [user.name for user in users]


@pytest.fixture
def database() -> Iterator[Database]:
    with Cache() as cache, cache.clock.freeze():
        database = Database(cache)
        yield database
        database.engine.dispose()


def test_a_statement_runs_once(database: Database) -> None:
    assert database.names() == database.names() == ["Ada", "Grace"]
    assert len(database.seen) == 1
    database.cache.clock.advance(60)
    database.names()
    assert len(database.seen) == 2


def test_parameters_are_a_part_of_the_key(database: Database) -> None:
    assert (database.names(1), database.names(2), database.names(1)) == (["Ada"], ["Ada", "Grace"], ["Ada"])
    assert len(database.seen) == 2


def test_an_object_and_its_columns_have_keys_of_their_own(database: Database) -> None:
    with database.sessions() as session:
        users = session.scalars(select(User).options(FromCache())).all()
        rows = session.execute(select(User.id, User.name).options(FromCache())).all()
    assert [type(user) for user in users] == [User, User]
    assert [tuple(row) for row in rows] == [(1, "Ada"), (2, "Grace")]


def test_other_statements_run_each_time(database: Database) -> None:
    database.names(cached=False)
    database.names(cached=False)
    assert len(database.seen) == 2


def test_an_object_of_the_cache_can_be_changed(database: Database) -> None:
    database.names()
    with database.sessions.begin() as session:
        user = session.scalars(select(User).where(User.id <= 9).order_by(User.id).options(FromCache())).first()
        assert user is not None
        user.name = "Augusta"
    assert database.names() == ["Ada", "Grace"]
    database.cache.flush()
    assert database.names() == ["Augusta", "Grace"]
