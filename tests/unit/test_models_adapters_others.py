"""IA3, prefix and prompt tuning and bottleneck adapters: what they change, keep, count and refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from adapter_tiny import ANSWERS, IDS, JOBS, MASK, adapter, close, loss, opened, outputs, peft_opens, shaken, train

from tunesmith.errors import ModelError
from tunesmith.models.adapters import Adapter
from tunesmith.models.inference.generate import generate, score, score_choices
from tunesmith.models.load import open_model
from tunesmith.models.quiet import quiet
from tunesmith.part import ADAPTERS
from tunesmith.testing.tiny import tiny_model

KINDS: dict[str, dict[str, Any]] = {
    "ia3": {},
    "prefix": {"length": 5},
    "prompt": {"length": 5},
    "bottleneck": {"size": 6},
}
CARRIED = [
    (kind, shape, head)
    for kind in KINDS
    for shape, head in JOBS
    if kind != "prefix" or shape in ("llama", "gpt2") or (shape in ("t5", "bart") and head == "lm")
]


@pytest.mark.parametrize(("kind", "shape", "head"), CARRIED)
def test_it_is_counted_trains_alone_and_learns(bench: Path, kind: str, shape: str, head: str) -> None:
    model = opened(bench, shape, head)
    base = [(weight, weight.clone()) for weight in model.inner.parameters()]
    before, counted = outputs(model), adapter(kind, **KINDS[kind]).count(model)
    adapter(kind, **KINDS[kind]).attach(model, seed=0)
    assert torch.equal(outputs(model), before) == (kind in ("ia3", "bottleneck"))
    own = {name: weight for name, weight in model.trainable().items() if not name.startswith("head.")}
    assert counted == sum(weight.numel() for weight in own.values()) > 0
    start = loss(model)
    assert train(model, steps=8) < start
    assert all(weight.grad is not None for weight in own.values())
    assert all(torch.equal(weight, was) for weight, was in base), "the base has moved"


@pytest.mark.parametrize(("kind", "shape", "head"), CARRIED)
def test_saved_reopened_and_continued(bench: Path, kind: str, shape: str, head: str) -> None:
    part = adapter(kind, **KINDS[kind])
    model = opened(bench, shape, head)
    part.attach(model, seed=0)
    last = train(shaken(model))
    model.save(bench / "tuned")
    again = open_model("tuned", workspace=bench)
    assert again.adapter == part and again.head_kind == head
    assert torch.equal(outputs(again), outputs(model)) and loss(again) == last
    part.attach(again, seed=9)
    assert set(again.trainable()) == set(model.trainable()) and again.context == model.context
    assert train(again) == train(model)
    with pytest.raises(ModelError, match="carries the adapter"):
        adapter("lora").attach(again, seed=0)


@pytest.mark.parametrize(
    ("kind", "shape"),
    [(kind, shape) for kind in ("ia3", "prefix", "prompt") for shape in ("llama", "gpt2", "t5", "bart")],
)
def test_peft_opens_them_with_equal_outputs(bench: Path, kind: str, shape: str) -> None:
    """PEFT's own forward puts virtual tokens elsewhere; what comes out is the same."""
    model = opened(bench, shape)
    adapter(kind, **KINDS[kind]).attach(model, seed=0)
    shaken(model).save(bench / "tuned")
    theirs = peft_opens(bench, shape, "tuned")
    given = {"decoder_input_ids": model.shift_right(ANSWERS)} if model.family == "encoder_decoder" else {}
    with quiet(), torch.no_grad():
        found = theirs(input_ids=IDS, attention_mask=MASK, **given).logits
    if not given:
        found = found[:, -IDS.shape[1] :][MASK.bool()]
    assert close(found, outputs(model))


def test_adapters_that_peft_wrote_open_too(bench: Path) -> None:
    from peft import IA3Config, PrefixTuningConfig, PromptTuningConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    config: Any
    for config in (
        IA3Config(task_type="CAUSAL_LM"),
        PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4),
        PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3),
    ):
        with quiet():
            theirs = get_peft_model(AutoModelForCausalLM.from_pretrained(bench / "llama"), config).eval()
            theirs.save_pretrained(bench / "theirs")
        path = bench / "theirs" / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"base_model_name_or_path": "llama"}))
        model = open_model("theirs", workspace=bench)
        with torch.no_grad():
            expected = theirs(input_ids=IDS, attention_mask=MASK).logits[:, -IDS.shape[1] :][MASK.bool()]
        assert close(outputs(model), expected)


@pytest.mark.parametrize("shape", ["llama", "gpt2", "bert", "t5"])
def test_ia3_merges(bench: Path, shape: str) -> None:
    model = opened(bench, shape, "tag" if shape == "bert" else "lm")
    part = adapter("ia3")
    part.attach(model, seed=0)
    expected = outputs(shaken(model))
    part.merge(model)
    assert close(outputs(model), expected)
    model.save(bench / "merged")
    assert torch.equal(outputs(open_model("merged", workspace=bench)), outputs(model))


@pytest.mark.parametrize("kind", ["prefix", "prompt", "bottleneck"])
def test_what_cannot_be_merged_says_so(bench: Path, kind: str) -> None:
    model = opened(bench, "llama")
    adapter(kind).attach(model, seed=0)
    with pytest.raises(ModelError, match="cannot be merged"):
        adapter(kind).merge(model)
    with pytest.raises(ModelError, match="cannot be merged"):
        adapter("full").attach(model, seed=0)


@pytest.mark.parametrize(
    ("kind", "setting"),
    [
        ("ia3", {"targets": ["q_proj"]}),
        ("ia3", {"targets": ["k_proj", "v_proj", "down_proj"]}),
        ("ia3", {"targets": ["q_proj"], "feedforward": ["q_proj"]}),
        ("prefix", {"length": 7}),
        ("prefix", {"init": "text", "text": "reset my password"}),
        ("prompt", {"length": 7}),
        ("prompt", {"init": "text", "text": "reset my password"}),
        ("bottleneck", {"size": 5}),
        ("bottleneck", {"activation": "relu"}),
        ("bottleneck", {"activation": "tanh"}),
        ("bottleneck", {"after": "feedforward"}),
        ("bottleneck", {"after": ["q_proj"]}),
    ],
    ids=str,
)
def test_every_setting_changes_the_outcome(bench: Path, kind: str, setting: dict[str, Any]) -> None:
    def trained(**settings: Any) -> float:
        model = opened(bench, "llama")
        adapter(kind, **settings).attach(model, seed=0)
        return train(shaken(model))

    assert trained(**setting) == trained(**setting) != trained()


def test_ia3_scales_inputs_of_feedforward_layers_and_outputs_of_others(bench: Path) -> None:
    def trained(**settings: Any) -> set[int]:
        model = opened(bench, "llama")
        adapter("ia3", **settings).attach(model, seed=0)
        return {weight.numel() for weight in model.trainable().values()}

    assert trained(targets=["down_proj"]) == {64}
    assert trained(targets=["down_proj"], feedforward=["down_proj"]) == {96}


@pytest.mark.parametrize("shape", ["llama", "gpt2"])
def test_a_prefix_from_text_is_that_text_in_front(bench: Path, shape: str) -> None:
    """Before training, keys and values of a prefix are those the model computes for the words themselves."""
    words = "the invoice of last month"
    model = opened(bench, shape)
    ids = torch.tensor([model.tokenizer(words, add_special_tokens=False)["input_ids"]])
    with torch.no_grad():
        mask = torch.cat([torch.ones(3, ids.shape[1]), MASK], dim=1)
        whole = model.logits(torch.cat([ids.expand(3, -1), IDS], dim=1), mask)
    for kind in ("prefix", "prompt"):
        model = opened(bench, shape)
        adapter(kind, length=ids.shape[1], init="text", text=words).attach(model, seed=0)
        assert close(outputs(model), whole[:, ids.shape[1] :][MASK.bool()])


@pytest.mark.parametrize("shape", ["llama", "gpt2", "t5", "bart"])
@pytest.mark.parametrize("kind", ["prefix", "prompt"])
def test_virtual_tokens_are_seen_while_answering(bench: Path, kind: str, shape: str) -> None:
    """Batched decoding says what step by step logits say, and trees of choices score as rows of their own."""
    model = opened(bench, shape)
    adapter(kind, length=5).attach(model, seed=0)
    shaken(model, by=0.5)
    prompts = [row[: int(mask.sum())].tolist() for row, mask in zip(IDS, MASK, strict=True)]
    found = generate(model, prompts, stop_ids=[], max_new_tokens=4, batch=3)
    for prompt, answer in zip(prompts, found, strict=True):
        said: list[int] = []
        for _ in range(4):
            ids = torch.tensor([prompt if model.family == "encoder_decoder" else prompt + said])
            with torch.no_grad():
                logits = model.logits(ids, torch.ones_like(ids), torch.tensor([[*said, 0]]))
            said.append(int(logits[0, -1].argmax()))
        assert answer.text == model.tokenizer.decode(said, skip_special_tokens=True)
    choices = [[11, 12, 2], [11, 13, 2], [40, 2]]
    pairs = [(prompt, choice) for prompt in prompts for choice in choices]
    one_by_one = score(model, [prompt for prompt, _ in pairs], [choice for _, choice in pairs], batch=2)
    together = score_choices(model, prompts, choices, batch=3)
    assert np.allclose(together, -np.array(one_by_one).reshape(3, 3), rtol=1e-4)


@pytest.mark.parametrize("kind", ["prefix", "prompt"])
def test_virtual_tokens_take_their_place_in_the_context(tmp_path: Path, kind: str) -> None:
    tiny_model(tmp_path / "gpt2", "gpt2", n_positions=16)
    model = open_model("gpt2", workspace=tmp_path)
    adapter(kind, length=6).attach(model, seed=0)
    assert model.context == 10
    ids = torch.zeros(1, 10, dtype=torch.long)
    model.logits(ids, torch.ones_like(ids))
    longer = torch.zeros(1, 11, dtype=torch.long)
    with pytest.raises(ModelError, match="11 tokens and 6 virtual ones") as caught:
        model.logits(longer, torch.ones_like(longer))
    assert "10 tokens" in caught.value.fix
    with pytest.raises(ModelError, match="virtual tokens leave too little"):
        adapter(kind, length=9).attach(open_model("gpt2", workspace=tmp_path), seed=0)


@pytest.mark.parametrize(("shape", "head"), [("bert", "classify"), ("t5", "classify"), ("bart", "tag")])
def test_a_prefix_that_would_not_be_seen_is_refused(bench: Path, shape: str, head: str) -> None:
    with pytest.raises(ModelError, match="encoder") as caught:
        adapter("prefix").attach(opened(bench, shape, head), seed=0)
    assert "prompt" in caught.value.fix


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "prompt", "init": "text"},
        {"kind": "prefix", "text": "words nobody reads"},
        {"kind": "ia3", "feedforward": ["down_proj"]},
    ],
    ids=str,
)
def test_settings_that_would_not_be_read_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"init: text|feedforward"):
        ADAPTERS.make(settings)


def test_names_that_match_nothing_list_what_exists(bench: Path) -> None:
    for kind, setting in (("ia3", "targets"), ("bottleneck", "after")):
        with pytest.raises(ModelError, match=r"no linear layer 'down_prj' \(did you mean 'down_proj'"):
            adapter(kind, **{setting: ["down_prj"]}).attach(opened(bench, "llama"), seed=0)
    model = opened(bench, "llama")
    model.inner.config.model_type = "unheard-of"
    with pytest.raises(ModelError, match="not known for 'unheard-of'") as caught:
        adapter("ia3").attach(model, seed=0)
    assert "up_proj" in caught.value.fix


def test_bottleneck_positions_follow_the_papers(bench: Path) -> None:
    wanted = {
        "llama": ({"o_proj", "down_proj"}, 4),
        "gpt2": ({"c_proj"}, 4),
        "bert": ({"dense"}, 4),
        "t5": ({"o", "wo"}, 10),
        "bart": ({"out_proj", "fc2"}, 10),
    }
    for shape, (names, many) in wanted.items():
        model = opened(bench, shape, "tag" if shape == "bert" else "lm")
        adapter("bottleneck").attach(model, seed=0)
        places = {name.split(".bottleneck.")[0] for name in model.trainable() if ".bottleneck." in name}
        assert len(places) == many and {place.rpartition(".")[2] for place in places} == names
        model = opened(bench, shape, "tag" if shape == "bert" else "lm")
        adapter("bottleneck", after="feedforward").attach(model, seed=0)
        behind = {name.split(".bottleneck.")[0] for name in model.trainable() if ".bottleneck." in name}
        assert len(behind) == (4 if many == 10 else 2) and behind < places
        assert not any("attention.output" in place or "attn" in place for place in behind)


def test_adapters_are_drawn_from_the_seed(bench: Path) -> None:
    def drawn(part: Adapter, seed: int) -> torch.Tensor:
        model, state = opened(bench, "llama"), torch.get_rng_state()
        part.attach(model, seed=seed)
        assert torch.equal(torch.get_rng_state(), state)
        return torch.cat([weight.detach().flatten() for weight in model.trainable().values()])

    for kind in ("prefix", "prompt", "bottleneck"):
        assert torch.equal(drawn(adapter(kind), 1), drawn(adapter(kind), 1))
        assert not torch.equal(drawn(adapter(kind), 1), drawn(adapter(kind), 2))
