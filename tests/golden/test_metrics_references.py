"""Every metric equals the tool it is named after, on random cases and on resamples of them."""

from __future__ import annotations

import collections
import re
import string
from collections.abc import Sequence

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF
from seqeval.metrics import f1_score as seqeval_f1
from seqeval.metrics.sequence_labeling import get_entities
from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support, precision_score, recall_score
from sklearn.preprocessing import MultiLabelBinarizer

from tunesmith.metrics import Metric
from tunesmith.part import METRICS
from tunesmith.records import Prediction, Record, Span

CASES = 500
CLOSE = 1e-9


def metric(what: str | dict[str, object]) -> Metric:
    part = METRICS.make(what)
    assert isinstance(part, Metric)
    return part


def said(output: str, *references: str, **fields: object) -> Prediction:
    record = Record(id="r", source="s", text="t", references=references[1:])
    return Prediction(record, output=output, expected=references[0], **fields)  # type: ignore[arg-type]


def labelled(right: Sequence[str], given: Sequence[str]) -> Prediction:
    record = Record(id="r", source="s", text="t", labels=tuple(right))
    return Prediction(record, output=", ".join(given), expected=", ".join(right))


def drawn_twice(random: np.random.Generator, count: int) -> tuple[np.ndarray, list[int]]:
    """Weights of one bootstrap resample, and the rows it holds."""
    rows = random.integers(0, count, size=count)
    return np.bincount(rows, minlength=count)[None, :].astype(float), rows.tolist()


def test_labels_equal_scikit_learn() -> None:
    random = np.random.default_rng(0)
    names = np.array(["a", "b", "c", "d", "e, f"])
    for _ in range(CASES):
        count, kinds = int(random.integers(1, 40)), int(random.integers(1, 6))
        right = names[random.integers(0, kinds, count)].tolist()
        given = names[random.integers(0, 5, count)].tolist()
        rows = [labelled([a], [b]) for a, b in zip(right, given, strict=True)]
        # A label that holds the joiner is known from the right labels or from the probabilities.
        rows = [Prediction(row.record, row.output, row.expected, scores=dict.fromkeys(names, 0.2)) for row in rows]
        weights, chosen = drawn_twice(random, count)
        for pick in (range(count), chosen):
            wanted, got = [right[row] for row in pick], [given[row] for row in pick]
            precision, recall, f1, _ = precision_recall_fscore_support(wanted, got, average="macro", zero_division=0)
            share = accuracy_score(wanted, got)
            expected = {
                "accuracy": share,
                "precision": precision,
                "recall": recall,
                "f1": f1,
                "f1_macro": f1,
                "f1_micro": share,
            }
            for name, value in expected.items():
                part = metric(name)
                statistics = part.statistics(rows)
                if pick is chosen:
                    assert part.resampled(statistics, weights)[0] == pytest.approx(value, abs=CLOSE), name
                else:
                    assert part.whole(statistics) == pytest.approx(value, abs=CLOSE), name


def test_one_label_equals_scikit_learn() -> None:
    random = np.random.default_rng(1)
    for _ in range(100):
        right, given = (random.choice(["a", "b", "c"], 30).tolist() for _ in range(2))
        rows = [labelled([a], [b]) for a, b in zip(right, given, strict=True)]
        for name, tool in (("f1", f1_score), ("precision", precision_score), ("recall", recall_score)):
            value = tool(right, given, labels=["b"], average="macro", zero_division=0)
            assert metric({"kind": name, "label": "b"}).score(rows).value == pytest.approx(value, abs=CLOSE)


def test_label_sets_equal_scikit_learn() -> None:
    random = np.random.default_rng(2)
    names = ["joy", "anger", "fear", "calm", "hope"]
    for _ in range(CASES):
        count = int(random.integers(2, 30))
        right = [[name for name in names if random.random() < 0.35] or ["joy"] for _ in range(count)]
        given = [[name for name in names if random.random() < 0.35] for _ in range(count)]
        seen = MultiLabelBinarizer().fit([*right, *given])
        truth, guess = seen.transform(right), seen.transform(given)
        rows = [labelled(a, b) for a, b in zip(right, given, strict=True)]
        macro = f1_score(truth, guess, average="macro", zero_division=0)
        micro = f1_score(truth, guess, average="micro", zero_division=0)
        assert metric("accuracy").score(rows).value == pytest.approx(accuracy_score(truth, guess), abs=CLOSE)
        assert metric("f1_macro").score(rows).value == pytest.approx(macro, abs=CLOSE)
        assert metric("f1_micro").score(rows).value == pytest.approx(micro, abs=CLOSE)


def test_entities_equal_seqeval() -> None:
    random = np.random.default_rng(3)
    tags = ["O", "O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    for _ in range(CASES):
        count = int(random.integers(1, 12))
        truth = [["B-PER", *random.choice(tags, int(random.integers(1, 15))).tolist()] for _ in range(count)]
        guess = [[tag if random.random() < 0.7 else str(random.choice(tags)) for tag in row] for row in truth]
        rows = [
            Prediction(
                Record(id="r", source="s", text="t", spans=spans(right)), output="", expected="", spans=spans(given)
            )
            for right, given in zip(truth, guess, strict=True)
        ]
        assert metric("entity_f1").score(rows).value == pytest.approx(seqeval_f1(truth, guess), abs=CLOSE)
        weights, chosen = drawn_twice(random, count)
        resampled = metric("entity_f1").resampled(metric("entity_f1").statistics(rows), weights)[0]
        wanted = seqeval_f1([truth[row] for row in chosen], [guess[row] for row in chosen])
        assert resampled == pytest.approx(wanted, abs=CLOSE)


def spans(tags: list[str]) -> tuple[Span, ...]:
    return tuple(Span(start, end, label) for label, start, end in get_entities(tags))


WORDS = ["the", "an", "cat", "sat", "on", "mats", "running", "Übung", "état", "42", "3.5", ",", "—", "東京", "A"]


def sentence(random: np.random.Generator, most: int = 14) -> str:
    return " ".join(random.choice(WORDS, int(random.integers(0, most))).tolist())


def answered(random: np.random.Generator, several: bool = True) -> list[Prediction]:
    rows = []
    for _ in range(int(random.integers(1, 12))):
        references = [sentence(random) for _ in range(int(random.integers(1, 4)) if several else 1)]
        output = references[0] if random.random() < 0.2 else sentence(random)
        rows.append(said(output, *references))
    return rows


def streams(rows: Sequence[Prediction]) -> list[list[str | None]]:
    most = max(len(row.references) for row in rows)
    return [[row.references[at] if at < len(row.references) else None for row in rows] for at in range(most)]


@pytest.mark.parametrize(
    ("settings", "tool"),
    [
        ({"kind": "bleu"}, BLEU()),
        ({"kind": "bleu", "tokenize": "intl"}, BLEU(tokenize="intl")),
        ({"kind": "bleu", "tokenize": "char"}, BLEU(tokenize="char")),
        ({"kind": "bleu", "tokenize": "zh"}, BLEU(tokenize="zh")),
        ({"kind": "bleu", "tokenize": "none"}, BLEU(tokenize="none")),
        ({"kind": "bleu", "lowercase": True}, BLEU(lowercase=True)),
        ({"kind": "chrf"}, CHRF()),
        ({"kind": "chrf", "lowercase": True}, CHRF(lowercase=True)),
        ({"kind": "chrf", "word_order": 2}, CHRF(word_order=2)),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_translations_equal_sacrebleu(settings: dict[str, object], tool: BLEU | CHRF) -> None:
    random = np.random.default_rng(4)
    part = metric(settings)
    for _ in range(CASES if len(settings) == 1 else 60):
        rows = answered(random)
        statistics = part.statistics(rows)
        weights, chosen = drawn_twice(random, len(rows))
        for value, pick in (
            (part.whole(statistics), rows),
            (part.resampled(statistics, weights)[0], [rows[row] for row in chosen]),
        ):
            wanted = tool.corpus_score([row.output for row in pick], streams(pick)).score
            assert value == pytest.approx(wanted, abs=CLOSE)


def test_rows_of_bleu_equal_sentence_bleu() -> None:
    random = np.random.default_rng(5)
    tool = BLEU(effective_order=True)
    rows = [row for _ in range(60) for row in answered(random)]
    for row, value in zip(rows, metric("bleu").score(rows).per_row, strict=True):
        if row.output.strip():
            assert value == pytest.approx(tool.sentence_score(row.output, list(row.references)).score, abs=CLOSE)


@pytest.mark.parametrize("stemmer", [False, True])
@pytest.mark.parametrize("name", ["rouge1", "rouge2", "rougeL"])
def test_summaries_equal_rouge_score(name: str, stemmer: bool) -> None:
    random = np.random.default_rng(6)
    tool = RougeScorer([name], use_stemmer=stemmer)
    part = metric({"kind": name, "stemmer": stemmer})
    for _ in range(CASES if not stemmer else 60):
        rows = answered(random)
        wanted = [max(tool.score(reference, row.output)[name].fmeasure for reference in row.references) for row in rows]
        score = part.score(rows)
        np.testing.assert_allclose(score.per_row, wanted, atol=CLOSE)
        assert score.value == pytest.approx(float(np.mean(wanted)), abs=CLOSE)


# A second writing of SQuAD's scores, from the paper's and the task's description.


def squad_words(text: str) -> list[str]:
    kept = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    return [word for word in re.split(r"\s+", re.sub(r"\b(?:a|an|the)\b", " ", kept)) if word]


def squad_f1(answer: str, reference: str) -> float:
    given, wanted = squad_words(answer), squad_words(reference)
    if not given or not wanted:
        return float(given == wanted)
    shared = sum(min(given.count(word), wanted.count(word)) for word in collections.Counter(given))
    if not shared:
        return 0.0
    precision, recall = shared / len(given), shared / len(wanted)
    return 2 * precision * recall / (precision + recall)


def test_answers_equal_squad() -> None:
    random = np.random.default_rng(7)
    for _ in range(CASES):
        rows = answered(random)
        exact = [max(float(squad_words(row.output) == squad_words(text)) for text in row.references) for row in rows]
        shared = [max(squad_f1(row.output, text) for text in row.references) for row in rows]
        match = metric({"kind": "exact_match", "compare": "words"}).score(rows)
        np.testing.assert_allclose(match.per_row, exact, atol=CLOSE)
        assert match.value == pytest.approx(float(np.mean(exact)), abs=CLOSE)
        np.testing.assert_allclose(metric("token_f1").score(rows).per_row, shared, atol=CLOSE)


def test_perplexity_equals_its_definition() -> None:
    random = np.random.default_rng(8)
    for _ in range(CASES):
        tokens = [random.gamma(2.0, 1.0, int(random.integers(1, 30))) for _ in range(int(random.integers(1, 20)))]
        rows = [said("", "x", nll=float(row.sum()), num_tokens=len(row), num_chars=3 * len(row)) for row in tokens]
        every = np.concatenate(tokens)
        assert metric("perplexity").score(rows).value == pytest.approx(float(np.exp(every.mean())), rel=CLOSE)
        per_character = metric({"kind": "perplexity", "per": "character"}).score(rows).value
        assert per_character == pytest.approx(float(np.exp(every.mean() / 3)), rel=CLOSE)


@pytest.mark.parametrize(("name", "share"), [("latency_p50", 0.5), ("latency_p95", 0.95), ("latency_p99", 0.99)])
def test_latency_equals_numpy(name: str, share: float) -> None:
    random = np.random.default_rng(9)
    part = metric(name)
    for _ in range(CASES):
        count = int(random.integers(1, 130))
        times = random.lognormal(0, 1, count)
        rows = [said("", "x", seconds=float(seconds)) for seconds in times]
        statistics = part.statistics(rows)
        weights, chosen = drawn_twice(random, count)
        for value, pick in ((part.whole(statistics), times), (part.resampled(statistics, weights)[0], times[chosen])):
            assert value == pytest.approx(1000 * np.quantile(pick, share, method="inverted_cdf"), rel=CLOSE)
