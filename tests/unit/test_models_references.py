"""References: what each names, and everything that is refused before a weight is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tunesmith.errors import ModelError, NotFound, UserError
from tunesmith.models.load import open_model, open_tokenizer
from tunesmith.models.references import locate, weights_digest
from tunesmith.testing.tiny import tiny_model

torch.set_num_threads(1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_model(tmp_path / "tiny")


def refused(folder: Path, match: str = ".", **options: Any) -> UserError:
    with pytest.raises(ModelError, match=match) as caught:
        open_model(str(folder), workspace=folder.parent, **options)
    assert caught.value.fix
    return caught.value


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_folder_is_found_from_the_workspace(folder: Path) -> None:
    assert locate("tiny", workspace=folder.parent).folder == folder
    assert locate(str(folder), workspace=Path("/")).folder == folder


def test_a_run_is_found_by_name_and_number(tmp_path: Path) -> None:
    tiny_model(tmp_path / "runs" / "triage" / "4" / "model")
    assert locate("run:triage/4", workspace=tmp_path).reference == "run:triage/4"
    assert locate("run:triage", workspace=tmp_path).reference == "run:triage/4"
    with pytest.raises(NotFound, match="triage/5"):
        locate("run:triage/5", workspace=tmp_path)


def test_a_run_without_a_model_says_so(tmp_path: Path) -> None:
    (tmp_path / "runs" / "triage" / "1").mkdir(parents=True)
    with pytest.raises(ModelError, match="holds no model"):
        locate("run:triage/1", workspace=tmp_path)


@pytest.mark.parametrize("reference", ["./nowhere", "/nowhere/at/all", "a b c", "../up", "a/b/c"])
def test_what_is_neither_folder_nor_hub_id_is_refused(reference: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model folder"):
        locate(reference, workspace=tmp_path)


def test_a_file_is_no_folder(folder: Path) -> None:
    refused(folder / "config.json", "this is a file")


def test_an_unreachable_hub_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="cannot be reached") as caught:
        open_model("someone/something", workspace=tmp_path)
    assert "local" in caught.value.fix or "folder" in caught.value.fix


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_missing_files_are_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    error = refused(folder)
    assert {"config.json": "config.json", "tokenizer.json": "tokenizer", "model.safetensors": "weights"}[name] in str(
        error
    )


def test_pickled_weights_are_not_opened_and_the_way_out_is_told(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "save_pretrained" in refused(folder, "pytorch_model.bin").fix


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_code_of_the_models_own_is_refused(folder: Path, name: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    (folder / "evil.py").write_text(f"open({str(canary)!r}, 'w')")
    edit(folder / name, auto_map={"AutoConfig": "evil.X", "AutoModelForCausalLM": "evil.X", "AutoTokenizer": "evil.X"})
    refused(folder, "auto_map")
    assert not canary.exists()


@pytest.mark.parametrize(
    "setting",
    [
        {"attn_implementation": "kernels-community/flash-attn"},
        {"_attn_implementation": "someone/kernel"},
        {"nested": {"deeper": [{"trust_remote_code": True}]}},
    ],
)
def test_hidden_ways_to_code_are_refused(folder: Path, setting: dict[str, Any]) -> None:
    edit(folder / "config.json", **setting)
    refused(folder, "code of its own")


def test_a_quantised_base_is_refused(folder: Path) -> None:
    edit(folder / "config.json", quantization_config={"quant_method": "bitsandbytes"})
    refused(folder, "quantised")


@pytest.mark.parametrize(
    "content", ["", "{", "[1]", '{"hidden_size": 64}', '{"model_type": "no-such-thing"}', "\ufeff{}"]
)
def test_damaged_configs_are_one_clear_error(folder: Path, content: str) -> None:
    (folder / "config.json").write_text(content)
    refused(folder)


@pytest.mark.parametrize("model_type", ["vit", "whisper", "clip"])
def test_other_than_text_models_are_refused(folder: Path, model_type: str) -> None:
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    refused(folder, "neither causal, encoder nor encoder-decoder")


@pytest.mark.parametrize("content", [b"", b"\x80\x04\x95pickle", b"\xff" * 64, b"\x08\0\0\0\0\0\0\0notjson!"])
def test_what_only_calls_itself_safetensors_is_refused(folder: Path, content: bytes) -> None:
    (folder / "model.safetensors").write_bytes(content)
    refused(folder, "not a whole safetensors file")


def test_half_a_file_is_refused(folder: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    refused(folder, "not a whole safetensors file")


def test_an_index_cannot_lead_out_of_the_folder(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder.parent / "secret.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../secret.safetensors"}}))
    refused(folder, "no weights")


def change_weights(folder: Path, change: Any) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def test_a_missing_tensor_is_an_error(folder: Path) -> None:
    change_weights(folder, lambda tensors: tensors.pop("model.layers.1.mlp.up_proj.weight"))
    refused(folder, "missing from the weights: model.layers.1.mlp.up_proj.weight")


def test_an_unknown_tensor_is_an_error(folder: Path) -> None:
    change_weights(folder, lambda tensors: tensors.update({"model.layers.7.extra.weight": torch.zeros(2)}))
    refused(folder, "unknown to the architecture: model.layers.7.extra.weight")


def test_a_tensor_of_another_shape_is_an_error(folder: Path) -> None:
    change_weights(folder, lambda tensors: tensors.update({"model.norm.weight": torch.zeros(3)}))
    refused(folder, r"another shape.*model.norm.weight \[3\] instead of \[64\]")


def test_a_tokenizer_with_more_ids_than_embeddings_is_refused(folder: Path) -> None:
    tiny_model(folder, vocab_size=300)
    refused(folder, "ids up to 383, the model has embeddings for 0 to 299")


def test_a_damaged_tokenizer_is_refused(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")
    refused(folder, "tokenizer cannot be opened")


def test_a_pad_token_is_chosen_and_told_where_there_is_none(tmp_path: Path) -> None:
    from tunesmith.testing.tiny import tiny_tokenizer

    tiny_model(tmp_path / "no-pad", tokenizer=tiny_tokenizer(pad=False))
    model = open_model("no-pad", workspace=tmp_path)
    assert model.pad_id == model.tokenizer.unk_token_id
    assert model.tokenizer.pad_token is None
    assert "no pad token" in model.notes[0]


def test_tokenizers_without_a_template_get_the_plain_one(tmp_path: Path) -> None:
    from tunesmith.testing.tiny import tiny_tokenizer

    tiny_model(tmp_path / "plain", tokenizer=tiny_tokenizer(chat=False))
    tokenizer = open_tokenizer("plain", workspace=tmp_path)
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    assert tokenizer.apply_chat_template(turns, tokenize=False) == "<s>User: Hi\nAssistant: Hello</s>\n"
    asked = tokenizer.apply_chat_template(turns[:1], tokenize=False, add_generation_prompt=True)
    assert asked == "<s>User: Hi\nAssistant:"


def test_the_digest_names_the_content(folder: Path, tmp_path: Path) -> None:
    before = weights_digest(folder)
    assert before == weights_digest(tiny_model(tmp_path / "again"))
    change_weights(folder, lambda tensors: tensors["model.norm.weight"].add_(1e-6))
    assert weights_digest(folder) != before


def test_nothing_is_said_on_the_terminal(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    open_model(str(folder), workspace=folder.parent)
    said = capfd.readouterr()
    assert said.out == "" and said.err == ""
