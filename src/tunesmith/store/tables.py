"""The tables of the store. Whoever adds one adds a migration beside it; a test holds the two against each other.

Names are unique over the whole store, so tables of one thing begin with its name: `review_items`. Times are seconds
since 1970. What only one part of the program reads is JSON; what is searched or joined by is a column.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Column,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

# Constraints have names that migrations can call them by.
METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

reviews = Table(
    "reviews",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("run", String(200), nullable=False),
    Column("number", Integer, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("rubric", JSON, nullable=False),
    Column("plan", JSON, nullable=False),
    UniqueConstraint("run", "number"),
)
"""A sample of a run's answers that people rate."""

review_people = Table(
    "review_people",
    METADATA,
    Column("review", Integer, ForeignKey("reviews.id", ondelete="CASCADE"), primary_key=True),
    Column("person", Integer, primary_key=True),
    Column("name", String(100), nullable=False),
    Column("role", String(20), nullable=False),
    Column("token_hash", String(64), nullable=False, unique=True),
    UniqueConstraint("review", "name"),
)
"""Who rates and who adjudicates. Of the token in a link only the sha256 is kept."""

review_items = Table(
    "review_items",
    METADATA,
    Column("review", Integer, ForeignKey("reviews.id", ondelete="CASCADE"), primary_key=True),
    Column("item", Integer, primary_key=True),
    Column("shown", JSON, nullable=False),
    Column("hidden", JSON, nullable=False),
)
"""What raters see of a row, and what they must not: which arm is A."""


def _of_item() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["review", "item"], ["review_items.review", "review_items.item"], ondelete="CASCADE")


def _of_person() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(
        ["review", "person"], ["review_people.review", "review_people.person"], ondelete="CASCADE"
    )


review_assignments = Table(
    "review_assignments",
    METADATA,
    Column("review", Integer, primary_key=True),
    Column("item", Integer, primary_key=True),
    Column("person", Integer, primary_key=True),
    Column("place", Integer, nullable=False),
    _of_item(),
    _of_person(),
)
"""Which items each rater has, and in which order."""

review_answers = Table(
    "review_answers",
    METADATA,
    Column("review", Integer, primary_key=True),
    Column("item", Integer, primary_key=True),
    Column("person", Integer, primary_key=True),
    Column("marks", JSON, nullable=False),
    Column("note", Text, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("saved_at", Float, nullable=False),
    ForeignKeyConstraint(
        ["review", "item", "person"],
        ["review_assignments.review", "review_assignments.item", "review_assignments.person"],
        ondelete="CASCADE",
    ),
)
"""What a rater said of an item."""

review_settled = Table(
    "review_settled",
    METADATA,
    Column("review", Integer, primary_key=True),
    Column("item", Integer, primary_key=True),
    Column("question", String(120), primary_key=True),
    Column("value", String(200), nullable=False),
    Column("note", Text, nullable=False),
    Column("person", Integer, nullable=False),
    Column("settled_at", Float, nullable=False),
    _of_item(),
    _of_person(),
)
"""What an adjudicator decided where raters differed."""
