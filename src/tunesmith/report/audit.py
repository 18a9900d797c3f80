"""The page of an audit: one HTML file that needs nothing else and runs no script, as the page of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from tunesmith.report.render import style, style_hash, templates
from tunesmith.report.views import audit, audit_texts

VIEWS = (
    audit.todo,
    audit.size,
    audit.labels,
    audit.coverage,
    audit_texts.topics,
    audit_texts.copies,
    audit_texts.languages,
    audit_texts.odd,
    audit_texts.steps,
    audit_texts.method,
)
"""The chapters in the order of the page; one that returns None does not apply to the data."""


def render_audit(found: Mapping[str, Any]) -> str:
    """An audit as one HTML page.

    Args:
        found: what `data.audit.audit` measured, or its JSON file.
    """
    sections = [section for section in (view(found) for view in VIEWS) if section is not None]
    html = (
        templates()
        .get_template("audit.html.j2")
        .render(head=audit.head(found), sections=sections, style=Markup(style()), style_hash=style_hash())
    )
    return html.encode("utf-8", "replace").decode("utf-8")  # half a surrogate pair cannot be written
