"""The page of a study: one HTML file that needs nothing else and runs no script, as the page of a run."""

from __future__ import annotations

from markupsafe import Markup

from tunesmith.report.render import style, style_hash, templates
from tunesmith.report.views import study as view
from tunesmith.scale.spending import Spent
from tunesmith.search.study import Study


def render_study(study: Study, winner: str | None, took: Spent | None = None) -> str:
    """A study as one HTML page, while it goes on or when it has ended.

    Args:
        study: what was asked, and the trials so far.
        winner: the text of the winner's spec; None where none is written yet.
        took: time and money of all calls of the search; None where that is not known.
    """
    found = (
        view.winner(study, winner),
        view.course(study),
        view.pareto(study),
        view.space(study),
        view.mattered(study),
        view.table(study),
    )
    html = (
        templates()
        .get_template("study.html.j2")
        .render(
            head=view.head(study, took),
            sections=[section for section in found if section is not None],
            style=Markup(style()),
            style_hash=style_hash(),
        )
    )
    return html.encode("utf-8", "replace").decode("utf-8")  # half a surrogate pair cannot be written
