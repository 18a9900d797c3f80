"""Attributions held against captum, against models whose true reasons are known, and against their sum."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tunesmith.data.encode.tokenize import Codec
from tunesmith.evaluate.explain.gradients import attribute
from tunesmith.evaluate.explain.put import Answer, Put, answer_of, put, scores
from tunesmith.evaluate.explain.rows import explain, rank_correlation
from tunesmith.models.heads import Head
from tunesmith.models.inference.inside import attentions, mean_embedding, num_layers, shuffled_weights, states
from tunesmith.models.load import open_model
from tunesmith.models.model import Model
from tunesmith.records import Message, Prediction, Record
from tunesmith.testing.tiny import Shape, tiny_model

LABELS = ("delivery", "billing", "account")
TEXT = "My card has not arrived yet, hello!"
ROW = Record("r", "rows.jsonl:1", text=TEXT, labels=("delivery",))
ASKED = Record("r", "", messages=(Message("user", f"Label this: {TEXT}\nLabel?"), Message("assistant", "x", True)))
SAID = Prediction(ROW, "billing", "delivery", scores={"delivery": 0.3, "billing": 0.5, "account": 0.2})


@contextmanager
def opened(shape: Shape, head: str) -> Iterator[tuple[Model, Codec, Put]]:
    """A tiny model, its codec and a row that it reads."""
    with tempfile.TemporaryDirectory() as folder:
        path, labels = tiny_model(Path(folder) / shape, shape), LABELS if head == "classify" else ()
        model = open_model(str(path), workspace=Path(folder), head=head, labels=labels)  # type: ignore[arg-type]
        need: Any = "label" if head == "classify" else "chat"
        codec = Codec(
            model.tokenizer, need=need, family=model.family, max_length=100, too_long="truncate", labels=LABELS
        )
        row = put(codec, ROW, ROW if head == "classify" else ASKED, answer_of(codec, SAID))
        assert row is not None
        yield model, codec, row


@pytest.mark.parametrize(
    ("shape", "head"), [("llama", "classify"), ("bert", "classify"), ("gpt2", "lm"), ("t5", "lm"), ("bart", "lm")]
)
def test_integrated_gradients_equal_captum(shape: Shape, head: str) -> None:
    attr = pytest.importorskip("captum.attr")
    with opened(shape, head) as (model, _, row):
        model.train(False)
        expected_T = np.zeros(len(row.ids))
        for sign, answer in zip((1, -1), row.answer.written or ((),), strict=False):
            behind = answer if head == "lm" and model.family == "causal" else ()
            ids_1T = torch.tensor([[*row.ids, *behind]])
            # An independent way in: embeddings are handed to the model as its inputs.
            own_1TD = model.trunk.get_input_embeddings()(ids_1T).detach()
            free_1T1 = torch.tensor([[*row.free, *[False] * len(behind)]])[..., None]
            start_1TD = torch.where(free_1T1, mean_embedding(model), own_1TD)
            forward = _forward(model, len(row.ids), answer, row.answer.column)
            found_1TD = attr.IntegratedGradients(forward).attribute(
                own_1TD, start_1TD, n_steps=32, method="gausslegendre", internal_batch_size=32
            )
            expected_T += sign * found_1TD.sum(dim=2)[0, : len(row.ids)].detach().numpy()
        found = attribute(model, row, batch=5, most=32)
        assert found.steps == 32
        np.testing.assert_allclose(found.values, expected_T, atol=2e-5)
        assert np.abs(expected_T).max() > 1e-3


def _forward(model: Model, length: int, answer: Any, column: int | None) -> Any:
    def forward(embeds_BTD: torch.Tensor) -> torch.Tensor:
        if column is not None:
            hidden_BTD = model.trunk(inputs_embeds=embeds_BTD).last_hidden_state
            assert model.head is not None
            shares_BC = model.head.linear(hidden_BTD.mean(dim=1)).softmax(dim=1)
            return torch.logit(shares_BC[:, column])
        ids = torch.tensor(answer)
        if model.family == "causal":
            logits_BSV = model.module(inputs_embeds=embeds_BTD).logits[:, length - 1 : -1]
        else:
            start = torch.tensor([model.inner.config.decoder_start_token_id])
            said = torch.cat([start, ids[:-1]]).expand(len(embeds_BTD), -1)
            logits_BSV = model.module(inputs_embeds=embeds_BTD, decoder_input_ids=said).logits
        likely_BS: torch.Tensor = logits_BSV.log_softmax(-1)[:, torch.arange(len(ids)), ids]
        return likely_BS.sum(dim=1)

    return forward


class Bag(nn.Module):
    """Hidden states that are the embeddings: with the mean over tokens a linear model of words."""

    def __init__(self, words: int, width: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(words, width)
        self.config = SimpleNamespace(get_text_config=lambda: SimpleNamespace(hidden_size=width))

    def get_input_embeddings(self) -> nn.Module:
        return self.embed

    def forward(self, input_ids: Any, attention_mask: Any = None, **_: Any) -> Any:
        return SimpleNamespace(last_hidden_state=self.embed(input_ids))


def test_a_linear_model_is_explained_by_its_weights() -> None:
    with opened("bert", "classify") as (bert, _, row):
        head = Head("classify", 16, 2, pooling="mean", dropout=0.0, seed=1)
        bag = Bag(384, 16)
        model = replace(bert, module=bag, head=head, labels=("no", "yes"))
        row = replace(row, answer=Answer(column=1))
        found = attribute(model, row, batch=8)
        slope_D = (head.linear.weight[1] - head.linear.weight[0]).detach()
        apart_TD = bag.embed.weight[list(row.ids)] - bag.embed.weight.mean(dim=0)
        true_T = (apart_TD @ slope_D).detach().numpy() / len(row.ids) * row.free
        np.testing.assert_allclose(found.values, true_T, atol=1e-6)
        assert found.gap < 1e-4 and found.steps == 32
        # Leaving a token out of a mean: its own share goes, and those of the others grow.
        whole, less = scores(model, [row, replace(row, ids=row.ids[:3] + row.ids[4:])], batch=2)
        every_T = (bag.embed.weight[list(row.ids)] @ slope_D).detach().numpy()
        left = np.delete(every_T, 3).mean()
        assert whole - less == pytest.approx(every_T.mean() - left, abs=1e-6)


def test_more_steps_are_taken_where_the_gap_is_large_and_the_gap_is_told() -> None:
    with opened("llama", "lm") as (model, _, row):
        with torch.no_grad():
            model.trunk.get_input_embeddings().weight.mul_(4)  # a bumpier way from the mean to the words
        rough, fine = attribute(model, row, batch=64, steps=2, most=2), attribute(model, row, batch=64, steps=2)
        assert rough.steps == 2 and rough.gap > 0.05
        assert fine.steps > 2 and fine.gap <= 0.05
        (whole,) = scores(model, [row], batch=1)
        assert fine.difference == pytest.approx(rough.difference, abs=1e-5) and abs(whole) > 0


def test_what_is_explained_is_log_odds_or_how_much_likelier_an_answer_is() -> None:
    with opened("llama", "classify") as (model, _, row):
        ids, mask = torch.tensor([row.ids]), torch.ones(1, len(row.ids))
        share = model.logits(ids, mask).softmax(dim=1)[0, 1].item()
        assert row.answer == Answer(column=1)
        assert scores(model, [row], batch=1)[0] == pytest.approx(np.log(share / (1 - share)), abs=1e-5)
    with opened("llama", "lm") as (model, codec, row):
        assert [codec.tokenizer.decode(list(ids), skip_special_tokens=True) for ids in row.answer.written] == [
            "billing",
            "delivery",
        ]
        alone = [replace(row, answer=Answer(written=(ids,))) for ids in row.answer.written]
        one, other = scores(model, alone, batch=2)
        assert scores(model, [row], batch=1)[0] == pytest.approx(one - other, abs=1e-5)


@pytest.mark.parametrize("head", ["classify", "lm"])
def test_tokens_stand_where_the_question_says_them(head: str) -> None:
    with opened("llama", head) as (_, _, row):
        said = "".join(TEXT[start:end] for start, end in row.places if start >= 0)
        assert said == TEXT
        assert not row.free[0] and not row.free[-1], "what stands around the question is none of it"


def test_shuffled_weights_know_nothing_and_come_back() -> None:
    with opened("llama", "classify") as (model, codec, row):
        before = {name: weight.clone() for name, weight in model.module.state_dict().items()}
        own = attribute(model, row, batch=32).values
        with shuffled_weights(model, seed=1):
            mixed = attribute(model, row, batch=32).values
            for name, weight in model.module.state_dict().items():
                torch.testing.assert_close(weight.flatten().sort().values, before[name].flatten().sort().values)
        assert all(torch.equal(weight, before[name]) for name, weight in model.module.state_dict().items())
        correlation = rank_correlation(own[row.free], mixed[row.free])
        assert correlation is not None and abs(correlation) < 0.6
        rows = [
            replace(SAID, record=replace(ROW, text=text)) for text in (TEXT, "Where is it? I paid twice.", "a b c d")
        ]
        explained, sanity = explain(model, codec, rows, lambda records: records, batch=32, confidence=0.95, seed=0)
        assert sanity is not None and sanity.rows == 3 and sanity.incomplete == 0 and sanity.gap < 0.05
        assert sanity.shuffled.value is not None and abs(sanity.shuffled.value) < 0.6
        assert "".join(token.text for token in explained[0].tokens) == TEXT
        assert [word.text for word in explained[0].words] == [
            *("My", "card", "has", "not", "arrived", "yet", ",", "hello", "!")
        ]
        sums = [sum(token.value for token in explained[0].tokens), sum(word.gradients for word in explained[0].words)]
        assert sums[0] == pytest.approx(sums[1]) == pytest.approx(explained[0].difference, abs=0.05)
        shorter = put(codec, ROW, replace(ROW, text="card has not arrived yet, hello!"), row.answer)
        assert shorter is not None
        lost = scores(model, [row], batch=1)[0] - scores(model, [shorter], batch=1)[0]
        assert explained[0].words[0].ablation == pytest.approx(lost, abs=1e-5)


@pytest.mark.parametrize("shape", ["llama", "gpt2", "bert", "t5"])
def test_attention_and_states_are_those_of_the_model(shape: Shape) -> None:
    with opened(shape, "classify") as (model, _, row):
        found = attentions(model, row.ids)
        assert found is not None and found.shape == (2, 4, len(row.ids), len(row.ids))
        np.testing.assert_allclose(found.sum(axis=-1), 1, atol=1e-5)
        if model.family == "causal":
            assert np.triu(found, 1).max() == 0
        short = list(row.ids[:5])
        together = states(model, [list(row.ids), short], range(num_layers(model) + 1), batch=2)
        alone = states(model, [short], range(num_layers(model) + 1), batch=1)
        np.testing.assert_allclose(together[:, 1], alone[:, 0], atol=1e-5)
        last = model.hidden(torch.tensor([short]), torch.ones(1, 5)).mean(dim=1)[0].detach().numpy()
        np.testing.assert_allclose(alone[-1, 0], last, atol=1e-5)
