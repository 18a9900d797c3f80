"""Adapters: which weights of a model are trained, and how they are put on and taken off.

The settings import neither torch nor PEFT, so that specs are read without them.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from tunesmith.part import Part

if TYPE_CHECKING:
    from tunesmith.models.model import Model


class Adapter(Part):
    """One way to train a model or a part of it."""

    @abstractmethod
    def attach(self, model: Model, seed: int) -> None:
        """Makes the model ready to train: adds layers where needed and says which weights move.

        A model that already carries this adapter goes on with it. At the start the model's outputs
        are unchanged, bit for bit. Our head, where there is one, always trains.

        Args:
            model: changed in place.
            seed: draws fresh adapter weights.

        Raises:
            ModelError: the adapter does not fit the model.
        """

    @abstractmethod
    def merge(self, model: Model) -> None:
        """Folds the adapter into the model's own weights, so that `model.save` writes them whole."""

    @abstractmethod
    def count(self, linears: list[tuple[str, int, int]], total: int) -> int:
        """How many parameters train, our head aside.

        Args:
            linears: (name, inputs, outputs) of the linear layers an adapter can reach.
            total: all parameters that take part in the job.
        """
