"""Numbers are written alike everywhere, and never say more or less than they are."""

from __future__ import annotations

import math

import pytest

from tunesmith.report.format import counted, duration, excerpt, figure, interval, percent, short


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.9345, "", "0.934"),
        (48.306, "ms", "48.31 ms"),
        (301.26, "ms", "301.3 ms"),
        (12345.6, "", "12,346"),
        (-0.25, "", "\N{MINUS SIGN}0.250"),
        (-0.0001, "", "0.000"),
        (None, "ms", "\N{EN DASH}"),
        (math.nan, "", "\N{EN DASH}"),
        (-math.inf, "", "\N{MINUS SIGN}\N{INFINITY}"),
    ],
)
def test_figures_have_the_digits_that_matter(value: float | None, unit: str, text: str) -> None:
    assert figure(value, unit) == text


def test_differences_carry_their_sign_unless_they_print_as_zero() -> None:
    assert figure(0.2, signed=True) == "+0.200"
    assert figure(0.0001, signed=True) == "0.000"


@pytest.mark.parametrize(
    ("bounds", "text"),
    [
        ((0.1, 0.2), "0.100 to 0.200"),
        ((None, 0.2), "at most 0.200"),
        ((0.1, None), "at least 0.100"),
        ((None, None), ""),
        (None, ""),
    ],
)
def test_intervals_say_when_an_end_is_open(bounds: tuple[float | None, float | None] | None, text: str) -> None:
    assert interval(bounds) == text


@pytest.mark.parametrize(
    ("share", "text"), [(0.0, "0%"), (1.0, "100%"), (0.0001, "<0.1%"), (0.99999, ">99.9%"), (0.125, "12.5%")]
)
def test_a_share_is_not_rounded_to_nothing_or_all(share: float, text: str) -> None:
    assert percent(share) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.012, "12 ms"),
        (3.25, "3.2 s"),
        (59.97, "1 min 0 s"),
        (121.4, "2 min 1 s"),
        (7260, "2 h 1 min"),
        (90000, "1 d 1 h"),
    ],
)
def test_time_is_in_its_two_largest_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_counts_and_multiples() -> None:
    assert counted(1, "row") == "1 row"
    assert counted(2000, "class", "classes") == "2,000 classes"
    assert short(8_411_648) == "8.41M"
    assert short(950) == "950"


def test_a_long_text_says_how_much_is_missing() -> None:
    assert excerpt("abc", 3) == "abc"
    assert excerpt("abcdef", 3) == "abc\N{HORIZONTAL ELLIPSIS} (3 more characters)".replace("abc", "abc ", 1)
