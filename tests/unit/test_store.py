"""The store: made, opened again, older and newer, many writers at once, SQLite and a real PostgreSQL."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from tests.unit.review_fixture import made

from tunesmith.errors import RunError, UserError
from tunesmith.evaluate.review.stored import Answer, filled, save, settle
from tunesmith.store import open as opening
from tunesmith.store.migrations import configuration
from tunesmith.store.open import FILE, VERSION, Store, open_store
from tunesmith.store.tables import METADATA, reviews

PLACES = ("/usr/lib/postgresql/*/bin", "/usr/local/bin", "/usr/bin")


def _program(name: str) -> str | None:
    found = [str(path) for place in PLACES for path in sorted(Path("/").glob(f"{place[1:]}/{name}"))]
    return next(iter(found), shutil.which(name))


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of an empty database: of TUNESMITH_TEST_POSTGRES, or of a server started for these tests."""
    if url := os.environ.get("TUNESMITH_TEST_POSTGRES"):
        yield url
        return
    initdb, server = _program("initdb"), _program("postgres")
    if initdb is None or server is None:
        pytest.skip("no PostgreSQL here (apt-get install postgresql), and TUNESMITH_TEST_POSTGRES is not set")
    # Not a folder of pytest's: only its owner may enter those, and a socket's path must be short.
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    as_other = []
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        if shutil.which("setpriv") is None:
            pytest.skip("PostgreSQL does not run as root, and there is no setpriv to be somebody else")
        os.chown(folder, 65534, 65534)
        as_other = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    subprocess.run(
        [*as_other, initdb, "-D", str(folder / "data"), "-U", "t", "-A", "trust", "--no-sync"], check=True, **quiet
    )
    process = subprocess.Popen(
        [*as_other, server, "-D", str(folder / "data"), "-p", str(port), "-k", str(folder), "-h", "127.0.0.1"], **quiet
    )
    try:
        url = f"postgresql://t@127.0.0.1:{port}/postgres"
        engine = sa.create_engine(url.replace("://", "+psycopg://"), poolclass=sa.NullPool)
        for _ in range(200):
            try:
                engine.connect().close()
                break
            except sa.exc.OperationalError:
                threading.Event().wait(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(20)
        assert process.stderr is not None
        process.stderr.close()
        shutil.rmtree(folder)


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "sqlite":
        opened = open_store(tmp_path)
    else:
        opened = open_store(request.getfixturevalue("postgres"))
        opened.write(lambda connection: connection.execute(reviews.delete()))
    yield opened
    opened.close()


def added(connection: sa.Connection, run: str, number: int = 1) -> None:
    connection.execute(
        reviews.insert().values(run=run, number=number, created_at=0.0, rubric={}, plan={"a\0": "\ud83d"})
    )


def count(store: Store) -> int:
    with store.read() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(reviews)).scalar_one())


def test_the_migrations_make_what_the_tables_say(store: Store) -> None:
    with store.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), METADATA) == []


def test_the_newest_migration_is_the_version() -> None:
    assert ScriptDirectory.from_config(configuration()).get_heads() == [VERSION]


def test_it_keeps_what_was_written_and_any_text(store: Store) -> None:
    store.write(lambda connection: added(connection, "triage/1"))
    with store.read() as connection:
        assert connection.execute(sa.select(reviews.c.plan)).scalar_one() == {"a\0": "\ud83d"}


def test_a_write_is_whole_or_nothing(store: Store) -> None:
    def work(connection: sa.Connection) -> None:
        added(connection, "triage/1")
        raise KeyError("halfway")

    with pytest.raises(KeyError):
        store.write(work)
    assert count(store) == 0


def test_writers_at_once_lose_nothing(store: Store) -> None:
    """Each takes the next number: read, then write. A write that is not alone would take a number twice."""

    def work(connection: sa.Connection) -> None:
        highest = connection.execute(sa.select(sa.func.max(reviews.c.number))).scalar() or 0
        added(connection, "triage/1", highest + 1)

    def many() -> None:
        for _ in range(5):
            store.write(work)

    threads = [threading.Thread(target=many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count(store) == 20


def test_a_review_lives_in_it(store: Store) -> None:
    """Made, filled by three at once, settled: on both databases."""
    other, review = made(store.engine.url.render_as_string(hide_password=False))
    zoe = filled(other, review).people[-1]

    def rates(person: int) -> None:
        for revision in (1, 2, 3):
            for item in range(1, 7):
                marks = {"helpful-a": str(revision), "preference": "tie"}
                save(other, review, Answer(item, person, marks, f"note\u202e {revision}", 1.0, revision))

    threads = [threading.Thread(target=rates, args=(person,)) for person in (1, 2, 3, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    settle(other, review, zoe, 1, "helpful-a", "5")
    found = filled(store, review)
    assert [answer.revision for answer in found.answers] == [3] * 18
    assert found.settled[1, "helpful-a"].by == "zoe" and found.answers[0].note == "note\u202e 3"
    other.close()


def test_a_file_only_its_owner_reads_in_wal_and_full(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    with store.read() as connection:
        said = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")]
    assert said == ["wal", 2]
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    store.close()


def test_a_store_that_stays_busy_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "ATTEMPTS", 2)
    monkeypatch.setattr(opening, "_BUSY_MS", 10)
    store = open_store(tmp_path)
    other = open_store(tmp_path)
    with pytest.raises(RunError, match="busy 2 times"):
        store.write(lambda _: other.write(lambda connection: added(connection, "triage/1")))
    store.close()
    other.close()


def test_opened_by_many_at_once_it_is_made_once(tmp_path: Path) -> None:
    failed: list[BaseException] = []

    def opened() -> None:
        try:
            open_store(tmp_path).close()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=opened) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


def test_a_newer_store_is_refused(store: Store) -> None:
    say = "UPDATE alembic_version SET version_num = '{}'"
    store.write(lambda connection: connection.exec_driver_sql(say.format("9999")))
    place = store.engine.url.render_as_string(hide_password=False)
    try:
        with pytest.raises(UserError, match=r"newer Tunesmith .version 9999") as caught:
            open_store(place)
        assert "update Tunesmith" in str(caught.value)
    finally:
        store.write(lambda connection: connection.exec_driver_sql(say.format(VERSION)))


def test_an_older_store_is_brought_up_to_date(tmp_path: Path) -> None:
    """A store of before the first migration: Alembic's table stands there, empty of tables of ours."""
    engine = sa.create_engine(f"sqlite:///{tmp_path / FILE}")
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        connection.exec_driver_sql("CREATE TABLE mine (kept TEXT)")
        connection.exec_driver_sql("INSERT INTO mine VALUES ('yes')")
    engine.dispose()
    store = open_store(tmp_path)
    with store.read() as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == VERSION
        assert connection.exec_driver_sql("SELECT kept FROM mine").scalar() == "yes"
    assert count(store) == 0
    store.close()


def test_what_is_no_store_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("these are my notes, please keep them " * 30)
    with pytest.raises(UserError, match="cannot be opened: file is not a database"):
        open_store(tmp_path)
    assert (tmp_path / FILE).read_text().startswith("these are my notes")


@pytest.mark.parametrize("place", ["mysql://host/name", "http://host", "sqlite://", "nonsense://"])
def test_other_urls_are_refused(place: str) -> None:
    with pytest.raises(UserError, match=r"is kept in|is not the URL") as caught:
        open_store(place)
    assert "postgresql://" in str(caught.value)


def test_a_password_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        open_store("postgresql://me:hunter2@127.0.0.1:1/none")
    assert "hunter2" not in str(caught.value) and "***" in str(caught.value)
