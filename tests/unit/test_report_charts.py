"""Drawings put values where they belong and let no text of the data become markup."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from tunesmith.report.charts import bars, heat, intervals, lines
from tunesmith.report.charts.axes import Scale, labels, round_numbers

HOSTILE = '"><script>alert(1)</script>'


def parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


def numbers(element: ElementTree.Element, tag: str, css: str, name: str) -> list[float]:
    return [float(found.attrib[name]) for found in element.iter(tag) if css in found.attrib.get("class", "").split()]


def test_scales_are_linear_or_logarithmic_and_never_leave_the_frame() -> None:
    assert Scale(0, 10, 100, 200)(2.5) == 125
    assert Scale(1, 100, 0, 10, log=True)(10) == 5
    assert Scale(0, 1, 0, 10)(7) == 10
    assert Scale(3, 3, 0, 10)(3) == 5


@pytest.mark.parametrize(
    ("low", "high", "most", "ticks"),
    [(0, 1, 5, [0, 0.2, 0.4, 0.6, 0.8, 1.0]), (3, 47, 4, [10, 20, 30, 40]), (5, 5, 4, [5])],
)
def test_ticks_are_round_numbers_inside_the_range(low: float, high: float, most: int, ticks: list[float]) -> None:
    assert round_numbers(low, high, most) == pytest.approx(ticks)


def test_tick_labels_share_their_number_of_decimals() -> None:
    assert labels([0.0, 0.5, 1.0]) == ["0", "0.5", "1.0"]
    assert labels([0.0, 1e-4, 2e-4]) == ["0", "1e\N{MINUS SIGN}4", "2e\N{MINUS SIGN}4"]
    assert labels([10_000, 20_000]) == ["10k", "20k"]


def test_an_interval_is_drawn_from_end_to_end_and_an_open_one_to_the_edge() -> None:
    drawn = parsed(intervals.row([intervals.Mark(0.5, (0.25, 0.75))], span=(0.0, 1.0), title="t"))
    inner = intervals.WIDTH - 2 * intervals.EDGE
    assert numbers(drawn, "line", "whisker", "x1") == [intervals.EDGE + 0.25 * inner]
    assert numbers(drawn, "line", "whisker", "x2") == [intervals.EDGE + 0.75 * inner]
    assert numbers(drawn, "circle", "dot", "cx") == [intervals.EDGE + 0.5 * inner]
    opened = parsed(intervals.row([intervals.Mark(0.5, (None, 0.75))], span=(0.0, 1.0), title="t"))
    assert numbers(opened, "line", "whisker", "x1") == [0.0]


@pytest.mark.parametrize(
    ("good", "left", "width"), [("above", 8 + 0.9 * 244, 260 - 8 - 0.9 * 244), ("below", 0.0, 8 + 0.9 * 244)]
)
def test_the_side_that_will_do_is_shaded(good: str, left: float, width: float) -> None:
    drawn = parsed(intervals.row([intervals.Mark(0.95, None)], span=(0.0, 1.0), title="t", bound=0.9, good=good))
    assert numbers(drawn, "rect", "good", "x") == pytest.approx([left], abs=0.01)
    assert numbers(drawn, "rect", "good", "width") == pytest.approx([width], abs=0.01)


def test_a_range_shows_marks_bound_and_interval_within_the_metric_s_limits() -> None:
    low, high = intervals.span_of([intervals.Mark(0.9, (0.8, 0.97))], 0.7, limits=(0.0, 1.0))
    assert 0 <= low < 0.7 and 0.97 < high <= 1.0
    assert intervals.span_of([]) == (0.0, 1.0)
    same = intervals.span_of([intervals.Mark(1.0, (1.0, 1.0))], limits=(0.0, 1.0))
    assert same[0] < same[1]


def test_pieces_of_a_bar_are_in_proportion_and_a_small_one_is_seen() -> None:
    drawn = parsed(bars.bar([bars.Part("a", 750, "a"), bars.Part("b", 1, "b")], whole=1000, title="t"))
    assert numbers(drawn, "rect", "a", "width") == [225.0]
    assert numbers(drawn, "rect", "b", "width") == [1.0]
    assert not numbers(parsed(bars.bar([bars.Part("a", 0, "a")], whole=0, title="t")), "rect", "a", "width")


def test_many_points_are_drawn_as_mean_and_band_and_lose_no_extreme() -> None:
    points = [(float(step), 100.0 if step == 777 else 1.0) for step in range(2000)]
    buckets = lines.thin(points)
    assert len(buckets) <= 160
    assert max(high for *_, high in buckets) == 100.0
    assert sum(mean for _, mean, _, _ in buckets) / len(buckets) == pytest.approx(1.05, abs=0.01)


def test_a_curve_survives_values_that_are_not_finite() -> None:
    svg = lines.panel([lines.Series("loss", [(1, math.nan), (2, 1.0), (3, math.inf)])], title="Loss", steps=(1, 3))
    assert "nan" not in svg and "inf" not in svg.replace("infinity", "")
    parsed(lines.panel([lines.Series("loss", [])], title="Loss", steps=(1, 3)))


def test_the_kept_step_is_marked_where_it_is() -> None:
    drawn = parsed(
        lines.panel([lines.Series("loss", [(0.0, 1.0), (100.0, 0.5)])], title="Loss", steps=(0, 100), best=50)
    )
    middle = lines.LEFT + (lines.WIDTH - lines.LEFT - lines.RIGHT) / 2
    assert numbers(drawn, "line", "best", "x1") == [middle]


def test_a_map_draws_only_cells_that_hold_something() -> None:
    counts = np.array([[9, 1, 0], [0, 5, 0], [0, 0, 0]])
    drawn = parsed(heat.heat(counts, ["a", "b", "c"], title="t"))
    assert len(numbers(drawn, "rect", "right", "x")) == 2
    assert len(numbers(drawn, "rect", "wrong", "x")) == 1
    titles = [element.text for element in drawn.iter("title")]
    assert "a called b: 1 of 10" in titles


def test_shades_grow_with_the_share_and_show_the_smallest() -> None:
    shades = [heat.level(share) for share in (0.0, 0.001, 0.1, 0.5, 1.0)]
    assert shades == sorted(shades) and shades[0] == 0 and shades[1] == 1 and shades[-1] == heat.LEVELS - 1


def test_names_of_the_data_stay_text() -> None:
    drawings = [
        lines.panel(
            [lines.Series(HOSTILE, [(1, 1.0)], dots=True), lines.Series("b", [(1, 1.0)])], title=HOSTILE, steps=(0, 2)
        ),
        intervals.row([intervals.Mark(0.5, None)], span=(0, 1), title=HOSTILE),
        bars.bar([bars.Part(HOSTILE, 1, "a")], whole=1, title=HOSTILE),
        heat.heat(np.eye(2, dtype=np.int64), [HOSTILE, "b"], title=HOSTILE),
    ]
    for svg in drawings:
        assert not list(parsed(svg).iter("script"))
        assert not re.search(r"\sstyle=", svg)
