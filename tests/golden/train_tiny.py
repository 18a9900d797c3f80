"""Tiny seeded models and rows for the tests of the training loop."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import BertConfig, BertModel, LlamaConfig, LlamaForCausalLM, T5Config, T5ForConditionalGeneration

from tunesmith.data.encode.tokenize import Example
from tunesmith.errors import Interrupted
from tunesmith.models.heads import Head
from tunesmith.models.model import Model, Origin
from tunesmith.spec.quantity import Batch, Duration, Every
from tunesmith.spec.sections import Train
from tunesmith.train.checkpoint import Checkpoints
from tunesmith.train.loop import fit
from tunesmith.train.objectives import Objective
from tunesmith.train.objectives.sft import Sft
from tunesmith.train.optimizers.adamw import AdamW
from tunesmith.train.schedules.cosine import Cosine
from tunesmith.train.step import Step

torch.set_num_threads(1)

VOCABULARY = 64
PAD = 0


def rows(
    count: int, *, seed: int = 0, longest: int = 12, masked: Sequence[int] = (), answers: bool = False,
    prose: bool = False) -> list[Example]:  # fmt: skip
    """Rows of mixed length for every objective; the first part of each is a prompt.

    `masked`: rows of which no token is trained. `answers`: with something for a decoder to say.
    `prose`: every token is trained.
    """
    random = np.random.default_rng(seed)
    made = []
    for number in range(count):
        length = int(random.integers(4, longest + 1))
        prompt = int(random.integers(1, length - 1))
        trained = np.arange(length) >= (0 if prose else length if number in masked else prompt)
        # The token before last is learnable from the row: it repeats the first.
        ids = random.integers(1, VOCABULARY, length).astype(np.int32)
        ids[-2] = ids[0]
        made.append(
            Example(
                id=f"row-{number}",
                ids=ids,
                trained=trained,
                roles=np.zeros(length, dtype=np.uint8),
                label=(int(ids[0]) % 3,),
                tags=np.where(np.arange(length) == 0, -100, ids % 4).astype(np.int32),
                answer_ids=random.integers(1, VOCABULARY, length // 2).astype(np.int32) if answers else None,
            )
        )
    return made


def causal(*, seed: int = 0, dropout: float = 0.0, width: int = 32) -> Model:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=width,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        attention_dropout=dropout,
        tie_word_embeddings=True,
        pad_token_id=PAD,
        bos_token_id=1,
        eos_token_id=2,
    )
    return _model(LlamaForCausalLM(config), "causal")


def encoder(kind: str, *, classes: int = 3, multi_label: bool = False, dropout: float = 0.0, seed: int = 0) -> Model:
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=64,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    module = BertModel(config, add_pooling_layer=False)
    head = Head(kind, 32, classes, pooling="mean", dropout=dropout, seed=seed)
    labels = tuple(f"class-{number}" for number in range(classes))
    return _model(module, "encoder", head=head, head_kind=kind, labels=labels, multi_label=multi_label)


def encoder_decoder(*, seed: int = 0, dropout: float = 0.0) -> Model:
    torch.manual_seed(seed)
    config = T5Config(
        vocab_size=VOCABULARY,
        d_model=32,
        d_kv=8,
        d_ff=48,
        num_layers=2,
        num_decoder_layers=2,
        num_heads=4,
        dropout_rate=dropout,
        decoder_start_token_id=PAD,
        pad_token_id=PAD,
    )
    return _model(T5ForConditionalGeneration(config), "encoder_decoder")


def _model(module: Any, family: Any, **more: Any) -> Model:
    plain: dict[str, Any] = {"head": None, "head_kind": "lm", "labels": (), "multi_label": False, **more}
    origin = Origin(reference="tiny", revision=None, initialize="random", seed=0, digest="")
    nothing: Any = None
    return Model(
        module=module,
        tokenizer=nothing,
        family=family,
        context=64,
        pad_id=PAD,
        reference="tiny",
        digest="",
        origin=origin,
        **plain,
    )


def stage(**changes: Any) -> Train:
    """A resolved stage: 2 epochs of 4 rows a step in fp32; fields by keyword, quantities as text."""
    kinds = {"duration": Duration, "batch": Batch, "micro_batch": Batch, "validate_every": Every}
    parsed = {name: kinds[name].parse(value) if name in kinds else value for name, value in changes.items()}
    return Train.model_validate(
        {
            "objective": Sft(),
            "duration": Duration(2, "epochs"),
            "batch": Batch(4, "rows"),
            "optimizer": AdamW(lr=1e-2),
            "schedule": Cosine(),
            "watch": [],
            "precision": "fp32",
            **parsed,
        }
    )


def train(
    folder: Path, model: Model, examples: Sequence[Any], objective: Objective | None = None, *,
    steps: int | None = None, save_every: float = 120.0, train: Train | None = None, **more: Any
) -> list[Step]:  # fmt: skip
    """Runs `fit`, to its end or for some steps."""
    checkpoints = Checkpoints(folder, save_every=save_every)
    done: list[Step] = []
    more.setdefault("stop", lambda: len(done) == steps)
    with suppress(Interrupted):
        done.extend(fit(model, examples, objective or Sft(), train=train or stage(), checkpoints=checkpoints, **more))
    return done


def weights_of(model: Model) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.trainable().items()}
