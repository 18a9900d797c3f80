from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.spec.quantity import Batch, Bound, Duration, Every, Length, Quantity, Share, Stretch

SORTS: list[type[Quantity]] = [Duration, Stretch, Every, Batch, Length, Share, Bound]


@pytest.mark.parametrize(
    ("sort", "written", "value", "unit"),
    [
        (Duration, "3 epochs", 3, "epochs"),
        (Duration, "1.5 epochs", 1.5, "epochs"),
        (Duration, "200 steps", 200, "steps"),
        (Duration, "2M tokens", 2_000_000, "tokens"),
        (Duration, "30 min", 1800, "seconds"),
        (Duration, "2h", 7200, "seconds"),
        (Stretch, "5%", 5, "%"),
        (Stretch, "0 steps", 0, "steps"),
        (Every, "1 epoch", 1, "epochs"),
        (Batch, 16, 16, "rows"),
        (Batch, "8k tokens", 8000, "tokens"),
        (Batch, "1.5k tokens", 1500, "tokens"),
        (Length, "512", 512, "tokens"),
        (Share, 0.1, 0.1, ""),
        (Share, "29%", 0.29, ""),
        (Share, 1, 1, ""),
        (Bound, 0.9, 0.9, ""),
        (Bound, "90%", 0.9, ""),
        (Bound, "300 ms", 300, "ms"),
        (Bound, "1.5 s", 1500, "ms"),
        (Bound, "8 GB", 8000, "MB"),
        (Bound, "2 MB", 2, "MB"),
        (Bound, "100 tokens/s", 100, "tokens/s"),
        (Bound, 1e-4, 1e-4, ""),
    ],
)
def test_reads_what_people_write(sort: type[Quantity], written: Any, value: float, unit: str) -> None:
    assert sort.parse(written) == sort(value, unit)


@pytest.mark.parametrize(
    ("sort", "written"),
    [
        (Duration, 3),
        (Duration, "3"),
        (Duration, "0 epochs"),
        (Duration, "-1 steps"),
        (Duration, "1.5 steps"),
        (Duration, "3 parsecs"),
        (Duration, "epochs"),
        (Duration, "1e999 steps"),
        (Duration, True),
        (Duration, None),
        (Duration, ["3 epochs"]),
        (Duration, "x" * 10_000),
        (Duration, "٣ epochs"),
        (Batch, "0.5 rows"),
        (Batch, 10**500),
        (Share, 1.1),
        (Share, "101%"),
        (Share, -0.1),
        (Bound, float("nan")),
        (Bound, float("inf")),
        (Bound, "1e308 GB"),
    ],
)
def test_refuses_and_says_what_to_write(sort: type[Quantity], written: Any) -> None:
    with pytest.raises(ValueError, match="write ") as raised:
        sort.parse(written)
    assert sort.examples in str(raised.value)
    assert len(str(raised.value)) < 300


def test_a_number_of_five_thousand_digits_is_refused() -> None:
    with pytest.raises(ValueError, match="write 16 rows"):
        Batch.parse(10**5000)


@pytest.mark.parametrize(
    ("quantity", "text"),
    [
        (Duration(1, "epochs"), "1 epoch"),
        (Duration(3, "epochs"), "3 epochs"),
        (Duration(1800, "seconds"), "1800 seconds"),
        (Duration(0.1234567891, "epochs"), "0.1234567891 epochs"),
        (Stretch(5, "%"), "5%"),
        (Share(0.29, ""), "29%"),
        (Share(1 / 3, ""), "33.33333333333333%"),
        (Bound(0.9, ""), "0.9"),
        (Bound(1, "ms"), "1 ms"),
        (Bound(1, "tokens/s"), "1 tokens/s"),
        (Batch(1, "rows"), "1 row"),
    ],
)
def test_is_written_as_people_write(quantity: Quantity, text: str) -> None:
    assert str(quantity) == text


@pytest.mark.parametrize("sort", SORTS)
@given(data=st.data())
def test_text_reads_as_the_same_quantity(sort: type[Quantity], data: st.DataObject) -> None:
    number = data.draw(
        st.one_of(st.integers(0, 10**12), st.floats(0, 1e9), st.sampled_from([0.1, 0.07, 0.57, 1e-12, 1 / 3]))
    )
    multiple = data.draw(st.sampled_from(["", "k", "M"]))
    unit = data.draw(st.sampled_from(sorted(sort.units)))
    try:
        quantity = sort.parse(f"{number}{multiple} {unit}")
    except ValueError:
        return
    assert sort.parse(str(quantity)) == quantity


@pytest.mark.parametrize("sort", SORTS)
@given(written=st.one_of(st.text(max_size=30), st.floats(), st.integers(), st.none(), st.lists(st.integers())))
def test_never_fails_in_another_way(sort: type[Quantity], written: Any) -> None:
    try:
        quantity = sort.parse(written)
    except ValueError as error:
        assert "write " in str(error)
    else:
        assert abs(quantity.value) < float("inf")
        assert sort.signed or quantity.value >= 0


def test_compares_within_a_unit_only() -> None:
    assert Duration(1, "steps") < Duration(2, "steps")
    assert max(Share(0.1, ""), Share(0.2, "")) == Share(0.2, "")
    with pytest.raises(TypeError, match="cannot compare"):
        assert Duration(1, "steps") < Duration(2, "epochs")
    with pytest.raises(TypeError):
        assert Duration(1, "steps") < 2


def test_is_a_value() -> None:
    duration = Duration.parse("3 epochs")
    assert {duration: 1}[Duration(3, "epochs")] == 1
    assert pickle.loads(pickle.dumps(duration)) == copy.deepcopy(duration) == duration
    with pytest.raises(AttributeError):
        duration.value = 4  # type: ignore[misc]
    assert repr(duration) == "Duration('3 epochs')"
