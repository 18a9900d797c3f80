"""Adapters and saved folders: nothing changes at the start, nothing is lost by saving, others can open them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tunesmith.errors import ModelError
from tunesmith.models.adapters import Adapter
from tunesmith.models.facts import base_facts
from tunesmith.models.layers import linear_layers
from tunesmith.models.load import Model, open_model
from tunesmith.models.quiet import quiet
from tunesmith.part import ADAPTERS
from tunesmith.runs import file_digest
from tunesmith.testing.tiny import SHAPES, tiny_model

torch.set_num_threads(1)

LABELS = {"lm": (), "classify": ("a", "b", "c"), "tag": ("O", "B-X", "I-X")}
JOBS = [(shape, head) for shape in SHAPES for head in LABELS if (shape, head) != ("bert", "lm")]
IDS = torch.randint(8, 380, (3, 9), generator=torch.Generator().manual_seed(3))
MASK = torch.tensor([[1] * 9, [1] * 6 + [0] * 3, [1] * 2 + [0] * 7])
ANSWERS = torch.randint(8, 380, (3, 4), generator=torch.Generator().manual_seed(4))


@pytest.fixture
def workspace(tmp_path: Path, bases: Path) -> Path:
    """A workspace of its own that sees the tiny bases."""
    for shape in SHAPES:
        (tmp_path / shape).symlink_to(bases / shape)
    return tmp_path


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bases")
    for shape in SHAPES:
        tiny_model(folder / shape, shape)
    return folder


def adapter(kind: str = "lora", **settings: Any) -> Adapter:
    part = ADAPTERS.make({"kind": kind, **settings})
    assert isinstance(part, Adapter)
    return part


def opened(workspace: Path, reference: str, head: str = "lm", **options: Any) -> Model:
    return open_model(reference, workspace=workspace, head=head, labels=LABELS[head], **options)  # type: ignore[arg-type]


def outputs(model: Model) -> torch.Tensor:
    model.train(False)
    with torch.no_grad():
        return model.logits(IDS, MASK, ANSWERS)


def train(model: Model, steps: int = 3) -> float:
    """A few steps towards nowhere in particular; returns the last loss, taken after the last step."""
    weights = list(model.trainable().values())
    optimizer = torch.optim.SGD(weights, lr=0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        model.logits(IDS, MASK, ANSWERS).logsumexp(dim=-1).mean().backward()
        optimizer.step()
    return float(outputs(model).logsumexp(dim=-1).mean())


def base_digest(model: Model) -> str:
    digest = hashlib.sha256()
    for name, weight in sorted(model.inner.named_parameters()):
        if "lora_" not in name:
            digest.update(weight.detach().numpy().tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize(("shape", "head"), JOBS)
def test_a_fresh_lora_changes_no_bit(workspace: Path, shape: str, head: str) -> None:
    model = opened(workspace, shape, head)
    before = outputs(model)
    adapter().attach(model, seed=0)
    assert torch.equal(outputs(model), before)


@pytest.mark.parametrize(("shape", "head"), JOBS)
def test_lora_trains_its_own_weights_and_our_head_only(workspace: Path, shape: str, head: str) -> None:
    model = opened(workspace, shape, head)
    lora = adapter(rank=4)
    linears = linear_layers(model)
    lora.attach(model, seed=0)
    names = set(model.trainable())
    assert all("lora_" in name or name.startswith("head.") for name in names)
    counted = sum(weight.numel() for name, weight in model.trainable().items() if not name.startswith("head."))
    assert counted == sum(4 * (inputs + outputs_) for _, inputs, outputs_ in linears) == lora.count(linears, 0)
    model.train()
    before, untrained = base_digest(model), outputs(model)
    train(model)
    assert base_digest(model) == before
    assert not torch.equal(outputs(model), untrained)
    assert all(weight.grad is not None for weight in model.trainable().values()), "an adapter that learns nothing"


@pytest.mark.parametrize(("shape", "head"), JOBS)
def test_full_training_reaches_every_weight_that_matters(workspace: Path, shape: str, head: str) -> None:
    model = opened(workspace, shape, head)
    adapter("full").attach(model, seed=0)
    train(model, steps=1)
    assert all(weight.grad is not None for weight in model.trainable().values())
    untouched = [name for name, weight in model.inner.named_parameters() if not weight.requires_grad]
    idle = {"bert": "pooler.", "t5": "decoder.", "bart": "decoder."} if head != "lm" else {}
    assert all(idle[shape] in name for name in untouched)


def test_nothing_trains_before_an_adapter_is_attached(workspace: Path) -> None:
    assert opened(workspace, "llama").trainable() == {}


def test_adapters_are_drawn_from_the_seed(workspace: Path) -> None:
    def drawn(seed: int) -> torch.Tensor:
        model = opened(workspace, "llama")
        state = torch.get_rng_state()
        adapter().attach(model, seed=seed)
        assert torch.equal(torch.get_rng_state(), state)
        return torch.cat([weight.flatten() for name, weight in model.trainable().items() if "lora_A" in name])

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))


@pytest.mark.parametrize("setting", [{"alpha": 8.0}, {"dropout": 0.5}, {"rank": 2}, {"targets": ["q_proj"]}])
def test_every_setting_of_lora_changes_the_outcome(workspace: Path, setting: dict[str, Any]) -> None:
    def trained(**settings: Any) -> float:
        model = opened(workspace, "llama")
        adapter(**settings).attach(model, seed=0)
        model.train()
        torch.manual_seed(0)
        return train(model)

    assert trained() == trained()
    assert trained(**setting) != trained()


def test_targets_by_name(workspace: Path) -> None:
    model = opened(workspace, "llama")
    adapter(targets=["q_proj", "layers.1.mlp.up_proj"]).attach(model, seed=0)
    layers = {name.split(".lora_")[0].rpartition("base_model.model.")[2] for name in model.trainable()}
    assert layers == {
        "model.layers.0.self_attn.q_proj",
        "model.layers.1.self_attn.q_proj",
        "model.layers.1.mlp.up_proj",
    }


@pytest.mark.parametrize("target", ["q_prj", "lm_head", "embed_tokens", "proj"])
def test_unmatched_targets_are_an_error_that_lists_what_exists(workspace: Path, target: str) -> None:
    model = opened(workspace, "llama")
    with pytest.raises(ModelError, match=target) as caught:
        adapter(targets=["v_proj", target]).attach(model, seed=0)
    assert "down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj" in caught.value.fix
    assert "q_proj" in caught.value.what or target != "q_prj"


@pytest.mark.parametrize(("shape", "head"), JOBS)
def test_saved_adapters_open_and_go_on_where_they_stopped(workspace: Path, shape: str, head: str) -> None:
    model = opened(workspace, shape, head)
    adapter(rank=4).attach(model, seed=0)
    last = train(model)
    model.save(workspace / "tuned", template="classify", max_length=128)
    again = open_model("tuned", workspace=workspace)
    assert again.head_kind == head
    assert again.labels == LABELS[head]
    assert again.adapter == adapter(rank=4)
    adapter(rank=4).attach(again, seed=99)
    assert set(again.trainable()) == set(model.trainable()), "wrapped once, not twice"
    assert float(outputs(again).logsumexp(dim=-1).mean()) == last
    assert train(again) == train(model)


def test_going_on_with_other_settings_is_refused(workspace: Path) -> None:
    model = opened(workspace, "llama")
    adapter(rank=4).attach(model, seed=0)
    model.save(workspace / "tuned")
    with pytest.raises(ModelError, match="carries the adapter"):
        adapter(rank=8).attach(open_model("tuned", workspace=workspace), seed=0)


@pytest.mark.parametrize(("shape", "head"), JOBS)
def test_merging_and_saving_whole_weights(workspace: Path, shape: str, head: str) -> None:
    model = opened(workspace, shape, head)
    adapter(rank=4).attach(model, seed=0)
    train(model)
    expected = outputs(model)
    adapter(rank=4).merge(model)
    assert (outputs(model) - expected).abs().max() <= 1e-5 * max(1.0, float(expected.abs().max()))
    merged = outputs(model)
    model.save(workspace / "merged")
    assert not (workspace / "merged" / "adapter_config.json").exists()
    assert torch.equal(outputs(open_model("merged", workspace=workspace)), merged)


def test_full_training_of_an_adapted_model_merges_first(workspace: Path) -> None:
    model = opened(workspace, "llama")
    adapter().attach(model, seed=0)
    train(model)
    model.save(workspace / "tuned")
    again = open_model("tuned", workspace=workspace)
    adapter("full").attach(again, seed=0)
    assert (outputs(again) - outputs(model)).abs().max() <= 1e-4
    assert not any("lora_" in name for name in again.trainable())
    assert "merged" in again.notes[-1]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("tied", [True, False])
def test_fully_trained_models_survive_saving(tmp_path: Path, shape: Any, tied: bool) -> None:
    """Tied embeddings stay tied, untied ones stay apart, and transformers opens the folder with equal outputs."""
    import transformers

    tiny_model(tmp_path / "base", shape, tie_word_embeddings=tied)
    head = "tag" if shape == "bert" else "lm"
    model = opened(tmp_path, "base", head)
    adapter("full").attach(model, seed=0)
    train(model)
    expected = outputs(model)
    model.save(tmp_path / "tuned")
    again = open_model("tuned", workspace=tmp_path)
    assert torch.equal(outputs(again), expected)
    if shape == "bert":
        theirs = transformers.AutoModel.from_pretrained(tmp_path / "tuned").eval()
        mine = again.hidden(IDS, MASK)
        assert torch.equal(theirs(input_ids=IDS, attention_mask=MASK).last_hidden_state, mine)
        return
    kind = (
        transformers.AutoModelForSeq2SeqLM if model.family == "encoder_decoder" else transformers.AutoModelForCausalLM
    )
    with quiet():
        theirs = kind.from_pretrained(tmp_path / "tuned").eval()
    given = {"labels": ANSWERS} if model.family == "encoder_decoder" else {}
    found = theirs(input_ids=IDS, attention_mask=MASK, **given).logits
    real = MASK.bool() if model.family == "causal" else torch.ones_like(ANSWERS, dtype=torch.bool)
    assert (found[real] - expected[real]).abs().max() <= 1e-5
    table, output = again.inner.get_input_embeddings().weight, again.inner.get_output_embeddings().weight
    assert (table is output) == tied or shape in ("t5", "bart")


@pytest.mark.parametrize("shape", ["llama", "gpt2", "t5", "bart"])
def test_peft_opens_saved_adapters_with_equal_outputs(workspace: Path, shape: str) -> None:
    from peft import PeftModel

    model = opened(workspace, shape)
    adapter(rank=4).attach(model, seed=0)
    train(model)
    model.save(workspace / "tuned")
    base = opened(workspace, shape)
    with quiet():
        theirs = PeftModel.from_pretrained(base.module, str(workspace / "tuned"), autocast_adapter_dtype=False).eval()
    base.module = theirs
    assert torch.equal(outputs(base), outputs(model))


def test_adapters_that_peft_wrote_open_too(workspace: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    with quiet():
        theirs = get_peft_model(
            AutoModelForCausalLM.from_pretrained(workspace / "llama"),
            LoraConfig(r=3, lora_alpha=5, target_modules=["q_proj", "o_proj"], init_lora_weights=False),
        ).eval()
        theirs.save_pretrained(workspace / "theirs")
    config = json.loads((workspace / "theirs" / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = "llama"
    (workspace / "theirs" / "adapter_config.json").write_text(json.dumps(config))
    model = open_model("theirs", workspace=workspace)
    assert torch.equal(outputs(model), theirs(input_ids=IDS).logits)
    assert model.adapter == adapter(rank=3, alpha=5.0, targets=["o_proj", "q_proj"])


def test_the_folder_is_the_same_byte_for_byte(workspace: Path) -> None:
    digests = []
    for name in ("one", "two"):
        model = opened(workspace, "llama", "classify")
        adapter(rank=4).attach(model, seed=0)
        train(model)
        model.save(workspace / name)
        digests.append({path.name: file_digest(path) for path in (workspace / name).iterdir()})
    assert digests[0] == digests[1]


def test_saving_over_the_folder_it_came_from(tmp_path: Path) -> None:
    tiny_model(tmp_path / "model")
    model = open_model("model", workspace=tmp_path)
    expected = outputs(model)
    model.save(tmp_path / "model")
    assert torch.equal(outputs(model), expected)
    assert torch.equal(outputs(open_model("model", workspace=tmp_path)), expected)


def test_a_failed_save_leaves_the_old_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_model(tmp_path / "model")
    before = file_digest(tmp_path / "model" / "model.safetensors")
    model = open_model("model", workspace=tmp_path)

    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tunesmith.models.save.write_json", no_space)
    with pytest.raises(OSError, match="No space"):
        model.save(tmp_path / "model")
    assert file_digest(tmp_path / "model" / "model.safetensors") == before


def saved_adapter(workspace: Path) -> Path:
    model = opened(workspace, "llama", "classify")
    adapter(rank=4).attach(model, seed=0)
    model.save(workspace / "tuned")
    return workspace / "tuned"


def test_another_base_is_noticed(tmp_path: Path) -> None:
    tiny_model(tmp_path / "llama")
    saved_adapter(tmp_path)
    tiny_model(tmp_path / "llama", seed=1)
    with pytest.raises(ModelError, match="not the one this adapter was trained on"):
        open_model("tuned", workspace=tmp_path)


def test_a_workspace_can_be_moved_with_base_and_adapter(tmp_path: Path) -> None:
    tiny_model(tmp_path / "here" / "base")
    model = open_model(str(tmp_path / "here" / "base"), workspace=tmp_path)
    adapter(rank=4).attach(model, seed=0)
    train(model)
    model.save(tmp_path / "here" / "tuned")
    (tmp_path / "here").rename(tmp_path / "there")
    assert torch.equal(outputs(open_model("tuned", workspace=tmp_path / "there")), outputs(model))
    assert base_facts("tuned", workspace=tmp_path / "there").num_parameters


def test_a_lost_base_is_named_and_not_looked_for_on_the_hub(tmp_path: Path) -> None:
    tiny_model(tmp_path / "llama")
    saved_adapter(tmp_path)
    (tmp_path / "llama").rename(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match="base 'llama' is gone"):
        open_model("tuned", workspace=tmp_path)


def test_adapters_on_random_bases_find_their_base_again(workspace: Path) -> None:
    model = opened(workspace, "llama", initialize="random", seed=7)
    adapter(rank=4).attach(model, seed=0)
    train(model)
    model.save(workspace / "tuned")
    assert torch.equal(outputs(open_model("tuned", workspace=workspace)), outputs(model))


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "head.safetensors", "head.json"])
@pytest.mark.parametrize("damage", ["missing", "short"])
def test_damaged_adapter_folders_are_refused(workspace: Path, name: str, damage: str) -> None:
    path = saved_adapter(workspace) / name
    path.unlink() if damage == "missing" else path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(ModelError):
        open_model("tuned", workspace=workspace)


def test_pickled_adapters_are_not_opened(workspace: Path) -> None:
    folder = saved_adapter(workspace)
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(ModelError, match=r"adapter_model\.bin"):
        open_model("tuned", workspace=workspace)


def test_adapter_tensors_are_all_accounted_for(workspace: Path) -> None:
    path = saved_adapter(workspace) / "adapter_model.safetensors"
    tensors = load_file(path)
    name, tensor = sorted(tensors.items())[0]
    for changed in ({**tensors, "extra": tensor.clone()}, {**tensors, name: tensor[:2].clone()}):
        save_file(changed, path, metadata={"format": "pt"})
        with pytest.raises(ModelError, match="fit its base"):
            open_model("tuned", workspace=workspace)


def test_other_sorts_of_adapters_are_refused(workspace: Path) -> None:
    path = saved_adapter(workspace) / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"peft_type": "PREFIX_TUNING"}))
    with pytest.raises(ModelError, match="PREFIX_TUNING"):
        open_model("tuned", workspace=workspace)


def test_other_labels_get_a_fresh_head_and_a_note(workspace: Path) -> None:
    saved_adapter(workspace)
    model = open_model("tuned", workspace=workspace, head="classify", labels=("x", "y"))
    assert model.labels == ("x", "y")
    assert "other labels" in model.notes[-1]
    assert outputs(model).shape == (3, 2)


def test_the_card_says_what_the_model_stands_on(workspace: Path) -> None:
    folder = saved_adapter(workspace)
    card = json.loads((folder / "tunesmith.json").read_text())
    base = open_model("llama", workspace=workspace)
    assert card["base"]["reference"] == "llama"
    assert card["base"]["digest"] == base.digest
    assert card["labels"] == ["a", "b", "c"]
    assert card["adapter"]["kind"] == "lora"
    assert set(card["versions"]) >= {"tunesmith", "torch", "transformers", "peft"}
    (folder / "tunesmith.json").write_text(json.dumps(card | {"format": 99}))
    with pytest.raises(ModelError, match="format 99"):
        open_model("tuned", workspace=workspace)
