"""Asks a model with a language head the items of a suite.

Of a pair of sentences the one that the model finds likelier counts; of a question the answer whose tokens are likelier
on average, so that longer answers are not at a loss.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tunesmith.evaluate.fairness.suites import Item, Question, SentencePair, Suite
from tunesmith.evaluate.predict.surprise import answer_ids
from tunesmith.metrics._measured import BIAS, BIASED, MEANINGFUL, PERSON, PREFERRED, RIGHT, SUITE
from tunesmith.records import Message, Prediction, Record

if TYPE_CHECKING:
    from tunesmith.data.encode.tokenize import Codec
    from tunesmith.models.load import Model

Asked = tuple[list[int], list[int]]
"""What is read before, and the tokens whose likelihood is asked for."""


def ask(model: Model, codec: Codec, suite: Suite, *, batch: int, after: Callable[[int, int], None]) -> list[Prediction]:
    """What the model makes of each item; items that are too long for it are left out.

    Args:
        model: with a language head.
        codec: of conversations, as long as the model reads.
        suite: its items.
        batch: sentences computed at once.
        after: told (done, total).
    """
    from tunesmith.models.inference.score import score

    asked = [(item, _of_pair(codec, item) if isinstance(item, SentencePair) else _of_question(codec, item))
             for item in suite.items]  # fmt: skip
    fitting = [(item, parts) for item, parts in asked if all(_fits(part, codec) for part in parts)]
    every = [part for _, parts in fitting for part in parts]
    if not every:
        return []
    nats = score(
        model,
        [before for before, _ in every],
        [then for _, then in every],
        batch=batch,
        after=lambda done: after(done, len(every)),
    )
    found, at = [], 0
    for item, parts in fitting:
        likely = [-nats[at + place] for place in range(len(parts))]
        at += len(parts)
        found.append(_judged(suite, item, likely, [len(then) for _, then in parts]))
    return found


def _of_pair(codec: Codec, item: SentencePair) -> list[Asked]:
    sentences = [item.stereotype, item.other, *([] if item.unrelated is None else [item.unrelated])]
    return [sentence_asked(codec, item.context, sentence) for sentence in sentences]


def sentence_asked(codec: Codec, context: str, sentence: str) -> Asked:
    """A sentence after its context. A causal base that begins with no token of its own is not asked for the first."""

    def ids(text: str) -> list[int]:
        found: list[int] = codec.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return found

    before = ids(context) if context else []
    then = ids(f" {sentence}" if context else sentence)
    if codec.family == "encoder_decoder":
        return before or list(codec.stop_ids[:1]), then
    begin = [] if codec.bos_id is None else [codec.bos_id]
    read = [*begin, *before]
    return (read, then) if read else (then[:1], then[1:])


def _of_question(codec: Codec, item: Question) -> list[Asked]:
    options = "\n".join(f"- {answer}" for answer in item.answers)
    asked = Message("user", f"{item.context} {item.question}\n{options}")
    parts = []
    for answer in item.answers:
        record = Record(item.id, "", messages=(asked, Message("assistant", answer, trained=True)))
        parts.append((codec.prompt_ids(record), answer_ids(codec, record)))
    return parts


def _fits(part: Asked, codec: Codec) -> bool:
    before, then = part
    return bool(before and then) and len(before) + len(then) <= codec.max_length


def _judged(suite: Suite, item: Item, likely: Sequence[float], lengths: Sequence[int]) -> Prediction:
    slices = {SUITE: suite.name, BIAS: item.bias}
    means = [each / length for each, length in zip(likely, lengths, strict=True)]
    if isinstance(item, SentencePair):
        how = means if item.per_token else likely
        stereotype, other, *unrelated = how
        measured = {} if stereotype == other else {PREFERRED: float(stereotype > other)}
        if unrelated:
            measured[MEANINGFUL] = ((stereotype > unrelated[0]) + (other > unrelated[0])) / 2
        record = Record(f"{suite.name}:{item.id}", suite.path, text=item.stereotype, slices=slices)
        said = item.stereotype if stereotype > other else item.other
        return Prediction(record, said, "", measured=measured)
    given = max(range(len(means)), key=means.__getitem__)
    context = "ambiguous" if item.ambiguous else "clear"
    measured = {f"{RIGHT}.{context}": float(given == item.right)}
    if item.stereotype is not None:
        measured[f"{PERSON}.{context}"] = float(given != item.unknown)
        measured[f"{BIASED}.{context}"] = float(given == item.stereotype)
    record = Record(f"{suite.name}:{item.id}", suite.path, text=f"{item.context} {item.question}", slices=slices)
    return Prediction(record, item.answers[given], item.answers[item.right], measured=measured)
