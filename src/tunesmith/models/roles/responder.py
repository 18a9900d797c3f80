"""A model on this machine that answers."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

from tunesmith.errors import ModelError
from tunesmith.models.inference.generate import generate
from tunesmith.models.inference.sampling import Sampling
from tunesmith.models.load import open_model
from tunesmith.models.roles.codec import MakeCodec
from tunesmith.models.roles.opening import to_fastest
from tunesmith.records import Message, Record


class LocalResponder:
    """Answers with a causal or encoder-decoder model, by its chat template.

    Args:
        reference: `bundled`, a folder, a hub id or `run:NAME/N`.
        workspace: the folder that holds `runs/`.
        codec: makes the codec of its tokenizer.
        batch: conversations answered at once.

    Raises:
        ModelError: it cannot be opened, or cannot answer.
    """

    def __init__(self, reference: str, *, workspace: Path, codec: MakeCodec, batch: int = 16) -> None:
        self.model, self.batch = open_model(reference, workspace=workspace), batch
        if self.model.head is not None:
            raise ModelError(
                f"a model with a {self.model.head_kind} head cannot answer",
                where=reference,
                fix="name a causal or encoder-decoder model, or a run trained by sft",
            )
        to_fastest(self.model)
        self.codec = codec(
            self.model.tokenizer,
            need="chat",
            family=self.model.family,
            max_length=self.model.context,
            too_long="truncate",
        )

    def respond(
        self, conversations: Sequence[Sequence[Message]], *, max_tokens: int, temperature: float = 0.0, seed: int = 0
    ) -> list[str]:
        """One answer for each conversation, in order. What is drawn follows from the seed and the conversation, so that
        it does not depend on those beside it; of several equal ones each has its own.

        Prompts that leave no room for an answer are cut as in training, and an answer takes at most half the context.
        """
        if not conversations:
            return []
        longest = min(max_tokens, self.model.context // 2)
        prompts = [self.codec.prompt_ids(_record(turns), room=longest) for turns in conversations]
        answers = generate(
            self.model,
            prompts,
            stop_ids=self.codec.stop_ids,
            max_new_tokens=longest,
            batch=self.batch,
            sampling=Sampling(temperature=temperature),
            seeds=_seeds(prompts, seed),
        )
        return [answer.text for answer in answers]


def _record(turns: Sequence[Message]) -> Record:
    return Record("", "", messages=(*turns, Message("assistant", "", trained=True)))


def _seeds(prompts: Sequence[Sequence[int]], seed: int) -> list[int]:
    met: dict[str, int] = {}
    seeds = []
    for prompt in prompts:
        said = f"{seed} {list(prompt)}"
        met[said] = met.get(said, 0) + 1
        digest = blake2b(f"{said} {met[said]}".encode(), digest_size=8).digest()
        seeds.append(int.from_bytes(digest, "big"))
    return seeds
