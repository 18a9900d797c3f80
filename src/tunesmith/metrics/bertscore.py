"""BERTScore: how alike answer and right answer are, token by token, in a model's vectors (Zhang et al. 2020).

Every token of the one finds its likeliest of the other by the cosine of their vectors: over the answer's tokens that is
precision, over the right answer's recall. As the package bert-score computes it, without its rescaling by a baseline:
special tokens can be found and do not count themselves, an empty answer or right answer scores 0, and with several
right answers the best one counts. With `idf` tokens weigh by how few of the right answers that are measured hold them.

Figures of different models or layers do not compare. bert-score's own choice of a layer for each model is given in its
documentation, 17 for roberta-large and 9 for bert-base-uncased. Encoders such as these come out equal to it; models
that normalise their last layer's output once more, as most decoders do, only with `layer` left out.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar, Literal, NamedTuple, Self
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
from pydantic import Field, PrivateAttr

from tunesmith.metrics import Mean, Need
from tunesmith.metrics._classifier import unbound
from tunesmith.metrics._remembered import remembered
from tunesmith.records import Models, Prediction, TokenEmbedder

_TOGETHER = 256
"""Pairs whose vectors are held at once."""

Vectors = npt.NDArray[np.float32]
_Read = tuple[npt.NDArray[np.int64], Vectors]
"""Token ids [T] and vectors [T, D]."""


class _Pair(NamedTuple):
    """What a score hangs on beside the model."""

    answer: str
    reference: str
    layer: int | None
    corpus: tuple[str, ...]
    """What tokens' weights are counted in; nothing where all weigh the same."""


class _Scores(NamedTuple):
    precision: float
    recall: float
    f1: float


_KEPT: WeakKeyDictionary[TokenEmbedder, dict[_Pair, _Scores]] = WeakKeyDictionary()


class Bertscore(Mean):
    """Likeness of meaning with the right answer, token by token."""

    needs: ClassVar[frozenset[Need]] = frozenset({"text"})
    lowest: ClassVar[float] = -1.0
    model: str = Field(min_length=1, examples=["bundled"])
    """Whose vectors are compared: a folder or hub id of an encoder, `run:NAME/N`, or `bundled`."""
    part: Literal["precision", "recall", "f1"] = "f1"
    """Which of the three figures it is."""
    layer: int | None = Field(default=None, ge=0)
    """Whose output the vectors are, counted from 1; the last layer's when left out."""
    idf: bool = False
    """Whether tokens that few right answers hold weigh more."""
    _embedder: TokenEmbedder | None = PrivateAttr(None)

    @property
    def asks(self) -> str:
        return self.model

    def bind(self, models: Models) -> Self:
        """Itself with its model."""
        bound = self.model_copy()
        bound._embedder = models.token_embedder(self.model)
        return bound

    def scores(self, predictions: Sequence[Prediction]) -> list[float]:
        if self._embedder is None:
            raise unbound(self.kind)
        embedder = self._embedder
        every = tuple(reference for row in predictions for reference in row.references) if self.idf else ()
        pairs = [_Pair(row.output, reference, self.layer, every) for row in predictions for reference in row.references]
        kept = _KEPT.setdefault(embedder, {})
        found = iter(remembered(kept, pairs, lambda lacking: list(_scored(embedder, lacking))))
        return [max(getattr(next(found), self.part) for _ in row.references) for row in predictions]


def _scored(embedder: TokenEmbedder, pairs: Sequence[_Pair]) -> Iterator[_Scores]:
    """The scores of pairs that share layer and corpus."""
    layer, corpus = pairs[0].layer, pairs[0].corpus
    special = embedder.embed_tokens([""], layer)[0][0].tolist()
    weigh = _rareness(embedder, corpus, layer) if corpus else lambda token: float(token not in special)
    for start in range(0, len(pairs), _TOGETHER):
        some = pairs[start : start + _TOGETHER]
        texts = list(dict.fromkeys(text for pair in some for text in (pair.answer, pair.reference)))
        read = dict(zip(texts, embedder.embed_tokens(texts, layer), strict=True))
        for pair in some:
            answer, reference = read[pair.answer], read[pair.reference]
            empty = min(len(answer[0]), len(reference[0])) <= len(special)
            yield _Scores(0.0, 0.0, 0.0) if empty else _score(answer, reference, weigh)


def _score(answer: _Read, reference: _Read, weigh: Callable[[int], float]) -> _Scores:
    (ids_A, given_AD), (ids_R, wanted_RD) = answer, reference
    alike_AR = _unit(given_AD) @ _unit(wanted_RD).T
    precision = _mean(alike_AR.max(axis=1), [weigh(token) for token in ids_A.tolist()])
    recall = _mean(alike_AR.max(axis=0), [weigh(token) for token in ids_R.tolist()])
    both = precision + recall
    return _Scores(precision, recall, 2 * precision * recall / both if both else 0.0)


def _rareness(embedder: TokenEmbedder, corpus: Sequence[str], layer: int | None) -> Callable[[int], float]:
    """The weight of a token: log (N + 1) / (n + 1), where n of N texts hold it."""
    holding: Counter[int] = Counter()
    for start in range(0, len(corpus), _TOGETHER):
        read = embedder.embed_tokens(corpus[start : start + _TOGETHER], layer)
        holding.update(token for ids, _ in read for token in set(ids.tolist()))
    return lambda token: math.log((len(corpus) + 1) / (holding[token] + 1))


def _mean(values: Vectors, weights: Sequence[float]) -> float:
    """0 where nothing weighs anything."""
    total = sum(weights)
    return float(values @ np.array(weights)) / total if total else 0.0


def _unit(vectors_TD: Vectors) -> Vectors:
    unit_TD: Vectors = vectors_TD / np.linalg.norm(vectors_TD, axis=1, keepdims=True)
    return unit_TD
