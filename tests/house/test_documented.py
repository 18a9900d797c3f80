"""Every option is documented, and every option is tested."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from tunesmith.part import FAMILIES, Family
from tunesmith.spec.outline import annotation_of, fields, sections_in
from tunesmith.spec.problems import help_of
from tunesmith.spec.reference import reference
from tunesmith.spec.sections import Section, Spec

ROOT = Path(__file__).parents[2]
TESTS = "\n".join(
    path.read_text() for path in sorted((ROOT / "tests").rglob("*.py")) if path.parent != Path(__file__).parent
)
WORDS = set(re.findall(r"\w+", TESTS))

SECTIONS = [
    Spec,
    *(held for _, field in fields() for held in sections_in(annotation_of(field)) if issubclass(held, Section)),
]
PARTS = [(family, name) for family in FAMILIES for name in family.names()]


def test_the_page_of_the_spec_is_current() -> None:
    written = (ROOT / "docs" / "spec.md").read_text("utf-8")
    assert written == reference(), "run: python -m tunesmith.spec.reference > docs/spec.md"


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_sections_and_their_fields_say_what_they_are(section: type[BaseModel]) -> None:
    assert (section.__doc__ or "").strip()
    assert len(section.model_fields) <= 15, "a section holds at most 15 fields"
    for name, field in section.model_fields.items():
        assert help_of(field), f"{section.__name__}.{name} has no docstring under it"
        assert help_of(field).endswith((".", "`")), f"{section.__name__}.{name}: a sentence ends with a full stop"


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_every_field_of_the_spec_is_tested(section: type[BaseModel]) -> None:
    """A field whose name stands in no test cannot have been shown to do anything."""
    untested = [name for name in section.model_fields if name not in WORDS]
    assert not untested


@pytest.mark.parametrize(("family", "name"), PARTS, ids=[f"{family.name}/{name}" for family, name in PARTS])
def test_every_part_and_setting_is_tested(family: Family, name: str) -> None:
    part = family.load(name)
    named = name in WORDS or part.__name__ in WORDS
    untested = [setting for setting in part.model_fields if setting not in WORDS]
    assert named and not untested, f"{family.name}/{name}: {untested or 'never named in a test'}"


def test_nothing_in_the_product_depends_on_where_it_was_made() -> None:
    """Neither code nor docs lead out of the repository."""
    outside = re.compile(r"\.\./shared|/work/\w|\.library/")
    found = [
        f"{path.relative_to(ROOT)}"
        for folder in ("src", "docs", "examples", "tests", "benchmarks")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".md", ".yaml", ".html", ".css", ".js", ".toml")
        and path != Path(__file__)
        and outside.search(path.read_text("utf-8"))
    ]
    assert not found
