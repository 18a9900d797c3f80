"""Two runs side by side: the page and what a terminal shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from tunesmith.evaluate.comparison import Case, Comparison
from tunesmith.evaluate.verdict import Verdict
from tunesmith.report.evidence import Section
from tunesmith.report.format import excerpt
from tunesmith.report.render import style, style_hash, templates
from tunesmith.report.terminal import comparison_table, differences_table
from tunesmith.report.views import comparison, rows, slices
from tunesmith.report.views.verdict import OUTCOMES, bound_of, target_name

if TYPE_CHECKING:
    from rich.console import Group

EXCERPT = 200
"""Characters of a text that are shown of a row in a terminal."""


def render_side(found: Comparison, verdicts: Mapping[str, Verdict | None], notes: Sequence[str]) -> str:
    """The comparison of two runs as one HTML page.

    Args:
        found: the second run's model held against the first's.
        verdicts: by run.
        notes: which rows the figures are of.
    """
    sections = [Section("comparison", "Figures", "Comparison", comparison.content(found))]
    shown = slices.content(found)
    if shown["tables"] or shown["found"]:
        sections.append(Section("slices", "Slices", "Slices", shown))
    if found.cases is not None:
        sections.append(Section("rows", "Rows to read", "Rows", rows.content(found, found.cases, {})))
    html = (
        templates()
        .get_template("side.html.j2")
        .render(
            runs=found.arms,
            notes=notes,
            targets=targets_of(verdicts),
            decisions={run: verdict.decision if verdict else "NO VERDICT" for run, verdict in verdicts.items()},
            sections=sections,
            style=Markup(style()),
            style_hash=style_hash(),
        )
    )
    return html.encode("utf-8", "replace").decode("utf-8")  # half a surrogate pair cannot be written


def targets_of(verdicts: Mapping[str, Verdict | None]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Each target of either run, and its (outcome, why) in each; blank where a run did not have it."""
    held = {
        run: {f"{target_name(each)} {bound_of(each)}": each for each in (verdict.targets if verdict else [])}
        for run, verdict in verdicts.items()
    }
    names = list(dict.fromkeys(name for targets in held.values() for name in targets))
    return [
        (
            name,
            [
                (targets[name].outcome, f"{OUTCOMES[targets[name].outcome]}: {targets[name].why}")
                if name in targets
                else ("none", "")
                for targets in held.values()
            ],
        )
        for name in names
    ]


def side_summary(
    found: Comparison, verdicts: Mapping[str, Verdict | None], notes: Sequence[str], regressed: Sequence[Case] | None
) -> Group:
    """The same for `Console.print`.

    Args:
        found, verdicts, notes: as in `render_side`.
        regressed: rows to list one by one; None for none.
    """
    from rich.console import Group, RenderableType
    from rich.text import Text

    parts: list[RenderableType] = [Text(comparison.says(found)), *(Text(f"! {note}", style="yellow") for note in notes)]
    parts += [Text(""), comparison_table(found), Text(""), differences_table(found), Text("")]
    for run, verdict in verdicts.items():
        parts.append(Text(f"{run}: {verdict.decision if verdict else 'no verdict'}", style="bold"))
        parts += [
            Text(f"  {OUTCOMES[target.outcome]:<12} {target_name(target)} {bound_of(target)}: {target.why}")
            for target in (verdict.targets if verdict else [])
        ]
    for case in regressed or []:
        parts += [Text(""), Text(f"{case.source}  {excerpt(' '.join(case.prompt.split()), EXCERPT)}")]
        parts.append(Text(f"  {'expected':<16} {excerpt(case.expected, EXCERPT)}", style="dim"))
        parts += [Text(f"  {run:<16} {excerpt(said, EXCERPT)}") for run, said in case.outputs.items()]
    return Group(*parts)
