"""Functions called in several processes, and on a Ray cluster: the same results in the same order."""

from __future__ import annotations

import os
import signal
from functools import partial
from typing import Any

import pytest

from tunesmith.data.disk.tables import spooled
from tunesmith.data.room import Room
from tunesmith.errors import DataError, RunError
from tunesmith.records import Record
from tunesmith.scale.executor import Executor


def double(number: int) -> tuple[int, int]:
    return 2 * number, os.getpid()


def picky(number: int) -> int:
    if number == 700:
        raise DataError("a wrong number", where="here", fix="another")
    return number


def deadly(number: int) -> int:
    if number == 700:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


class Heavy:
    """Counts how often it travels."""

    def __init__(self, add: int) -> None:
        self.add, self.travelled = add, 0

    def __call__(self, number: int) -> int:
        return number + self.add

    def __getstate__(self) -> dict[str, int]:
        self.travelled += 1
        return self.__dict__


def words(record: Record) -> int:
    return len((record.text or "").split())


def total(records: Any) -> int:
    return sum(words(record) for record in records)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes are started at once, and are handed little."""
    monkeypatch.setattr("tunesmith.scale.executor.LOOK", 0.0)
    monkeypatch.setattr("tunesmith.scale.executor.MOST", 100)


def test_results_come_in_order_from_several_processes(hasty: None) -> None:
    with Executor(2, worth=0.0) as executor:
        for _ in range(2):
            found = list(executor.map(double, range(1000)))
            assert [value for value, _ in found] == [2 * number for number in range(1000)]
            assert len({process for _, process in found}) == 2 and os.getpid() not in {p for _, p in found}


def test_little_work_stays_in_this_process() -> None:
    with Executor(2) as executor:
        assert {process for _, process in executor.map(double, range(1000))} == {os.getpid()}
    with Executor(1, worth=0.0) as executor:
        assert {process for _, process in executor.map(double, range(10))} == {os.getpid()}
    assert list(Executor(2).map(double, [])) == []


def test_an_error_is_that_of_the_function_and_a_death_is_named(hasty: None) -> None:
    with Executor(2, worth=0.0) as executor:
        with pytest.raises(DataError, match="a wrong number"):
            list(executor.map(picky, range(1000)))
        assert list(executor.map(picky, range(500))) == list(range(500)), "it goes on after an error"
        with pytest.raises(RunError, match="was killed"):
            list(executor.map(deadly, range(1000)))
        assert list(executor.map(picky, range(500))) == list(range(500))


def test_a_function_travels_once_to_each_process(hasty: None) -> None:
    one, two = Heavy(1), Heavy(2)
    with Executor(2, worth=0.0) as executor:
        assert list(executor.map(one, range(1000))) == list(range(1, 1001))
        assert list(executor.map(two, range(1000))) == list(range(2, 1002))
    assert one.travelled == two.travelled == 2


def test_records_are_read_where_they_are_looked_at(hasty: None) -> None:
    records = spooled(Record(f"r{n}", f"rows:{n}", text="word " * (n % 5)) for n in range(700))
    plain = Room()
    with Executor(2, worth=0.0) as executor:
        room = Room(mapper=executor.map)
        assert list(room.map(words, records)) == list(plain.map(words, records))
        assert list(room.map_chunks(total, records, 64)) == list(plain.map_chunks(total, records, 64))


def test_a_mapping_broken_off_leaves_nothing_behind(hasty: None) -> None:
    with Executor(2, worth=0.0) as executor:
        answers = executor.map(partial(pow, 2), range(1000))
        assert [next(answers) for _ in range(150)][-1] == 2**149
        del answers
        assert list(executor.map(partial(pow, 3), range(300))) == [3**n for n in range(300)]


def test_a_ray_cluster_says_the_same() -> None:
    pytest.importorskip("ray")
    from tunesmith.scale.cluster import Cluster

    records = spooled(Record(f"r{n}", f"rows:{n}", text="word " * (n % 5)) for n in range(1200))
    with Cluster("local", 2) as cluster:
        room = Room(mapper=cluster.map)
        assert list(room.map(words, records)) == [n % 5 for n in range(1200)]
        assert list(room.map_chunks(total, records, 500)) == [total(records[at : at + 500]) for at in (0, 500, 1000)]
        with pytest.raises(DataError, match="a wrong number"):
            list(cluster.map(picky, range(1000)))


@pytest.mark.parametrize("refusal", ["ConnectionError", "AuthenticationError"])
def test_a_cluster_that_is_away_or_wants_a_token_is_an_error_that_says_so(
    monkeypatch: pytest.MonkeyPatch, refusal: str
) -> None:
    ray = pytest.importorskip("ray")
    from tunesmith.scale.cluster import Cluster

    def refuse(**_: object) -> None:
        raise {"ConnectionError": ConnectionError, **vars(ray.exceptions)}[refusal]("not let in")

    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(RunError, match="cannot be reached: not let in") as caught:
        Cluster("head:6379", 1)
    assert "RAY_AUTH_TOKEN" in str(caught.value)
