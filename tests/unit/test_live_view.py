"""The dashboard, drawn as text at several sizes, and the curves it is made of."""

from __future__ import annotations

import io
import json
import math
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tests.unit.report_fixture import events, full_run, spec

from tunesmith.cli import live
from tunesmith.cli.dashboard import Dashboard, short_power
from tunesmith.cli.live import Screen, ended, follow
from tunesmith.cli.scene import Scene, scene_of
from tunesmith.report.charts.braille import BLANK, CLOUD_FROM, MARK, Canvas, Curve, plot
from tunesmith.runs import Run

SIZES = [(80, 24), (100, 30), (140, 40), (220, 60), (50, 20), (40, 12), (24, 8)]
NOW = 1_760_000_100.0


def scene(told: list[dict[str, Any]] | None = None) -> Scene:
    made = scene_of("support-triage/4", spec()["spec"])
    for event in events() if told is None else told:
        made.take(event)
    return made


def until(step: int) -> list[dict[str, Any]]:
    """The diary as it stood after a step."""
    told = events()
    last = next(place for place, event in enumerate(told) if event["kind"] == "step" and event["step"] == step)
    return told[: last + 1]


def drawn(made: Scene, width: int = 80, height: int = 24, footer: str = "") -> list[str]:
    console = Console(width=width, height=height, file=io.StringIO(), force_terminal=True, record=True)
    console.print(Dashboard(made, now=NOW, footer=footer), end="")
    return console.export_text().splitlines()


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("step", [1, 2, 150, 300])
def test_it_fits_every_terminal(width: int, height: int, step: int) -> None:
    lines = drawn(scene(until(step)), width, height, footer="Ctrl-C ends the watching, not the run")
    assert len(lines) <= height and max(map(len, lines)) <= width
    assert "support-triage/4" in lines[0] or width < 30
    assert "nan" not in "\n".join(lines).lower()


def test_all_that_matters_stands_on_80_by_24() -> None:
    made = scene(until(150))
    made.take({"kind": "diagnosis", "text": "validation loss rises, remedy: fewer epochs"})
    lines = drawn(made, footer="Ctrl-C ends the watching, not the run")
    text = "\n".join(lines)
    last = next(event for event in reversed(until(150)) if event["kind"] == "step")
    assert len(lines) == 24 and "train-1  step 150 of 300" in lines[0]
    assert "✓ data 6.8 s" in text and "● train-1 1:40" in text and "○ evaluate" in text and "○ report" in text
    assert f"━ training {last['loss']:.3f}" in text and "● validation" in text and "accuracy" in text
    assert f"gradient {last['grad_norm']:.3f}" in text and f"lr {short_power(last['lr'])}" in text
    assert "accuracy ≥ 0.9" in text and "f1_macro (channel: email) ≥ 0.85" in text and "latency_p95 ≤ 300 ms" in text
    assert "! validation loss rises, remedy: fewer epochs" in text
    assert sum(line.count(MARK) for line in lines[4:19]) >= 4, "validations are marked in their curves"
    assert any(chr(BLANK) < letter <= chr(BLANK + 255) for letter in text)
    assert "best step" in "\n".join(drawn(made, 100, 30))


def test_wide_terminals_show_more_curves() -> None:
    narrow, wide, small = ("\n".join(drawn(scene(until(200)), *size)) for size in ((80, 24), (160, 48), (50, 20)))
    assert "gradient norm" in narrow and "learning rate" not in narrow
    assert "gradient norm" in wide and "learning rate" in wide
    assert "loss" in small and "gradient norm" not in small


def test_rate_time_left_and_memory() -> None:
    told = until(10)
    told[-1] |= {"seconds_left": 75.0, "tokens_per_second": 12_345.6, "memory_mb": 1834}
    lines = drawn(scene(told))
    assert lines[0].endswith("1:15 left")
    assert "tokens/s 12.3k" in lines[-3] + lines[-2] and "memory 1.83 GB" in "\n".join(lines)


def test_targets_are_held_against_the_last_validation() -> None:
    made = scene(until(30))
    made.take({"kind": "validation", "stage": "train-1", "step": 30, "figures": {"accuracy": 0.8}, "best": True})
    assert "accuracy ≥ 0.9  0.800 …" in "\n".join(drawn(made))
    made.take({"kind": "validation", "stage": "train-1", "step": 31, "figures": {"accuracy": 0.93}, "best": True})
    assert "accuracy ≥ 0.9  0.930 ✓" in "\n".join(drawn(made))


def test_a_run_without_validation() -> None:
    lines = drawn(scene([event for event in until(100) if event["kind"] != "validation"]))
    text = "\n".join(lines)
    assert "validation" not in text and "gradient norm" in text and "━ training" in text and "best" not in text


def test_a_run_before_its_first_step() -> None:
    text = "\n".join(drawn(scene([{"at": NOW, "kind": "stage", "stage": "data", "status": "start"}])))
    assert "nothing measured yet" in text and "● data" in text and "no step yet" in text
    made = scene([{"at": NOW, "kind": "note", "text": "2,000 rows kept"}])
    assert "2,000 rows kept" in "\n".join(drawn(made))


def test_progress_of_what_takes_no_steps() -> None:
    made = scene()
    made.take({"at": NOW, "kind": "stage", "stage": "evaluate", "status": "start"})
    made.take({"kind": "progress", "what": "predict (tuned)", "done": 60, "total": 240})
    lines = drawn(made)
    assert "evaluate  predict (tuned) 60 of 240" in lines[0]
    made.take({"at": NOW, "kind": "stage", "stage": "evaluate", "status": "done", "seconds": 3.0})
    assert "✓ evaluate 3.0 s" in "\n".join(drawn(made))


def test_a_resumed_run_has_the_last_word_on_each_step(tmp_path: Path) -> None:
    run = full_run(tmp_path)
    told = [*until(50), {"kind": "step", "stage": "train-1", "step": 40, "loss": 9.0, "total_steps": 300, "epoch": 0.4}]
    (run / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in told))
    made = scene_of("support-triage", spec()["spec"])
    made.take({"kind": "note", "text": "said before the run had a folder"})
    made.take({"kind": "run", "path": str(run.path)})
    assert made.name == "support-triage/4" and dict(made.curve("loss"))[40] == 9.0 and len(made.curve("loss")) == 50
    assert [step for step, _ in made.curve("loss")] == sorted(step for step, _ in made.curve("loss"))
    assert made.stages["data"].status == "done", "what was done before the resume is known"


def test_figures_that_are_not_finite_leave_gaps() -> None:
    told = until(20)
    for event in told:
        if event["kind"] == "step" and event["step"] in (5, 20):
            event["loss"] = "nan"
    text = "\n".join(drawn(scene(told)))
    assert "nan" not in text.lower() and "inf" not in text.lower()
    every = [event | {"loss": "inf", "grad_norm": "nan"} if event["kind"] == "step" else event for event in until(20)]
    assert "nothing measured yet" in "\n".join(drawn(scene([e for e in every if e["kind"] != "validation"])))


def test_two_stages_and_what_others_lent() -> None:
    made = Scene("two/1", num_stages=2)
    for event in until(20):
        made.take(event)
    made.take({"at": NOW, "kind": "stage", "stage": "train-1", "status": "borrowed", "run": "two/0"})
    made.take({"at": NOW, "kind": "stage", "stage": "train-2", "status": "start"})
    made.take({"at": NOW, "kind": "step", "stage": "train-2", "step": 1, "loss": 0.5, "total_steps": 4})
    lines = drawn(made)
    assert "train-2  step 1 of 4" in lines[0] and "✓ train-1" in lines[2] and "● train-2" in lines[2]
    assert made.curve("loss") == [(1.0, 0.5)]


def test_a_damaged_diary_is_shown_as_far_as_it_goes() -> None:
    broken = [
        {"kind": "stage"},
        {"kind": "step", "loss": 1.0},
        {"kind": "step", "step": 1},
        {"kind": "validation", "step": 1, "figures": None},
        {"kind": "warning"},
        {"kind": "odd"},
    ]
    assert drawn(scene(broken))


def test_long_runs_are_drawn_from_some_of_their_steps() -> None:
    made = Scene("long/1")
    for step in range(1, 7001):
        made.take({"kind": "step", "stage": "train-1", "step": step, "loss": 1 / step, "total_steps": 7000})
    curve = made.curve("loss")
    assert len(curve) <= 2000 and curve[-1] == (7000.0, 1 / 7000) and curve == sorted(curve)


# Curves


def dots(lines: list[str]) -> set[tuple[int, int]]:
    """(x, y) of every dot in letters of braille, counted from the top left."""
    places = (
        (0, 0, 0x01),
        (0, 1, 0x02),
        (0, 2, 0x04),
        (1, 0, 0x08),
        (1, 1, 0x10),
        (1, 2, 0x20),
        (0, 3, 0x40),
        (1, 3, 0x80),
    )
    return {
        (2 * column + x, 4 * row + y)
        for row, line in enumerate(lines)
        for column, letter in enumerate(line)
        for x, y, bit in places
        if BLANK < ord(letter) <= BLANK + 255 and (ord(letter) - BLANK) & bit
    }


def test_every_dot_has_its_bit() -> None:
    for x in range(6):
        for y in range(8):
            canvas = Canvas(3, 2)
            canvas.dot(x, y, "", 0)
            assert dots([line.plain for line in canvas.lines()]) == {(x, y)}


def test_a_line_rises_from_corner_to_corner() -> None:
    lines = [line.plain for line in plot([Curve([(0, 0), (10, 10)], "")], 30, 10)]
    assert len(lines) == 10 and max(map(len, lines)) <= 30
    gutter = lines[0].index("│") + 1 if "│" in lines[0] else lines[0].index("┤") + 1
    found = dots([line[gutter:] for line in lines[:-1]])
    assert {x for x, _ in found} == set(range(2 * (30 - gutter))), "no gap"
    heights = [min(y for at, y in found if at == x) for x in sorted({x for x, _ in found})]
    assert heights == sorted(heights, reverse=True) and heights[0] > 30 and heights[-1] < 4


def test_the_axis_names_round_values_where_they_lie() -> None:
    lines = [line.plain for line in plot([Curve([(1, 0.0), (100, 1.0)], "")], 40, 12)]
    named = {float(line.split("┤")[0]): row for row, line in enumerate(lines) if "┤" in line}
    assert named and all(value in (0, 0.2, 0.4, 0.5, 0.6, 0.8, 1.0) for value in named)
    assert [named[value] for value in sorted(named)] == sorted(named.values(), reverse=True)
    assert lines[-1].split() == ["1", "step", "50", "100"]


def test_a_logarithmic_axis_only_where_it_is_needed() -> None:
    wide = [(float(step), 10.0 ** -(step / 25)) for step in range(1, 101)]
    assert any("0.001 ┤" in line.plain for line in plot([Curve(wide, "")], 40, 20, log=True))
    assert not any("0.001 ┤" in line.plain for line in plot([Curve(wide, "")], 40, 20))
    near = [(1.0, 1.0), (2.0, 2.0)]
    assert [a.plain for a in plot([Curve(near, "")], 40, 9, log=True)] == [
        a.plain for a in plot([Curve(near, "")], 40, 9)
    ]


def test_many_points_are_a_smooth_line_over_a_cloud() -> None:
    noisy = [(float(step), 5.0 + (step % 2) * 2 - 1) for step in range(1, 4 * CLOUD_FROM)]
    lines = plot([Curve(noisy, "cyan")], 60, 12)
    styles = {str(span.style) for line in lines for span in line.spans}
    assert {"dim cyan", "bold cyan"} <= styles
    bold = {row for row, line in enumerate(lines[:-1]) for span in line.spans if str(span.style) == "bold cyan"}
    assert bold <= {4, 5, 6}, "the mean of 4 and 6 lies in the middle"


@pytest.mark.parametrize("width", [16, 17, 40, 200])
@pytest.mark.parametrize("height", [3, 4, 9, 50])
@pytest.mark.parametrize(
    "points",
    [
        [],
        [(1.0, math.nan)],
        [(1.0, 0.0)],
        [(1.0, 3.0), (2.0, 3.0)],
        [(1.0, -1e30), (1e6, 1e30)],
        [(1.0, 1e-12), (2.0, 2e-12)],
        [(1.0, math.inf), (2.0, 1.0), (3.0, math.nan), (4.0, 2.0)],
    ],
)
def test_any_values_fit_any_room(points: list[tuple[float, float]], width: int, height: int) -> None:
    for log in (False, True):
        lines = plot([Curve(points, "red"), Curve(points, "blue", marks=True)], width, height, log=log)
        assert len(lines) == height and all(line.cell_len <= max(width, 20) for line in lines)
        assert "nan" not in "".join(line.plain for line in lines)


# Watching


def terminal(width: int = 80, height: int = 24) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, height=height, legacy_windows=False)


def said(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_screen_is_drawn_and_taken_away_and_warnings_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "PER_SECOND", 50)
    console = terminal()
    with Screen(console, scene([]), footer="Ctrl-C saves and stops") as screen:
        for event in until(60):
            screen(event)
        screen({"kind": "warning", "text": "little is left of [memory]"})
        screen({"kind": "diagnosis", "text": "raise the rate"})
        late = time.monotonic() + 20
        while "step 60 of 300" not in said(console) and time.monotonic() < late:
            time.sleep(0.02)
    text = said(console)
    assert text.startswith("\x1b[?1049h"), "a screen of its own, so that the user's lines are not lost"
    after = text.rpartition("\x1b[?1049l")[2]
    assert "step 60 of 300" in text and "step" not in after
    assert "little is left of [memory]" in after and " raise the rate" in after


def test_outside_of_a_terminal_there_are_plain_lines_and_it_is_said_once() -> None:
    console = Console(file=io.StringIO(), width=100)
    with Screen(console, scene([])) as screen:
        for event in events():
            screen(event)
    text = said(console)
    assert text.count("not a terminal") == 1 and "\x1b" not in text
    assert "validation loss" in text and "✓ train-1: done in 2:01" in text and text.count("are few to learn from") == 1


def test_follow_ends_with_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = full_run(tmp_path)
    looks = iter([False, False, True])
    monkeypatch.setattr(live, "ended", lambda run: next(looks))
    console = terminal()
    assert follow(run, console, every=0.01)
    assert "Ctrl-C ends the watching" in said(console)


def test_ctrl_c_ends_the_watching_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = full_run(tmp_path)
    before = sorted(path.name for path in run.path.rglob("*"))

    def interrupted(run: Run) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(live, "ended", interrupted)
    console = terminal()
    assert not follow(run, console)
    assert said(console).endswith("\x1b[?25h") or "\x1b[?1049l" in said(console)
    assert sorted(path.name for path in run.path.rglob("*")) == before


def test_a_run_has_ended_when_nobody_works_on_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = full_run(tmp_path)
    clock = [run.path.joinpath("events.jsonl").stat().st_mtime]
    monkeypatch.setattr("tunesmith.cli.live.time.time", lambda: clock[0])
    with run.locked():
        clock[0] += 1000
        assert run.worker() is not None and not ended(run), "it works, however long a step takes"
    assert run.worker() is None and ended(run)
    clock[0] -= 998
    assert ended(run)
    (run / "report.html").write_text("")
    assert not ended(run), "its manifest is on the way"
    (run / "manifest.json").write_text("{}")
    assert ended(run)
    (run / "manifest.json").unlink()
    (run / "report.html").unlink()
    (run / ".lock").write_text("999999999")
    assert run.worker() is None and not ended(run), "killed, or at work on another machine"
    clock[0] += 60
    assert ended(run)
