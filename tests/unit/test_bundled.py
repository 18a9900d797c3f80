"""The bundled base: its tokenizer keeps every string, its files are whole and small."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from transformers import AutoTokenizer, PreTrainedTokenizerBase

FOLDER = Path(str(files("tunesmith"))) / "models" / "bundled"
MARKERS = ("<|pad|>", "<|bos|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>")


@cache
def tokenizer() -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(FOLDER)


@settings(max_examples=400, deadline=None)
@given(text=st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_any_string_comes_back_exactly(text):
    assert tokenizer().decode(tokenizer()(text, add_special_tokens=False).input_ids) == text


@pytest.mark.parametrize("plane", range(17))
def test_every_character_of_unicode_comes_back_exactly(plane):
    points = (point for point in range(plane << 16, (plane + 1) << 16) if not 0xD800 <= point <= 0xDFFF)
    text = "".join(map(chr, points))
    ids = tokenizer()(text, add_special_tokens=False, verbose=False).input_ids
    assert tokenizer().decode(ids) == text


def test_markers_are_single_tokens_in_their_places():
    assert tokenizer().convert_tokens_to_ids(list(MARKERS)) == list(range(len(MARKERS)))
    assert (tokenizer().pad_token_id, tokenizer().bos_token_id, tokenizer().eos_token_id) == (0, 1, 2)
    assert len(tokenizer()) == 8192


def test_digits_are_tokens_of_their_own():
    assert tokenizer().tokenize("in 1984") == ["in", "Ġ", "1", "9", "8", "4"]


def test_text_starts_with_one_bos_and_no_end():
    ids = tokenizer()("hello").input_ids
    assert ids[0] == 1
    assert ids.count(1) == 1
    assert 2 not in ids


def test_chat_template_marks_exactly_the_answers_and_their_stop_tokens():
    conversation = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello there"},
        {"role": "user", "content": "Bye"},
        {"role": "assistant", "content": "Farewell"},
    ]
    found = tokenizer().apply_chat_template(conversation, return_dict=True, return_assistant_tokens_mask=True)
    ids, mask = found["input_ids"], found["assistant_masks"]
    said = tokenizer().decode([token for token, answer in zip(ids, mask, strict=True) if answer])
    assert said == "Hello there<|end|>Farewell<|end|>"
    assert ids.count(1) == 1
    prompt = tokenizer().apply_chat_template(conversation[:2], tokenize=False, add_generation_prompt=True)
    assert prompt == "<|bos|><|system|>Be brief.<|end|><|user|>Hi<|end|><|assistant|>"


def test_weights_fit_config_and_size():
    config = json.loads((FOLDER / "config.json").read_text())
    path = FOLDER / "model.safetensors"
    assert path.stat().st_size <= 20_000_000
    with safe_open(path, framework="np") as weights:
        shapes = {name: weights.get_slice(name) for name in weights.keys()}  # noqa: SIM118
        assert {piece.get_dtype() for piece in shapes.values()} == {"BF16"}
        assert shapes["model.embed_tokens.weight"].get_shape() == [config["vocab_size"], config["hidden_size"]]
        num_layers = 1 + max(int(name.split(".")[2]) for name in shapes if name.startswith("model.layers."))
    assert num_layers == config["num_hidden_layers"]
    assert config["vocab_size"] == len(tokenizer())
    assert config["max_position_embeddings"] == tokenizer().model_max_length == 1024
    stops = json.loads((FOLDER / "generation_config.json").read_text())["eos_token_id"]
    assert stops == tokenizer().eos_token_id


def test_card_says_what_it_must():
    card = (FOLDER / "README.md").read_text()
    for word in ("public domain", "Apache", "tokens seen", "classics_val", "stories260K", "Limits"):
        assert word in card
