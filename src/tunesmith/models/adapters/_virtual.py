"""What prefix and prompt tuning have in common: virtual tokens in front of every row."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from tunesmith.errors import ModelError
from tunesmith.models.adapters._peft import PeftAdapter

if TYPE_CHECKING:
    from torch import Tensor

    from tunesmith.models.model import Model


class VirtualTokens(PeftAdapter):
    """Virtual tokens in front of every row, which train while every weight of the model stands still."""

    starts_as_base: ClassVar[bool] = False
    mergeable: ClassVar[bool] = False

    length: int = Field(default=16, ge=1)
    """How many virtual tokens; they take their place in the model's context."""
    init: Literal["random", "text"] = "random"
    """Training starts from what the model makes of `random` tokens of its vocabulary, or of those of `text`."""
    text: str | None = None
    """The words to start from with `init: text`, repeated or cut to `length` tokens."""

    @property
    def takes_context(self) -> int:
        """Tokens of the model's context that no row can have."""
        return self.length

    @model_validator(mode="after")
    def _text_is_read(self) -> Self:
        if (self.init == "text") != bool(self.text):
            raise ValueError("`init: text` needs a `text` to start from, and no other init reads one")
        return self

    def first_ids(self, model: Model, seed: int) -> Tensor:
        """[1, length] token ids that training starts from."""
        import torch

        if self.text is None:
            draw = torch.Generator().manual_seed(seed)
            words = model.inner.config.get_text_config().vocab_size
            return torch.randint(0, words, (1, self.length), generator=draw).to(model.device)
        ids = model.tokenizer(self.text, add_special_tokens=False)["input_ids"]
        if not ids:
            raise ModelError("the text has no tokens", where="train.adapter.text", fix="write some words")
        return torch.tensor([(ids * self.length)[: self.length]], device=model.device)

    def refuse_long(self, model: Model) -> None:
        """Refuses more virtual tokens than the model can read with at least as many of a row.

        Raises:
            ModelError: there are too many.
        """
        if 2 * self.length > model.context:
            raise ModelError(
                f"{self.length} virtual tokens leave too little of a context of {model.context}",
                where="train.adapter.length",
                fix=f"write at most {model.context // 2}",
            )

    def merge(self, model: Model) -> None:
        raise self.refuse_merge()
