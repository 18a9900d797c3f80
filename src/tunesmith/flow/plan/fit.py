"""Whether a base can do the task at all, and how well these very rows suit it: measured, without a forward pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith.data.methods.quality.language import NO_LANGUAGE, detect, languages
from tunesmith.data.methods.quality.words import words
from tunesmith.flow.data.prepare import Job
from tunesmith.flow.request import Request
from tunesmith.records import Record

LOOKED_AT = 400
"""Training rows, evenly spaced, on which languages and tokens a word are measured."""
MANY_TOKENS = 3.0
"""Tokens a word above which a tokenizer does not know the words; English takes about 1.3 with a large vocabulary."""


@dataclass(frozen=True)
class Fit:
    """How a base suits a task and its rows."""

    objective: str
    family: str
    architecture: str
    context: int
    longest: int
    """Tokens of the longest training row, as this tokenizer cuts it."""
    cut: int
    """Training rows that lose tokens."""
    tokens_a_word: float
    rows_looked_at: int
    language: str
    """The commonest language of the rows, or empty."""
    languages: tuple[str, ...]
    """Those the model card names."""
    chat_template: bool
    against: tuple[str, ...]
    """What speaks against it, each with its number."""


def fit_of(request: Request, job: Job, cut: int, longest: int) -> Fit:
    """Measures how a base suits the rows of a job.

    Args:
        request: with the base.
        job: resolved for it.
        cut: training rows that were cut.
        longest: tokens of the longest row.
    """
    train, stage = job.splits["train"], job.spec.train[-1]
    some = _some(train)
    language = _language(some)
    facts, objective = request.base, job.objective(stage)
    fertility = _tokens_a_word(job.tokenizer, some)
    template = getattr(job.tokenizer, "chat_template", None) is not None
    against = []
    if cut:
        against.append(f"{cut:,} of {len(train):,} training rows are longer than it reads and lose tokens")
    if fertility > MANY_TOKENS:
        against.append(f"its tokenizer makes {fertility:.1f} tokens of a word: it was not made for such text")
    named = tuple(name.lower()[:2] for name in facts.languages)
    if language and named and language not in named and "multilingual" not in facts.languages:
        against.append(f"the rows are in {language!r}, and its card names {', '.join(facts.languages)}")
    if objective.need == "chat" and not template:
        against.append("it has no chat template, so it has not learned to be asked")
    return Fit(
        objective=objective.kind,
        family=facts.family,
        architecture=facts.architecture,
        context=facts.context,
        longest=longest,
        cut=cut,
        tokens_a_word=fertility,
        rows_looked_at=len(some),
        language=language,
        languages=facts.languages,
        chat_template=template,
        against=tuple(against),
    )


def text_of(record: Record) -> str:
    """All that a row says."""
    return record.text or " ".join(message.content for message in record.messages)


def _some(records: Sequence[Record]) -> list[Record]:
    step = max(1, len(records) // LOOKED_AT)
    return list(records[::step])[:LOOKED_AT]


def _language(records: Sequence[Record]) -> str:
    """The language of most rows; empty where no half of them agrees."""
    found = Counter(detect(text_of(record), languages())[0] for record in records)
    found.pop(NO_LANGUAGE, None)
    name, count = found.most_common(1)[0] if found else ("", 0)
    return name if count * 2 > len(records) else ""


def _tokens_a_word(tokenizer: Any, records: Sequence[Record]) -> float:
    texts = [text_of(record) for record in records]
    counted = sum(len(words(text)) for text in texts)
    ids = tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
    return sum(len(each) for each in ids) / counted if counted else 0.0
