"""The page of a study says what its trials came to, draws each where it belongs, and lets nothing become markup."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from tests.unit.test_report_charts import numbers, parsed
from tests.unit.test_report_page import PAYLOADS, Page

from tunesmith.report.charts.axes import Axis
from tunesmith.report.charts.parallel import Line, parallel
from tunesmith.report.charts.scatter import Dot, scatter
from tunesmith.report.study import render_study
from tunesmith.report.views import study as view
from tunesmith.scale.spending import Spent
from tunesmith.search.study import Aim, Dimension, Study, Trial

LR = Dimension("train.optimizer.lr", "float", 1e-5, 1e-3, log=True, why="written spec.yaml:12")
RANK = Dimension("train.adapter.rank", "choice", choices=(4, 16, 64), why="low ranks (Hu et al. 2021)")


def trial(number: int, lr: float | None, rank: int, score: float | None, state: str = "done", **also: object) -> Trial:
    params = {"train.optimizer.lr": lr, "train.adapter.rank": rank}
    values = () if score is None else (score, 10.0 + rank) if state == "done" else (score,)
    origin = "first: the spec as it is" if number == 0 else "drawn at random"
    return Trial(number, params, origin, state, values, tokens=1000, seconds=61.0, **also)  # type: ignore[arg-type]


TRIALS = (
    trial(0, None, 16, 0.70),
    trial(1, 1e-4, 16, 0.80),
    trial(2, 1e-5, 4, 0.55, "pruned", said="0.55 at step 20 is below the median of 3 trials, 0.72"),
    trial(3, 1e-3, 64, None, "failed", said="NonFinite: the loss is nan"),
    trial(4, 3e-4, 64, 0.90),
    trial(5, 2e-4, 4, 0.75),
)
AIMS = (Aim("accuracy", "maximize"), Aim("latency_p95", "minimize", "ms"))
STUDY = Study("triage", 2, AIMS, (LR, RANK), "tpe", "asha", 8, TRIALS)


def chapter(page: str, name: str) -> str:
    found = re.search(rf'<section id="{name}".*?</section>', page, re.DOTALL)
    assert found
    return found[0]


def drawing(page: str, label: str) -> ElementTree.Element:
    found = re.search(rf'<svg [^>]*aria-label="{label}[^"]*".*?</svg>', page, re.DOTALL)
    assert found, label
    return parsed(found[0])


def test_the_page_says_who_won_by_how_much_and_why() -> None:
    page = Page(render_study(STUDY, "name: triage\ntrain: {adapter: {kind: lora, rank: 64}}\n"))
    assert "Trial 4" in page.text
    assert (
        "the highest accuracy of 4 finished trials: 0.900, 0.200 above the spec as it is (trial 0, 0.700)" in page.text
    )
    assert "6 of 8" in page.text and "4 done, 1 pruned, 1 failed" in page.text and "6 min 6 s" in page.text
    assert "rank: 64}" in page.text and "written spec.yaml:12" in page.text and "derived by the rules" in page.text
    sections = [section["id"] for section in page.all("section")]
    assert sections == ["winner", "course", "front", "space", "importance", "trials"]


def test_lower_is_better_where_the_aim_is_a_loss() -> None:
    loss = replace(
        STUDY, aims=(Aim("loss", "minimize"),), trials=tuple(replace(t, values=t.values[:1]) for t in TRIALS)
    )
    page = render_study(loss, None)
    assert (
        "the lowest loss of 4 finished trials: 0.700. It is the spec as it is: nothing that was tried is better" in page
    )
    assert 'id="front"' not in page and "The winner as a spec" not in page


@pytest.mark.parametrize(
    ("trials", "said"),
    [
        (TRIALS[2:4], "No trial came to its end"),
        (TRIALS[1:], "The spec as it is (trial 0) did not finish"),
        ((TRIALS[0], replace(TRIALS[1], values=(0.7, 1.0))), "It is the spec as it is"),
        ((), "No trial came to its end"),
        ((replace(TRIALS[0], state="running", values=()),), "1 running"),
    ],
)
def test_what_is_not_known_is_said(trials: tuple[Trial, ...], said: str) -> None:
    page = render_study(replace(STUDY, trials=trials), None)
    assert said in Page(page).text
    assert "trained to their end; what mattered can be told from" in chapter(page, "importance")


def test_the_best_so_far_climbs_with_the_tokens_and_pruned_trials_are_hollow() -> None:
    chart = drawing(render_study(STUDY, None), "Best accuracy by tokens")
    assert chart.attrib["aria-label"] == "Best accuracy by tokens trained on: from 0.700 to 0.900"
    done = numbers(chart, "circle", "dot", "cx")
    ghosts = numbers(chart, "circle", "ghost", "cx")
    assert len(done) == 4 and len(ghosts) == 1 and done == sorted(done)
    assert (
        done[1] < ghosts[0] < done[2]
    )  # the third in the order of trials, the failed one has none and costs its tokens
    assert done[2] - ghosts[0] == pytest.approx(2 * (done[1] - done[0]), abs=0.05)
    (path,) = [found.attrib["d"] for found in chart.iter("path")]
    corners = re.findall(r"H([\d.]+) V([\d.]+)", path)
    heights = numbers(chart, "circle", "dot", "cy")
    assert [float(x) for x, _ in corners] == [done[1], done[2], done[3]]  # steps where a trial did better, and the end
    assert [float(y) for _, y in corners] == [heights[1], heights[2], heights[2]]
    # The winner is marked, and no other.
    assert numbers(chart, "circle", "c", "cx") == [done[2]]


def test_each_trial_is_a_line_over_all_dimensions() -> None:
    chart = drawing(render_study(STUDY, None), "5 trials over train.optimizer.lr, train.adapter.rank and accuracy")
    lines = {found.findtext("title", "").partition(" (")[0]: found for found in chart.iter("path")}
    assert set(lines) == {"trial 0", "trial 1", "trial 2", "trial 4", "trial 5"}
    assert list(lines)[-1] == "trial 4" and lines["trial 4"].attrib["class"] == "line c"  # over the others
    assert "dashed" in lines["trial 2"].attrib["class"]
    # 1e-4 stands half-way between 1e-5 and 1e-3; the spec as it is has no value there, and its line begins later.
    height = {
        name: [float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", line.attrib["d"])] for name, line in lines.items()
    }
    assert height["trial 1"][0] == pytest.approx((314 - 8 + 44) / 2, abs=1e-6)
    assert len(height["trial 0"]) == 2 and len(height["trial 1"]) == 3
    assert height["trial 1"][1] == height["trial 0"][0] != height["trial 5"][1]
    # The better, the fuller.
    shades = [int(re.search(r"\bl(\d)", lines[f"trial {number}"].attrib["class"])[1]) for number in (2, 0, 5, 1)]  # type: ignore[index]
    assert shades == sorted(shades) and shades[0] < shades[-1]


def test_every_dimension_has_its_picture_with_choices_as_ticks() -> None:
    page = render_study(STUDY, None)
    by_rate = drawing(page, "accuracy over train.optimizer.lr")
    assert len(list(by_rate.iter("circle"))) == 4  # trial 0 has no value there
    by_rank = drawing(page, "accuracy over train.adapter.rank")
    assert [found.text for found in by_rank.iter("text") if found.text in ("4", "16", "64")] == ["4", "16", "64"]
    assert len(set(numbers(by_rank, "circle", "dot", "cx") + numbers(by_rank, "circle", "ghost", "cx"))) == 3


def test_the_front_is_marked_and_told() -> None:
    page = render_study(STUDY, None)
    front = Page(chapter(page, "front")).text
    assert "3 trials on the front" in front and "74.00 ms" in front
    chart = drawing(page, "accuracy over latency_p95")
    assert len(numbers(chart, "circle", "c", "cx")) == 3 and len(numbers(chart, "circle", "b", "cx")) == 1


def test_importances_are_bars_with_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    shares = {"train.optimizer.lr": (0.6, 0.5, 0.7), "train.adapter.rank": (0.2, 0.1, 0.35)}
    monkeypatch.setattr(view, "importance", lambda study: shares)
    text = Page(chapter(render_study(STUDY, None), "importance")).text
    assert text.index("train.optimizer.lr") < text.index("train.adapter.rank")
    assert "60.0%" in text and "10.0% to 35.0%" in text


def test_every_trial_is_in_the_table_best_first() -> None:
    table = chapter(render_study(STUDY, None), "trials")
    assert re.findall(r'<th scope="row">(\d)</th>', table) == ["4", "1", "5", "0", "2", "3"]
    text = Page(table).text
    for said in ("below the median of 3 trials", "NonFinite: the loss is nan", "drawn at random", "1,000", "1 min 1 s"):
        assert said in text


@pytest.mark.parametrize("payload", PAYLOADS)
def test_nothing_of_a_study_becomes_markup(payload: str) -> None:
    hostile = replace(
        STUDY,
        aims=(Aim(payload, "maximize", payload), Aim("size", "minimize")),
        dimensions=(replace(LR, path=payload, why=payload), replace(RANK, choices=(payload, 4))),
        trials=tuple(
            replace(t, params={payload: 1e-4, RANK.path: payload}, origin=payload, said=payload) for t in TRIALS
        ),
        sampler=payload,
    )
    clean, dirty = Page(render_study(STUDY, "a: 1")), Page(render_study(hostile, payload))
    assert not dirty.all("script") and not dirty.all("img")
    assert {tag for tag, _ in dirty.tags} <= {tag for tag, _ in clean.tags}


def test_figures_that_are_no_numbers_are_told_and_not_drawn() -> None:
    broken = replace(STUDY, trials=(*TRIALS[:2], replace(TRIALS[4], values=(math.nan, 1.0), state="pruned")))
    page = render_study(broken, None)
    assert len(list(drawing(page, "accuracy over train.adapter.rank").iter("circle"))) == 2
    assert "nan" not in chapter(page, "space") and chapter(page, "trials").count("</tr>") == 4


def test_dots_and_lines_lie_where_the_axes_say() -> None:
    dots, across = [Dot(0.1, 5, "a"), Dot(10, 10, "b")], Axis("x", 0.01, 100, log=True)
    chart = parsed(scatter(dots, across=across, up=Axis("y", 0, 10), title="t"))
    x, y = numbers(chart, "circle", "dot", "cx"), numbers(chart, "circle", "dot", "cy")
    assert x[0] - 56 == pytest.approx((416 - 56) / 4)
    assert x[1] - 56 == pytest.approx((416 - 56) * 3 / 4) and y == [113.0, 26.0]
    (line,) = parsed(parallel([Line((0.0, None, 1.0), "s", "line a")], [Axis("a", 0, 1)] * 3, title="t")).iter("path")
    assert line.attrib["d"].count("M") == 2 and "L" not in line.attrib["d"]


@pytest.mark.parametrize(("took", "said"), [(Spent(90.0, 0.0), True), (Spent(90.0, None), False), (None, False)])
def test_the_cost_is_told_where_an_hour_has_a_price(took: Spent | None, said: bool) -> None:
    assert ("0.00 USD" in render_study(STUDY, None, took)) == said
