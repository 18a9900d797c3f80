"""The summary in a terminal: verdict, comparison, and where the report is."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from tests.unit.report_fixture import empty_run, full_run

from tunesmith.report.terminal import terminal_summary
from tunesmith.runs import Run, write_text


def shown(run: Run, width: int = 120) -> str:
    console = Console(width=width, force_terminal=False)
    with console.capture() as capture:
        console.print(terminal_summary(run))
    return capture.get()


def test_the_verdict_comes_first_then_targets_and_arms(tmp_path: Path) -> None:
    run = full_run(tmp_path, right=0.99)
    write_text(run / "report.html", "")
    text = shown(run)
    assert text.startswith("SHIP  All 3 targets are met")
    assert "f1_macro (channel: email) at least 0.85" in text
    assert text.count("\N{CHECK MARK} met") == 3
    assert "base" in text and "tuned" in text and "better" in text
    assert str(run / "report.html") in text.replace("\n", "")
    assert "card.md" not in text


def test_an_undecided_target_says_how_many_rows_it_would_take(tmp_path: Path) -> None:
    text = shown(full_run(tmp_path, right=0.85))
    assert text.startswith("DON'T SHIP")
    assert "more to tell" in text and "? undecided" in text


def test_a_run_without_evaluation_says_so(tmp_path: Path) -> None:
    assert "was not evaluated" in shown(empty_run(tmp_path))


def test_brackets_of_the_data_are_not_taken_for_markup(tmp_path: Path) -> None:
    run = full_run(tmp_path, right=0.99)
    path = run / "evaluation" / "verdict.json"
    path.write_text(path.read_text("utf-8").replace("email", "[red]e[/red]"), "utf-8")
    assert "[red]e[/red]" in shown(run)
