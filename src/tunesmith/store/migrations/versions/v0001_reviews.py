"""Reviews: samples of answers that people rate."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Makes the six tables of reviews."""
    _reviews_and_people()
    op.create_table(
        "review_items",
        sa.Column("review", sa.Integer, nullable=False),
        sa.Column("item", sa.Integer, nullable=False),
        sa.Column("shown", sa.JSON, nullable=False),
        sa.Column("hidden", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("review", "item", name="pk_review_items"),
        sa.ForeignKeyConstraint(["review"], ["reviews.id"], name="fk_review_items_review", ondelete="CASCADE"),
    )
    op.create_table(
        "review_assignments",
        *_of_item_and_person("review_assignments"),
        sa.Column("place", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("review", "item", "person", name="pk_review_assignments"),
    )
    op.create_table(
        "review_answers",
        sa.Column("review", sa.Integer, nullable=False),
        sa.Column("item", sa.Integer, nullable=False),
        sa.Column("person", sa.Integer, nullable=False),
        sa.Column("marks", sa.JSON, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("saved_at", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("review", "item", "person", name="pk_review_answers"),
        sa.ForeignKeyConstraint(
            ["review", "item", "person"],
            ["review_assignments.review", "review_assignments.item", "review_assignments.person"],
            name="fk_review_answers_review_item_person",
            ondelete="CASCADE",
        ),
    )
    op.create_table(
        "review_settled",
        *_of_item_and_person("review_settled"),
        sa.Column("question", sa.String(120), nullable=False),
        sa.Column("value", sa.String(200), nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("settled_at", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("review", "item", "question", name="pk_review_settled"),
    )


def _reviews_and_people() -> None:
    op.create_table(
        "reviews",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("run", sa.String(200), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("rubric", sa.JSON, nullable=False),
        sa.Column("plan", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_reviews"),
        sa.UniqueConstraint("run", "number", name="uq_reviews_run_number"),
    )
    op.create_table(
        "review_people",
        sa.Column("review", sa.Integer, nullable=False),
        sa.Column("person", sa.Integer, nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("role", sa.String(20), nullable=False),
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("review", "person", name="pk_review_people"),
        sa.ForeignKeyConstraint(["review"], ["reviews.id"], name="fk_review_people_review", ondelete="CASCADE"),
        sa.UniqueConstraint("review", "name", name="uq_review_people_review_name"),
        sa.UniqueConstraint("token_hash", name="uq_review_people_token_hash"),
    )


def _of_item_and_person(table: str) -> list[sa.Column[int] | sa.ForeignKeyConstraint]:
    return [
        *(sa.Column(name, sa.Integer, nullable=False) for name in ("review", "item", "person")),
        sa.ForeignKeyConstraint(
            ["review", "item"],
            ["review_items.review", "review_items.item"],
            name=f"fk_{table}_review_item",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["review", "person"],
            ["review_people.review", "review_people.person"],
            name=f"fk_{table}_review_person",
            ondelete="CASCADE",
        ),
    ]
