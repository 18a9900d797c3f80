"""A local classifier that a metric asks about texts: found by its reference, asked once for each text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self
from weakref import WeakKeyDictionary

import numpy as np
from pydantic import PrivateAttr

from tunesmith.errors import UserError
from tunesmith.metrics import Metric
from tunesmith.metrics._remembered import remembered
from tunesmith.records import Classifier, Models


class ByClassifier(Metric):
    """A metric that may ask a classifier, in place of what it looks at by itself."""

    classifier: str | None = None
    """A model that tells, `run:NAME/N`."""
    label: str
    """What the classifier calls what is looked for."""
    _model: Classifier | None = PrivateAttr(None)

    @property
    def asks(self) -> str:
        return self.classifier or ""

    def bind(self, models: Models) -> Self:
        """Itself with its classifier, where it has one.

        Raises:
            UserError: the classifier has no such label.
        """
        if self.classifier is None:
            return self
        bound = self.model_copy()
        bound._model = _classifier_with(self.label, models, self.classifier, self.kind)
        return bound

    def likely(self, texts: Sequence[str]) -> list[float]:
        """The classifier's probability of its label for each text.

        Raises:
            UserError: the metric was not bound to its models.
        """
        return _likely(self._model, self.label, texts, self.kind)


_KEPT: WeakKeyDictionary[Classifier, dict[str, list[float]]] = WeakKeyDictionary()


def _classifier_with(label: str, models: Models, reference: str, metric: str) -> Classifier:
    """The classifier of that reference.

    Raises:
        UserError: it has no such label.
    """
    found = models.classifier(reference)
    if label not in found.labels:
        raise UserError(
            f"the classifier {reference} has no label {label!r}",
            where=f"{metric}.label",
            fix=f"write one of: {', '.join(found.labels)}",
        )
    return found


def _likely(classifier: Classifier | None, label: str, texts: Sequence[str], metric: str) -> list[float]:
    """The probability of a label for each text.

    Raises:
        UserError: the metric was not bound to its models.
    """
    if classifier is None:
        raise unbound(metric)
    column = classifier.labels.index(label)
    found = remembered(
        _KEPT.setdefault(classifier, {}),
        texts,
        lambda lacking: np.asarray(classifier.probabilities(lacking), np.float64).tolist(),
    )
    return [row[column] for row in found]


def unbound(metric: str) -> UserError:
    """What to say where a metric was not given the models it asks."""
    return UserError("the metric asks a model and was given none", where=metric, fix="call its `bind(models)` first")
