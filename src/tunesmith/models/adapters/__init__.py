"""Adapters: which weights of a model are trained, and how they are put on and taken off.

The settings import neither torch nor PEFT, so that specs are read without them.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from tunesmith.errors import ModelError
from tunesmith.part import Part

if TYPE_CHECKING:
    from torch import Tensor

    from tunesmith.models.model import Model


class Adapter(Part):
    """One way to train a model or a part of it."""

    starts_as_base: ClassVar[bool] = True
    """Whether a fresh one changes no output by a bit, computed in fp32."""
    mergeable: ClassVar[bool] = True
    """Whether it can be folded into the model's own weights."""

    @abstractmethod
    def attach(self, model: Model, seed: int) -> None:
        """Makes the model ready to train: adds layers where needed and says which weights move.

        A model that already carries this adapter goes on with it. Our head, where there is one, always
        trains.

        Args:
            model: changed in place.
            seed: draws fresh adapter weights.

        Raises:
            ModelError: the adapter does not fit the model.
        """

    @abstractmethod
    def merge(self, model: Model) -> None:
        """Folds the adapter into the model's own weights, so that `model.save` writes them whole.

        Raises:
            ModelError: it is of a sort that no weights of the model can stand for.
        """

    @abstractmethod
    def count(self, model: Model) -> int:
        """How many parameters train, our head aside.

        Args:
            model: before the adapter is attached; only its shapes are read.
        """

    def saved(self, model: Model) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What a folder keeps of it: its tensors, and what `adapter_config.json` says.

        Both are empty for an adapter that leaves nothing beside the model's own weights.
        """
        return {}, {}

    def reopen(self, model: Model, tensors: dict[str, Tensor], config: dict[str, Any]) -> None:
        """Puts a saved one back on its base, ready to be trained further.

        Args:
            model: the base, changed in place.
            tensors: as `saved` gave them.
            config: as `saved` gave it.

        Raises:
            ModelError: they do not fit the base.
        """
        raise NotImplementedError(f"{self.kind} leaves nothing to reopen")

    def packed(self, model: Model) -> tuple[int, int, int]:
        """What it holds in fewer bits than the model computes with.

        Args:
            model: before the adapter is attached; only its shapes are read.

        Returns:
            Weights so held, the bytes they take, and the largest number unpacked at once.
        """
        return 0, 0, 0

    def refuse_change(self, model: Model) -> None:
        """Refuses a model that carries an adapter with other settings than these.

        Raises:
            ModelError: it does.
        """
        assert model.adapter is not None
        if model.adapter.settings() != self.settings():
            raise ModelError(
                f"{model.reference} carries the adapter {model.adapter.settings()}, not {self.settings()}",
                where="train.adapter",
                fix="write the same settings to go on training it, or `adapter: full`, which merges it first",
            )

    def refuse_merge(self) -> ModelError:
        """The error of adapters that cannot be merged."""
        return ModelError(
            f"a {self.kind} adapter acts on more than weights and cannot be merged into them",
            where="train.adapter",
            fix="use the adapter's folder as it is, or train with lora, qlora or ia3, which merge",
        )
