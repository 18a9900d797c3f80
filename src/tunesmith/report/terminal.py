"""A run in a terminal: verdict, comparison, where the report is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunesmith.evaluate.comparison import Comparison
from tunesmith.evaluate.verdict import Verdict
from tunesmith.report.evidence import Evidence
from tunesmith.report.format import figure
from tunesmith.report.views.comparison import difference_cell, estimate_cell
from tunesmith.report.views.verdict import OUTCOMES, bound_of, limit_of, rows_wanted, sentence, target_name, weight
from tunesmith.runs import Run

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

INK = {
    "met": "green", "missed": "red", "undecided": "yellow", "better": "green", "worse": "red",
    "SHIP": "bold green", "DON'T SHIP": "bold red", "NO TARGETS": "bold",
}  # fmt: skip


def terminal_summary(run: Run) -> Group:
    """The verdict's table, the comparison's, and the paths of report and model, for `Console.print`.

    Args:
        run: the run folder; what it lacks is left out with a sentence saying so.
    """
    from rich.console import Group, RenderableType
    from rich.text import Text

    evidence = Evidence(run)
    verdict, comparison = evidence.verdict, evidence.comparison
    parts: list[RenderableType] = []
    if verdict is not None:
        head = Text.assemble((verdict.decision, INK[verdict.decision]), "  ", sentence(verdict.reason))
        parts += [
            head,
            *(Text(f"! {warning.text}", style=INK[weight(warning)]) for warning in verdict.warnings),
            Text(""),
        ]
        if verdict.targets:
            parts += [_targets(verdict), Text("")]
    if comparison is not None:
        cautions = [Text(f"{each.name}: {each.caution}", "dim") for each in comparison.measures if each.caution]
        parts += [comparison_table(comparison), *cautions, Text("")]
        if len(comparison.arms) > 1:
            parts += [differences_table(comparison), Text("")]
    if verdict is None and comparison is None:
        parts += [Text(evidence.why_no_evaluation()), Text("")]
    parts += [Text(f"! {problem}", style="yellow") for problem in evidence.problems]
    for name, file in (("report", "report.html"), ("card", "card.md"), ("model", "model")):
        if (run / file).exists():
            parts.append(Text(f"{name:<8}{run / file}", overflow="fold"))
    return Group(*parts)


def _table(*columns: str, left: int = 1) -> Table:
    """A table without lines; all but the first `left` columns are numbers."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place < left else "right", overflow="fold")
    return table


def _targets(verdict: Verdict) -> Table:
    from rich.text import Text

    undecided = any(target.outcome == "undecided" for target in verdict.targets)
    columns = ["target", "outcome", "value", f"{verdict.confidence:.0%} limit", "rows"]
    table = _table(*columns, *(["more to tell"] if undecided else []), left=2)
    for target in verdict.targets:
        table.add_row(
            Text(f"{target_name(target)} {bound_of(target)}"),
            Text(OUTCOMES[target.outcome], style=INK[target.outcome]),
            figure(target.value, target.unit),
            limit_of(target).replace("at least", ">=").replace("at most", "<="),
            f"{target.num_rows:,}",
            *([rows_wanted(target)] if undecided else []),
        )
    return table


def comparison_table(found: Comparison) -> Table:
    """Metrics by arms, each value with its interval beneath."""
    from rich.text import Text

    table = _table("metric", *found.arms)
    for measure in found.measures:
        cells = [estimate_cell(measure.arms.get(arm), measure.unit) for arm in found.arms]
        table.add_row(
            Text(measure.name),
            *(Text.assemble(cell["value"], ("\n" + cell["interval"], "dim")) for cell in cells),
        )
    return table


def differences_table(found: Comparison) -> Table:
    """The last arm minus each other, metric by metric."""
    from rich.text import Text

    last = found.arms[-1]
    table = _table(f"{last} minus", "metric", "difference", f"{found.confidence:.0%} interval", "p", "", left=2)
    for arm in found.arms[:-1]:
        for measure in found.measures:
            change = difference_cell(measure.differences.get(arm), measure.better, measure.unit, found.confidence)
            means = Text(change["means"], style=INK.get(change["means"], "dim"))
            table.add_row(Text(arm), Text(measure.name), change["value"], change["interval"], change["p"], means)
    return table


def verdict_summary(run: Run) -> Group:
    """A verdict on its own: the decision, its warnings, every target with what would change it, and the digests.

    Args:
        run: the run folder; it has a verdict.
    """
    from rich.console import Group, RenderableType
    from rich.text import Text

    evidence = Evidence(run)
    verdict = evidence.verdict
    assert verdict is not None, "asked only of a run that has a verdict"
    parts: list[RenderableType] = [
        Text.assemble((verdict.decision, INK[verdict.decision]), "  ", sentence(verdict.reason)),
        *(Text(f"! {warning.text}", style=INK[weight(warning)]) for warning in verdict.warnings),
        Text(""),
    ]
    if verdict.targets:
        parts += [_targets(verdict), Text(""), Text("What would change it", style="bold")]
        parts += [
            Text.assemble((f"  {target_name(target)} {bound_of(target)}: ", "dim"), target.change)
            for target in verdict.targets
            if target.change
        ]
        parts.append(Text(""))
    digests = evidence.digests
    parts.append(Text("  ".join(f"{name} {said[:16]}" for name, said in digests.items()), style="dim"))
    return Group(*parts)
