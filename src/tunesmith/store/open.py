"""Opens the store: creates it, brings an older one up to date, refuses a newer one.

SQLite runs in WAL mode with `synchronous=FULL`, so that what was committed outlives a power cut, and a write begins
with BEGIN IMMEDIATE, so that it never fails halfway for want of the lock. PostgreSQL writes are SERIALIZABLE. On
both, a write therefore sees the store as if it were alone, and is done again when another one came first.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tunesmith.errors import MissingDependency, RunError, UserError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine
    from sqlalchemy.exc import DBAPIError

T = TypeVar("T")

FILE = "tunesmith.db"
"""The store of a workspace that names no other."""
VERSION = "0001"
"""The newest migration; `alembic_version` of a store that is up to date."""

ATTEMPTS = 8
"""How often a write is tried while others are in its way."""
_BUSY_MS = 5000
_SQLITE_BUSY, _SQLITE_LOCKED = 5, 6
_UPGRADE_LOCK = 7466839
"""The number of PostgreSQL's advisory lock that is held while tables are made."""
_SERIALIZATION, _DEADLOCK, _LOCK_TIMEOUT = "40001", "40P01", "55P03"


class Store:
    """An open store. Threads may share it.

    Args:
        engine: of SQLAlchemy.
        where: the store in words, without a password.
    """

    def __init__(self, engine: Engine, where: str) -> None:
        self.engine, self.where = engine, where

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection that sees the store as it is now, until the block ends."""
        with self.engine.connect() as connection:
            yield connection

    def write(self, work: Callable[[Connection], T]) -> T:
        """Does `work` in one transaction: all of it, or nothing.

        Args:
            work: may be called again when others were in the way, so it leaves nothing behind but what it writes.

        Raises:
            RunError: others were in the way each time.
        """
        options: dict[str, Any] = {"tunesmith_writes": True}
        if self.engine.dialect.name != "sqlite":
            options["isolation_level"] = "SERIALIZABLE"

        def once() -> T:
            with self.engine.connect().execution_options(**options) as connection, connection.begin():
                return work(connection)

        return self._patiently(once)

    def bring_up_to_date(self) -> None:
        """Makes the tables, or those that an older version lacks.

        Raises:
            UserError: a newer version wrote them.
            RunError: others were in the way each time.
        """
        # SQLite does not wait for the lock while it turns to WAL mode, which the first connection does.
        self._patiently(lambda: _bring_up_to_date(self))

    def _patiently(self, work: Callable[[], T]) -> T:
        """Does it again while others are in the way."""
        from sqlalchemy.exc import DBAPIError

        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(random.uniform(0.5, 1.0) * 0.02 * 2**attempt)
            try:
                return work()
            except DBAPIError as error:
                if not _in_the_way(error):
                    raise
        raise RunError(
            f"the store was busy {ATTEMPTS} times in a row", where=self.where, fix="give the command again in a moment"
        )

    def close(self) -> None:
        """Lets go of every connection."""
        self.engine.dispose()


def open_store(place: str | Path) -> Store:
    """Opens a store, and makes it where there is none yet.

    Args:
        place: a workspace, whose `tunesmith.db` it is, or a URL: `postgresql://user@host/name`, `sqlite:///file`.

    Raises:
        UserError: it is no store, it was written by a newer Tunesmith, or it cannot be reached.
        MissingDependency: its driver is not installed.
    """
    from sqlalchemy.exc import DBAPIError

    engine, where = _engine(place)
    store = Store(engine, where)
    try:
        store.bring_up_to_date()
    except DBAPIError as error:
        store.close()
        reason = str(error.orig).strip().splitlines()[0]
        raise UserError(f"the store cannot be opened: {reason}", where=where, fix="check the path or URL") from None
    except BaseException:
        store.close()
        raise
    return store


def _engine(place: str | Path) -> tuple[Engine, str]:
    import sqlalchemy
    from sqlalchemy.exc import ArgumentError

    if isinstance(place, Path) or "://" not in place:
        path = (Path(place) / FILE).absolute()
        url = sqlalchemy.URL.create("sqlite", database=str(path))
    else:
        try:
            url = sqlalchemy.make_url(place)
        except ArgumentError:
            raise UserError("is not the URL of a store", where="--store", fix=_URLS) from None
    backend = url.get_backend_name()
    if backend == "sqlite" and url.database not in (None, "", ":memory:"):
        path = Path(str(url.database)).absolute()
        _private(path)
        engine = sqlalchemy.create_engine(url.set(database=str(path)), connect_args={"timeout": _BUSY_MS / 1000})
        _prepare_sqlite(engine)
        return engine, str(path)
    where = url.render_as_string(hide_password=True)
    if backend not in ("postgresql", "postgres"):
        raise UserError("a store is kept in an SQLite file or PostgreSQL", where=where, fix=_URLS)
    try:
        import psycopg  # noqa: F401
    except ImportError as error:
        raise MissingDependency("psycopg", extra="postgres", needed_by=where) from error
    return sqlalchemy.create_engine(url.set(drivername="postgresql+psycopg"), pool_pre_ping=True), where


_URLS = "write postgresql://user@host/name or sqlite:///path/to/file.db"


def _private(path: Path) -> None:
    """Makes the file so that only its owner can read it; SQLite gives its companions the same rights."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise UserError(f"cannot be written: {error.strerror}", where=str(path), fix="check path and rights") from error


def _prepare_sqlite(engine: Engine) -> None:
    from sqlalchemy import event

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # transactions begin where we say, not where the driver thinks
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={_BUSY_MS}"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        writes = connection.get_execution_options().get("tunesmith_writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _in_the_way(error: DBAPIError) -> bool:
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None:
        return code & 0xFF in (_SQLITE_BUSY, _SQLITE_LOCKED)
    return getattr(error.orig, "sqlstate", None) in (_SERIALIZATION, _DEADLOCK, _LOCK_TIMEOUT)


def _bring_up_to_date(store: Store) -> None:
    with store.read() as connection:
        found = _version(connection)
    if found == VERSION:
        return
    if found is not None and found > VERSION:
        raise UserError(
            f"the store was written by a newer Tunesmith (version {found}; this one knows {VERSION})",
            where=store.where,
            fix="update Tunesmith: pip install -U tunesmith",
        )
    from tunesmith.store.migrations import upgrade

    with store.engine.connect().execution_options(tunesmith_writes=True) as connection, connection.begin():
        # Whoever opens it at the same moment waits here, and then finds nothing left to do.
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_UPGRADE_LOCK})")
        if _version(connection) != VERSION:
            upgrade(connection, VERSION)


def _version(connection: Connection) -> str | None:
    """The store's version; None where nothing is in it yet."""
    import sqlalchemy

    if not sqlalchemy.inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.execute(sqlalchemy.text("SELECT version_num FROM alembic_version")).scalar()
    return version
