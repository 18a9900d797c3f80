"""Generation and scoring: batched equals one by one, and equals the plain computation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.errors import ModelError
from tunesmith.models.inference.choices import _SURE, Tree
from tunesmith.models.inference.generate import classify, generate, score, score_choices, tag
from tunesmith.models.load import Model, open_model
from tunesmith.testing.tiny import tiny_model, tiny_tokenizer

torch.set_num_threads(1)

SHAPES: tuple[Literal["llama", "gpt2", "t5", "bart"], ...] = ("llama", "gpt2", "t5", "bart")
STOPS = tuple(range(2, 384, 7))  # many, so that answers end at different places
RANDOM = np.random.default_rng(0)
PROMPTS = [RANDOM.integers(60, 380, length).tolist() for length in (3, 17, 9, 1, 5, 30, 12, 2)]
CHOICES = [[70, 71, 2], [70, 72, 2], [70, 2], [90, 91, 92, 93, 2], [90, 91, 2], [100], [70, 71, 2, 5]]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    folder = tmp_path_factory.mktemp("tiny")
    # Tied fresh models repeat what they read last; untied ones say something, T5 only with wide weights.
    config: dict[str, Any] = {shape: {"tie_word_embeddings": False} for shape in SHAPES}
    config["t5"]["initializer_factor"] = 3.0
    return {
        shape: open_model(str(tiny_model(folder / shape, shape, **config[shape])), workspace=folder) for shape in SHAPES
    }


@dataclass(frozen=True)
class Row:
    ids: np.ndarray


@pytest.mark.parametrize("shape", SHAPES)
def test_batched_answers_equal_single_ones(models: dict[str, Model], shape: str) -> None:
    def answers(batch: int) -> list[tuple[str, int, bool]]:
        found = generate(models[shape], PROMPTS, stop_ids=STOPS, max_new_tokens=24, batch=batch)
        return [(answer.text, answer.num_tokens, answer.finished) for answer in found]

    alone = answers(1)
    assert len({count for _, count, _ in alone}) > 2, "the test is only sharp when answers differ in length"
    for batch in (2, 4, 8):
        assert answers(batch) == alone


@pytest.mark.parametrize("shape", SHAPES)
def test_answers_equal_those_of_transformers(models: dict[str, Model], shape: str) -> None:
    model = models[shape]
    found = generate(model, PROMPTS, stop_ids=STOPS, max_new_tokens=24, batch=4)
    for prompt, answer in zip(PROMPTS, found, strict=True):
        theirs = model.inner.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            max_new_tokens=24,
            do_sample=False,
            eos_token_id=list(STOPS),
            pad_token_id=0,
        )[0, len(prompt) if model.family == "causal" else 1 :].tolist()
        assert answer.num_tokens == len(theirs)
        assert answer.finished == (theirs[-1] in STOPS)
        spoken = theirs[:-1] if answer.finished else theirs
        assert answer.text == model.tokenizer.decode(spoken, skip_special_tokens=True)


def test_limits_and_progress(models: dict[str, Model]) -> None:
    model, seen = models["llama"], list[int]()
    found = generate(model, PROMPTS, stop_ids=(), max_new_tokens=3, batch=3, after=seen.append)
    assert seen == [3, 6, 8]
    assert {answer.num_tokens for answer in found} == {3}
    assert not any(answer.finished for answer in found)
    assert all(answer.seconds > 0 for answer in found)


def test_answers_end_where_the_context_ends(models: dict[str, Model]) -> None:
    (found,) = generate(models["gpt2"], [[70] * 120], stop_ids=(), max_new_tokens=50, batch=1)
    assert found.num_tokens == 8
    with pytest.raises(ModelError, match="129 tokens, the model reads at most 128"):
        generate(models["gpt2"], [[70] * 128], stop_ids=(), max_new_tokens=5, batch=1)


def test_what_cannot_be_asked_is_refused(models: dict[str, Model], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="prompt 1 is empty"):
        generate(models["llama"], [[70], []], stop_ids=(), max_new_tokens=5, batch=1)
    tiny_model(tmp_path / "tiny")
    model = open_model("tiny", workspace=tmp_path, head="classify", labels=("a", "b"))
    with pytest.raises(ModelError, match="classify head cannot generate"):
        generate(model, [[70]], stop_ids=(), max_new_tokens=5, batch=1)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("batch", [1, 3, 8])
def test_scores_equal_the_plain_sum(models: dict[str, Model], shape: str, batch: int) -> None:
    model = models[shape]
    answers = [CHOICES[row % len(CHOICES)] for row in range(len(PROMPTS))]
    found = score(model, PROMPTS, answers, batch=batch)
    for prompt, answer, nll in zip(PROMPTS, answers, found, strict=True):
        assert nll == pytest.approx(plain_nll(model, prompt, answer), rel=1e-5)


@torch.no_grad()
def plain_nll(model: Model, prompt: list[int], answer: list[int]) -> float:
    if model.family == "causal":
        logits = model.inner(input_ids=torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1]
    else:
        logits = model.inner(input_ids=torch.tensor([prompt]), labels=torch.tensor([answer])).logits[0]
    return -float(logits.log_softmax(dim=-1)[range(len(answer)), answer].sum())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("batch", [1, 3, 8])
def test_choices_equal_scores_one_by_one(models: dict[str, Model], shape: str, batch: int) -> None:
    model, seen = models[shape], list[int]()
    found = score_choices(model, PROMPTS, CHOICES, batch=batch, after=seen.append)
    expected = [[-plain_nll(model, prompt, choice) for choice in CHOICES] for prompt in PROMPTS]
    assert found == pytest.approx(np.array(expected), rel=1e-5)
    assert seen[-1] == len(PROMPTS)
    if model.family == "causal":
        assert _SURE[model.module], "these architectures read trees"


def test_single_token_choices_need_no_second_pass(models: dict[str, Model]) -> None:
    found = score_choices(models["llama"], PROMPTS[:2], [[70], [71]], batch=2)
    assert found == pytest.approx(
        np.array([[-plain_nll(models["llama"], p, c) for c in ([70], [71])] for p in PROMPTS[:2]])
    )


def test_windowed_attention_takes_the_plain_way(tmp_path: Path) -> None:
    from transformers import MistralConfig, MistralForCausalLM

    from tunesmith.models.quiet import quiet

    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    config = MistralConfig(
        vocab_size=384,
        intermediate_size=96,
        sliding_window=6,
        max_position_embeddings=128,
        initializer_range=0.08,
        **sizes,
    )
    with quiet():
        MistralForCausalLM(config).save_pretrained(tmp_path / "window")
        tiny_tokenizer().save_pretrained(tmp_path / "window")
    model = open_model("window", workspace=tmp_path)
    found = score_choices(model, PROMPTS, CHOICES, batch=4)
    expected = [[-plain_nll(model, prompt, choice) for choice in CHOICES] for prompt in PROMPTS]
    assert found == pytest.approx(np.array(expected), rel=1e-5)
    assert not _SURE[model.module]
    alone = generate(model, PROMPTS, stop_ids=STOPS, max_new_tokens=20, batch=1)
    together = generate(model, PROMPTS, stop_ids=STOPS, max_new_tokens=20, batch=8)
    assert [answer.text for answer in alone] == [answer.text for answer in together]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=5), min_size=1, max_size=8))
def test_trees_spell_their_choices(choices: list[list[int]]) -> None:
    tree = Tree.of(choices)
    beginnings = {tuple(choice[:end]) for choice in choices for end in range(1, len(choice))}
    assert len(tree.tokens) == len(beginnings), "shared beginnings are read once"
    sees = tree.ancestry()
    for column, choice in enumerate(choices):
        edges = [edge for edge, used in zip(tree.edges, tree.paths[:, column], strict=True) if used]
        assert sorted(token for _, token in edges) == sorted(choice)
        deepest = max(edges, key=lambda edge: -1 if edge[0] < 0 else tree.depths[edge[0]])[0]
        seen = np.flatnonzero(sees[deepest]).tolist() if deepest >= 0 else []
        assert [tree.tokens[node] for node in sorted(seen, key=lambda node: tree.depths[node])] == choice[:-1]


@pytest.mark.parametrize("shape", ["llama", "bert", "t5"])
@pytest.mark.parametrize("multi_label", [False, True])
def test_classification(tmp_path: Path, shape: str, multi_label: bool) -> None:
    folder = tiny_model(tmp_path / shape, shape)  # type: ignore[arg-type]
    labels = ("a", "b", "c")
    model = open_model(str(folder), workspace=tmp_path, head="classify", labels=labels, multi_label=multi_label)
    rows, seen = [Row(np.array(prompt, np.int32)) for prompt in PROMPTS], list[int]()
    found, seconds = classify(model, rows, batch=3, after=seen.append)
    assert seen == [3, 6, 8]
    assert (seconds > 0).all()
    for row, probabilities in zip(rows, found, strict=True):
        ids = torch.tensor([row.ids.tolist()])
        logits = model.logits(ids, torch.ones_like(ids))[0]
        expected = logits.sigmoid() if multi_label else logits.softmax(dim=-1)
        assert probabilities == pytest.approx(expected.detach().numpy(), rel=1e-5)
    assert math.isclose(float(found.sum(axis=1).max()), 1.0, rel_tol=1e-5) != multi_label


@pytest.mark.parametrize("shape", ["llama", "bert", "t5"])
def test_tagging(tmp_path: Path, shape: str) -> None:
    folder = tiny_model(tmp_path / shape, shape)  # type: ignore[arg-type]
    model = open_model(str(folder), workspace=tmp_path, head="tag", labels=("O", "B-X", "I-X"))
    rows = [Row(np.array(prompt, np.int32)) for prompt in PROMPTS]
    for row, tags in zip(rows, tag(model, rows, batch=3), strict=True):
        ids = torch.tensor([row.ids.tolist()])
        assert tags.tolist() == model.logits(ids, torch.ones_like(ids))[0].argmax(dim=-1).tolist()


def test_nothing_to_do(models: dict[str, Model]) -> None:
    assert generate(models["llama"], [], stop_ids=(), max_new_tokens=3, batch=4) == []
    assert score(models["llama"], [], [], batch=4) == []
    assert score_choices(models["llama"], [], CHOICES, batch=4).shape == (0, len(CHOICES))
