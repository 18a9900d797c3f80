"""Models in a role: local ones opened by reference, and what they say of texts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tunesmith.data.encode.tags import tag_names
from tunesmith.data.encode.tokenize import Codec
from tunesmith.errors import ModelError, UserError
from tunesmith.models.load import open_model
from tunesmith.models.quiet import quiet
from tunesmith.models.roles import OpenModels
from tunesmith.models.roles.pieces import pieces
from tunesmith.models.roles.remote import RemoteResponder
from tunesmith.records import Message, Models
from tunesmith.testing.tiny import tiny_encoder_tokenizer, tiny_model

TEXT = "Anna Schmidt of Berlin wrote to the office in New York on 3 May 2021."


def models(folder: Path, **settings: Any) -> OpenModels:
    return OpenModels(workspace=folder, folder=folder, codec=Codec, **settings)


def asked(*texts: str) -> list[list[Message]]:
    return [[Message("user", text)] for text in texts]


# Responders


@pytest.mark.parametrize("shape", ["llama", "t5"])
def test_a_local_model_answers_each_conversation_by_itself(tmp_path: Path, shape: Any) -> None:
    tiny_model(tmp_path / "base", shape)
    responder = models(tmp_path).responder("base")
    texts = ["What is 12 plus 30?", "How do I reset my password?", "x", "Please refund the invoice."]
    together = responder.respond(asked(*texts), max_tokens=6)
    assert together == [responder.respond(asked(text), max_tokens=6)[0] for text in texts]
    assert len(set(together)) > 1
    assert responder.respond([], max_tokens=6) == []


def test_drawn_answers_follow_from_seed_and_question_alone(tmp_path: Path) -> None:
    tiny_model(tmp_path / "base")
    responder = models(tmp_path).responder("base")

    def drawn(*texts: str, seed: int) -> list[str]:
        return responder.respond(asked(*texts), max_tokens=8, temperature=1.0, seed=seed)

    one = drawn("a", "b", "c", seed=1)
    assert drawn("c", "a", seed=1) == [one[2], one[0]]
    assert drawn("a", "b", "c", seed=2) != one
    assert len(set(drawn("a", "a", "a", "a", seed=1))) > 1, "equal questions are drawn for each"


def test_an_answer_leaves_room_for_the_question(tmp_path: Path) -> None:
    tiny_model(tmp_path / "base", max_position_embeddings=40)
    responder = models(tmp_path).responder("base")
    assert len(responder.respond(asked(TEXT * 5), max_tokens=10_000)) == 1


def test_what_cannot_answer_is_refused(tmp_path: Path) -> None:
    tiny_model(tmp_path / "encoder", "bert")
    with pytest.raises(ModelError, match="cannot generate"):
        models(tmp_path).responder("encoder")
    saved(tmp_path / "labels", "classify", ("a", "b"))
    with pytest.raises(ModelError, match="classify head cannot answer"):
        models(tmp_path).responder("labels")


# Opening


def test_each_is_opened_once_and_found_from_the_folder_of_the_spec(tmp_path: Path) -> None:
    tiny_model(tmp_path / "spec" / "base")
    there = OpenModels(workspace=tmp_path, folder=tmp_path / "spec", codec=Codec)
    assert there.responder("base") is there.responder("base")
    assert there.responder("./base") is not there.responder("base")
    assert isinstance(there.responder("https://host/v1#m"), RemoteResponder)
    with pytest.raises(ModelError, match="no model folder"):
        there.responder("./elsewhere")


def test_a_digest_changes_with_the_weights_and_an_endpoint_is_its_address(tmp_path: Path) -> None:
    tiny_model(tmp_path / "one", seed=1)
    tiny_model(tmp_path / "other", seed=2)
    found = models(tmp_path)
    assert found.digest("one") == found.digest("./one") != found.digest("other")
    assert found.digest("https://host/v1#a") != found.digest("https://host/v1#b")


def test_tokens_are_counted_by_the_base_s_tokenizer(tmp_path: Path) -> None:
    tokenizer = tiny_encoder_tokenizer()
    assert models(tmp_path, tokenizer=tokenizer).count_tokens([TEXT, ""]) == [len(tokenizer.tokenize(TEXT)), 0]
    assert models(tmp_path, tokenizer=tokenizer).count_tokens([]) == []
    with pytest.raises(UserError, match="no base"):
        models(tmp_path).count_tokens([TEXT])


def test_an_embedder_is_opened_like_the_others(tmp_path: Path) -> None:
    tiny_model(tmp_path / "base", "bert")
    there: Models = models(tmp_path)
    found_ND = there.embedder("base").embed([TEXT, "x"])
    np.testing.assert_allclose(np.linalg.norm(found_ND, axis=1), 1, rtol=1e-5)
    assert there.embedder("base") is there.embedder("base")


# Classifiers and taggers


def saved(folder: Path, head: Any, labels: tuple[str, ...], **facts: Any) -> Path:
    """A model with a head of ours, as a run leaves it."""
    tiny_model(folder.with_name("plain"), "bert")
    model = open_model(str(folder.with_name("plain")), workspace=folder.parent, head=head, labels=labels, seed=3)
    model.save(folder, **facts)
    return folder


def test_a_classifier_says_what_the_run_s_head_says(tmp_path: Path) -> None:
    labels = ("account", "billing", "delivery")
    saved(tmp_path / "run", "classify", labels, max_length="12 tokens")
    classifier = models(tmp_path).classifier("run")
    found_NC = classifier.probabilities([TEXT, "x", ""])
    assert classifier.labels == labels
    np.testing.assert_allclose(found_NC.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(found_NC[2], 1 / 3)
    assert not np.allclose(found_NC[0], found_NC[1])
    # Cut as in training: 12 tokens, of which two frame the text.
    model = open_model(str(tmp_path / "run"), workspace=tmp_path)
    words = model.tokenizer(TEXT, add_special_tokens=False)["input_ids"][:10]
    ids_BT = torch.tensor([[1, *words, 2]])
    expected_C = model.logits(ids_BT, torch.ones_like(ids_BT)).softmax(dim=-1)[0].tolist()
    np.testing.assert_allclose(found_NC[0], expected_C, rtol=1e-4)
    assert classifier.probabilities([]).shape == (0, 3)


def test_a_model_without_such_a_head_is_no_classifier(tmp_path: Path) -> None:
    tiny_model(tmp_path / "base")
    with pytest.raises(ModelError, match="no classification head"):
        models(tmp_path).classifier("base")


def test_a_run_s_tagger_finds_the_same_in_a_long_text_as_in_its_pieces(tmp_path: Path) -> None:
    saved(tmp_path / "run", "tag", tag_names(("LOC", "PER")), max_length="64 tokens")
    tagger = models(tmp_path).tagger("run")
    long = "\n".join([TEXT] * 4)
    found = tagger.spans([long, "", f"{TEXT}\n"])
    assert found[1] == ()
    assert found[0], "a head of random weights finds something"
    assert all(0 <= span.start < span.end <= len(long) and span.label in ("LOC", "PER") for span in found[0])
    assert {span.start // (len(TEXT) + 1) for span in found[0]} == {0, 1, 2, 3}, "the end of the text is read too"
    assert [(span.start, span.end, span.label) for span in found[2]] == [
        (span.start, span.end, span.label) for span in found[0] if span.end <= len(TEXT)
    ]


def token_classifier(folder: Path, labels: tuple[str, ...]) -> Path:
    from transformers import BertConfig, BertForTokenClassification

    tokenizer = tiny_encoder_tokenizer()
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=48,
            initializer_range=0.3,
            id2label=dict(enumerate(labels)),
            label2id={label: number for number, label in enumerate(labels)},
        )
        BertForTokenClassification(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder


def test_a_token_classifier_of_transformers_finds_stretches_by_their_characters(tmp_path: Path) -> None:
    token_classifier(tmp_path / "ner", ("O", "B-PER", "I-PER"))
    tagger = models(tmp_path).tagger("ner")
    long = " ".join([TEXT] * 5)
    short, whole, nothing = tagger.spans([TEXT, long, " "])
    assert nothing == ()
    assert short and whole
    assert max(span.end for span in whole) > len(TEXT) * 3
    assert all(TEXT[span.start : span.end].strip() == TEXT[span.start : span.end] for span in short)
    assert {span.label for span in (*short, *whole)} == {"PER"}


def test_what_finds_no_stretches_is_refused(tmp_path: Path) -> None:
    tiny_model(tmp_path / "base")
    with pytest.raises(ModelError, match="finds no stretches"):
        models(tmp_path).tagger("base")


@pytest.mark.parametrize("text", ["", "a", "x" * 50, "one two\n\nthree four. five six seven", "日本語" * 20])
def test_pieces_fit_and_make_up_the_text(text: str) -> None:
    found = list(pieces(text, lambda piece: len(piece) <= 10))
    assert "".join(piece for _, piece in found) == text
    assert all(text[start : start + len(piece)] == piece for start, piece in found)
    assert all(len(piece) <= 10 for _, piece in found)


def test_a_text_is_cut_between_paragraphs_before_sentences_before_words() -> None:
    def cut(text: str) -> str:
        return next(pieces(text, lambda piece: len(piece) < len(text)))[1]

    assert cut("aa bb. cc dd\nee ff. gg") == "aa bb. cc dd\n"
    assert cut("aa bb cc. dd ee ff") == "aa bb cc. "
    assert cut("aa bb ccc dd") == "aa bb "


# Fillers


WORDS = ("the", "cat", "dog", "sat", "ran", "on", "mat", "a")


def masked_model(folder: Path, tokenizer: Any = None) -> Path:
    """A tiny BERT of whole words, without training."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordPiece
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing
    from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

    words = "[PAD] [UNK] [CLS] [SEP] [MASK] the cat dog sat ran on mat , . ##s ##ing a"
    vocabulary = {word: number for number, word in enumerate(words.split())}
    plain = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    plain.pre_tokenizer = Whitespace()
    plain.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=plain,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=16,
    )
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=len(vocabulary),
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=16,
            initializer_range=0.3,
        )
        BertForMaskedLM(config).save_pretrained(folder)
        fast.save_pretrained(folder)
    return folder


def test_a_filler_says_whole_words_with_the_model_s_own_probabilities(tmp_path: Path) -> None:
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    masked_model(tmp_path / "mlm")
    words = ["the", "cat", "sat", "on", "the", "mat", "."]
    filler = models(tmp_path).filler("mlm")
    ((one,), (three, nothing)) = filler.fill([words], [1], 1), filler.fill([words, ["cat"]], [2, 0], 99)
    with quiet():
        model = AutoModelForMaskedLM.from_pretrained(tmp_path / "mlm").eval()
        tokenizer = AutoTokenizer.from_pretrained(tmp_path / "mlm")
    ids = tokenizer("the [MASK] sat on the mat .", return_tensors="pt")
    shares_V = model(**ids).logits[0, ids["input_ids"][0].tolist().index(4)].softmax(-1).detach()
    expected = {tokenizer.decode([number]): float(shares_V[number]) for number in range(len(shares_V))}
    ((word, share),) = one
    assert share == pytest.approx(expected[word], rel=1e-4)
    assert share == pytest.approx(max(expected[word] for word in WORDS), rel=1e-4)
    # Neither special tokens nor pieces nor signs.
    assert {word for word, _ in three} == set(WORDS)
    assert [share for _, share in three] == sorted((share for _, share in three), reverse=True)
    assert len(nothing) == 8


def test_a_filler_reads_what_stands_around_a_place_in_a_long_text(tmp_path: Path) -> None:
    masked_model(tmp_path / "mlm")
    filler = models(tmp_path).filler("mlm")
    words = ["the"] * 200 + ["cat", "sat", "on", "the", "mat"] + ["a"] * 200
    (far,) = filler.fill([words], [201], 3)
    assert len(far) == 3
    assert filler.fill([], [], 3) == []


def test_what_was_not_trained_to_fill_masks_is_refused(tmp_path: Path) -> None:
    tiny_model(tmp_path / "base", "bert")
    with pytest.raises(ModelError, match="no mask token"):
        models(tmp_path).filler("base")
    masked_model(tmp_path / "mlm")
    from safetensors.torch import load_file, save_file

    weights = load_file(tmp_path / "mlm" / "model.safetensors")
    save_file(
        {name: tensor for name, tensor in weights.items() if "transform" not in name},
        tmp_path / "mlm" / "model.safetensors",
        {"format": "pt"},
    )
    with pytest.raises(ModelError, match="weights lack"):
        models(tmp_path).filler("mlm")


def test_a_folder_with_code_of_its_own_is_refused_in_every_role(tmp_path: Path) -> None:
    masked_model(tmp_path / "mlm")
    path = tmp_path / "mlm" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "auto_map": {"AutoModel": "x.Y"}}))
    for role in ("filler", "tagger", "responder", "classifier"):
        with pytest.raises(ModelError, match="code of its own"):
            getattr(models(tmp_path), role)("mlm")
