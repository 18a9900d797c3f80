"""The page of a run: one HTML file that needs nothing else and runs no script.

All text of the run is untrusted. Jinja escapes it, drawings escape it through `Markup.format`, and the
page's own policy allows no script, no address to load from, and no style but the one sheet it names by
its digest.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from tunesmith.report import format as write
from tunesmith.report.evidence import Evidence
from tunesmith.report.views import (
    classes,
    comparison,
    cost,
    data,
    judges,
    provenance,
    retention,
    rows,
    slices,
    training,
    verdict,
)
from tunesmith.report.views.rooms import explain, fairness, privacy, robustness
from tunesmith.runs import Run

VIEWS = (
    verdict.view,
    comparison.view,
    slices.view,
    classes.view,
    judges.view,
    retention.view,
    robustness.view,
    fairness.view,
    rows.view,
    explain.view,
    privacy.view,
    training.view,
    data.view,
    cost.view,
    provenance.lineage,
    provenance.spec,
)
"""The chapters in the order of the page; one that returns None does not apply to the run's task."""


def render(run: Run) -> str:
    """The report of a run as one HTML page.

    Args:
        run: the run folder; what it lacks is left out with a sentence saying so.
    """
    evidence = Evidence(run)
    sections = [section for section in (view(evidence) for view in VIEWS) if section is not None]
    page = templates().get_template("page.html.j2")
    html = page.render(head=verdict.head(evidence), sections=sections, style=Markup(style()), style_hash=style_hash())
    return html.encode("utf-8", "replace").decode("utf-8")  # half a surrogate pair cannot be written


@cache
def style() -> str:
    """The style sheet, exactly as it stands between the tags."""
    environment = templates()
    assert environment.loader is not None
    return environment.loader.get_source(environment, "page.css")[0]


def style_hash() -> str:
    """What the page's policy calls its one style sheet."""
    return "sha256-" + base64.b64encode(hashlib.sha256(style().encode()).digest()).decode()


@cache
def templates() -> Environment:
    """Everything escaped, and a name that a view forgot is an error and not a blank."""
    environment = Environment(
        loader=PackageLoader("tunesmith.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Any] = {
        name: getattr(write, name) for name in ("count", "counted", "percent", "duration", "excerpt")
    }
    environment.filters.update(filters)
    return environment
