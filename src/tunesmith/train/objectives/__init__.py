"""Objectives: what is learned from a batch of examples.

An objective turns examples into tensors and tensors into a summed loss. What the sum is divided by is
known before the forward pass, so that the loop can divide by the count of the *whole* optimizer step,
however it is cut into micro-batches.

Shapes: N tokens of all rows, M supervised positions, B rows, T tokens, S answer tokens, D hidden size,
V vocabulary, C classes.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from torch import Tensor

from tunesmith.part import Part

if TYPE_CHECKING:
    from tunesmith.data.encode.tokenize import Example
    from tunesmith.models.load import Model
    from tunesmith.records import Record

Need = Literal["text", "chat", "label", "spans"]
HeadKind = Literal["lm", "classify", "tag"]


@dataclass
class Batch:
    """A micro-batch, ready for the model.

    Args:
        tensors: what the objective's `loss` reads, on the model's device.
        ids: the examples' names, for messages.
        num_tokens: tokens the examples hold, padding left out.
        num_trained: how many targets the loss counts.
        count: what the summed loss is divided by; weights included.
    """

    tensors: dict[str, Tensor]
    ids: list[str]
    num_tokens: int
    num_trained: int
    count: float

    @property
    def lengths_B(self) -> Tensor:
        """Tokens of each row the model reads."""
        packed = self.tensors.get("lengths_B")
        return self.tensors["mask_BT"].sum(dim=1) if packed is None else packed


@dataclass(frozen=True)
class Loss:
    """What `Objective.loss` returns.

    Args:
        sum: the weighted losses of all targets, summed; a scalar with a gradient.
        metrics: further figures, each summed with the same weights as the loss.
    """

    sum: Tensor
    metrics: Mapping[str, Tensor] = field(default_factory=dict)


class Objective(Part):
    """What is learned. One file in this folder, or one entry point, is one objective."""

    need: ClassVar[Need]
    """The shape its records must have."""
    head: ClassVar[HeadKind]
    """What stands on top of the base."""

    def teachers(self) -> tuple[str, ...]:
        """References, as a spec names them, of the models it learns from beside the rows."""
        return ()

    def columns(self) -> tuple[str, ...]:
        """Columns it reads from the slices of the rows it learns from."""
        return ()

    def told(self, records: Sequence[Record]) -> Objective:
        """The objective with what it has to know of the rows, where it reads columns of them.

        Raises:
            UserError: the rows do not hold what it needs.
        """
        return self

    def taught_by(self, teachers: Mapping[str, Model]) -> Objective:
        """The objective with its teachers at hand.

        Args:
            teachers: reference -> model, which never trains; on the device and in the precision of what learns.
        """
        return self

    def join(self, model: Model, seed: int) -> None:
        """Puts onto `model.beside` what learns with the model and is not part of it, where there is such a thing.

        Args:
            model: what is about to be trained.
            seed: draws fresh weights.
        """

    def check(self, model: Model) -> None:
        """Refuses a model that cannot learn this way.

        Raises:
            ModelError: it cannot; the message says what can.
        """

    @abstractmethod
    def batch(self, examples: Sequence[Example], model: Model) -> Batch:
        """Tensors of these examples, on the model's device."""

    @abstractmethod
    def loss(self, model: Model, batch: Batch) -> Loss:
        """The summed loss of a batch. Must be finite and have a gradient where anything is trained."""
