"""Rows of a database, by an SQLAlchemy URL: a table, or one SELECT. Nothing is ever written to it."""

from __future__ import annotations

import base64
import datetime
import json
import os
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from pydantic import model_validator

from tunesmith.data.read.places.copies import write_copy
from tunesmith.data.readers import Broken, Reader, Row
from tunesmith.errors import DataError, MissingDependency, did_you_mean

_AT_ONCE = 1000
_LONGEST_VALUE = 2**26
_DRIVERS = {"psycopg": "postgres", "psycopg2": "postgres"}
_QUOTED = re.compile(
    r"""'(?:[^']|'')*' | "(?:[^"]|"")*" | `[^`]*` | \$(\w*)\$.*?\$\1\$ | --[^\n]* | /\*.*?\*/""", re.DOTALL | re.VERBOSE
)
_WRITES = re.compile(
    r"\b(insert|update|delete|merge|drop|alter|create|truncate|replace|into|grant|attach|copy|call|vacuum)\b", re.I
)
_ONE_SELECT = "write one SELECT (or WITH ... SELECT); nothing that changes a database is run"


class Sql(Reader):
    """Rows of a database, `path: sqlite:///file.db` or `postgresql+psycopg://user@host/name`; only ever read."""

    suffixes: ClassVar[tuple[str, ...]] = (".db", ".sqlite", ".sqlite3")

    query: str | None = None
    """One SELECT; with ORDER BY its rows come in the same order every time."""
    table: str | None = None
    """A table or view, all of it; needed with neither query nor a single table."""
    password_from: str = "TUNESMITH_SQL_PASSWORD"
    """The environment variable that holds the password; a URL that holds one is refused."""

    @model_validator(mode="after")
    def _one_select(self) -> Sql:
        if self.query is not None:
            if self.table is not None:
                raise ValueError("give query or table, not both")
            refuse_other_than_select(self.query)
        return self

    def rows(self, path: Path) -> Iterator[Row | Broken]:
        """The rows of an SQLite file."""
        for number, values in enumerate(_rows(self, f"sqlite:///{path}", path.parent, path.name), 1):
            yield Row(values, f"{path.name}:{number}")


def refuse_other_than_select(query: str) -> None:
    """Refuses statements that are not one SELECT.

    Raises:
        ValueError: it is another statement, or several.
    """
    bare = _QUOTED.sub(" x ", query).strip().removesuffix(";").strip()
    if ";" in bare:
        raise ValueError(f"the query holds several statements; {_ONE_SELECT}")
    if not re.match(r"(select|with|values|table)\b", bare, re.I):
        raise ValueError(f"the query is no SELECT; {_ONE_SELECT}")
    if (found := _WRITES.search(bare)) is not None and not re.match(r"replace\s*\(", bare[found.start() :], re.I):
        raise ValueError(f"the query holds {found.group().upper()}; {_ONE_SELECT}")


def copy_rows(reader: Sql, url: str, folder: Path, shown: str) -> Path:
    """Copies what a reader reads from a database as JSON Lines.

    Args:
        url: as SQLAlchemy writes them; a relative path of SQLite starts from `folder`.
        shown: what errors call the database.

    Raises:
        DataError: it cannot be reached or read.
        MissingDependency: its driver is not installed.
    """
    lines = (json.dumps(values).encode() + b"\n" for values in _rows(reader, url, folder, shown))
    path = write_copy("rows.jsonl", lines, shown)
    if path.stat().st_size == 0:
        raise DataError("the query finds no row", where=shown, fix="widen it, or fill the table")
    return path


def _rows(reader: Sql, url: str, folder: Path, shown: str) -> Iterator[dict[str, Any]]:
    from sqlalchemy.exc import SQLAlchemyError

    password = os.environ.get(reader.password_from, "")
    try:
        engine = _engine(url, folder, password, shown)
        with engine.connect() as connection:
            connection = _read_only(connection)
            statement = _statement(reader, connection, shown)
            result = connection.execution_options(stream_results=True, yield_per=_AT_ONCE).execute(statement)
            names = list(result.keys())
            if len(set(names)) < len(names):
                raise DataError("two columns have one name", where=shown, fix="name them apart with AS in the query")
            for row in result:
                yield {name: _plain(value) for name, value in zip(names, row, strict=True)}
        engine.dispose()
    except ModuleNotFoundError as error:
        driver = str(error.name)
        extra = _DRIVERS.get(driver)
        if extra is None:
            fix = "install it, or name a driver that is there in the URL, such as mysql+pymysql://"
            raise DataError(f"needs the driver {driver!r}, which is not installed", where=shown, fix=fix) from error
        raise MissingDependency(driver, extra=extra, needed_by=f"data.sources: {shown}") from error
    except (SQLAlchemyError, OSError, ValueError) as error:
        cause = getattr(error, "orig", None) or error
        said = (str(cause) or type(cause).__name__).splitlines()[0]
        if said == "not authorized":
            said = "the query or view does more than read tables: it recurses, attaches a file or calls an extension"
        raise DataError(
            f"cannot be read: {said.replace(password, '***') if password else said}",
            where=shown,
            fix=f"check the URL, the query and your rights; a password is taken from {reader.password_from}",
        ) from (None if password else error)


def _engine(url: str, folder: Path, password: str, shown: str) -> Any:
    import sqlalchemy

    parsed = sqlalchemy.make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return sqlalchemy.create_engine(parsed.set(password=password) if password else parsed)
    path = Path(parsed.database or "").expanduser()
    path = path if path.is_absolute() else folder / path
    if not path.is_file():
        raise DataError("does not exist", where=shown, fix=f"looked for {path}; mend the path")

    def connect() -> Any:
        import sqlite3

        connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)
        # Text that is no UTF-8 becomes halves of characters, which are counted row by row.
        connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE)
        return connection

    return sqlalchemy.create_engine("sqlite://", creator=connect, poolclass=sqlalchemy.NullPool)


def _read_only(connection: Any) -> Any:
    """The connection in a transaction that cannot write, where its database has such."""
    dialect = connection.dialect.name
    if dialect == "postgresql":
        return connection.execution_options(postgresql_readonly=True)
    if dialect in ("mysql", "mariadb"):
        connection.exec_driver_sql("SET SESSION TRANSACTION READ ONLY")
    if dialect == "sqlite":
        connection.exec_driver_sql("PRAGMA query_only = ON")
        connection.exec_driver_sql("PRAGMA trusted_schema = OFF")
    return connection


def _statement(reader: Sql, connection: Any, shown: str) -> Any:
    import sqlalchemy

    if reader.query is not None:
        _only_select(connection)
        return sqlalchemy.text(re.sub(r"(?<![:\\]):(?=\w)", r"\:", reader.query.strip().removesuffix(";")))
    inspector = sqlalchemy.inspect(connection)
    schema, _, name = reader.table.rpartition(".") if reader.table else ("", "", "")
    tables = [*inspector.get_table_names(schema or None), *inspector.get_view_names(schema or None)]
    if reader.table is not None and reader.table in inspector.get_table_names():
        schema, name = "", reader.table
        tables = [name]
    if not name and len(tables) == 1:
        name = tables[0]
    if name not in tables:
        near = did_you_mean(name, tables) if name else ""
        what = f"has no table {name!r}{near}" if name else f"has {len(tables)} tables"
        raise DataError(
            what,
            where=shown,
            fix=f"write `format: {{kind: sql, table: NAME}}` with one of: {', '.join(tables[:20]) or 'none there is'}",
        )
    _only_select(connection)
    quoted = sqlalchemy.sql.quoted_name(name, quote=True)
    return sqlalchemy.select(sqlalchemy.text("*")).select_from(sqlalchemy.table(quoted, schema=schema or None))


def _only_select(connection: Any) -> None:
    """Lets SQLite run nothing but reading: a hostile file's views may neither attach others nor go round in circles."""
    if connection.dialect.name != "sqlite":
        return
    import sqlite3

    allowed = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION}

    def decide(action: int, *_: object) -> int:
        return sqlite3.SQLITE_OK if action in allowed else sqlite3.SQLITE_DENY

    connection.connection.dbapi_connection.set_authorizer(decide)


def _plain(value: Any) -> Any:
    """A value as JSON has it: dates as ISO texts, exact decimals as texts, bytes as an object that is no text."""
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() and abs(value) < 10**15 else str(value)
    if isinstance(value, (bytes, memoryview)):
        return {"base64": base64.b64encode(bytes(value)[:64]).decode()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return value if isinstance(value, (str, int, float, type(None))) else str(value)
