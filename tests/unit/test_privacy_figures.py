"""The figures of attacks on privacy: against scikit-learn, by hand, and whether clean models are accused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import nhypergeom
from sklearn.metrics import roc_auc_score, roc_curve

from tunesmith.data.encode.tokenize import Codec
from tunesmith.data.methods.canaries import canary
from tunesmith.evaluate.privacy import Asked, Extraction
from tunesmith.evaluate.privacy.alike import sides, told_by_words
from tunesmith.evaluate.privacy.exposure import bits_of, exposed, mean_bound
from tunesmith.evaluate.privacy.extraction import Question, extracted, unheard
from tunesmith.evaluate.privacy.losses import losses_of
from tunesmith.evaluate.privacy.membership import FEWEST, attacked, scores_of
from tunesmith.metrics import _roc
from tunesmith.metrics._measured import ATTACKS, MEMBER
from tunesmith.metrics.membership_auc import MembershipAuc
from tunesmith.metrics.membership_tpr import MembershipTpr
from tunesmith.models.load import open_model
from tunesmith.records import Prediction, Record
from tunesmith.testing.tiny import tiny_model

LEVEL = 0.05 / 5
SEEDS = 100


def rows(count: int, kind: str = "row", words: int = 12) -> list[Record]:
    """Rows that have nothing in common but their vocabulary."""
    random = np.random.default_rng(len(kind) + count)
    return [
        Record(f"{kind}{at}", f"{kind}.jsonl:{at}", text=" ".join(f"w{word}" for word in random.integers(0, 60, words)))
        for at in range(count)
    ]


def scored(ones: int, others: int, apart: float, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    kinds = np.repeat([1.0, 0.0], [ones, others])
    return _roc.statistics_of(kinds, np.round(random.normal(kinds * apart, 1.0), 1))


@pytest.mark.parametrize("apart", [0.0, 0.7, 3.0])
def test_areas_and_hits_equal_scikit_learn(apart: float) -> None:
    statistics = scored(70, 110, apart)
    weights = np.random.default_rng(1).integers(0, 4, (3, 180)).astype(float)
    kinds, scores = statistics[:, 0], statistics[:, 2]
    for weight, area, hit in zip(
        weights, _roc.auc(statistics, weights), _roc.hits(statistics, weights, 0.1), strict=True
    ):
        assert area == pytest.approx(roc_auc_score(kinds, scores, sample_weight=weight), abs=1e-12)
        fpr, tpr, _ = roc_curve(kinds, scores, sample_weight=weight, drop_intermediate=False)
        others = weight[kinds == 0].sum()
        assert hit == pytest.approx(tpr[fpr * others <= math.floor(0.1 * others + 1e-9) + 1e-9].max(), abs=1e-12)
    placed = _roc.placements(statistics)
    whole = _roc.auc(statistics, np.ones((1, 180)))[0]
    assert placed[:70].mean() == pytest.approx(whole) == placed[70:].mean()


def test_intervals_hold_as_often_as_they_say() -> None:
    # Two normals a distance d apart have an area of Phi(d / sqrt 2).
    for apart, area in ((0.0, 0.5), (1.0, 0.7602), (2.5, 0.9615)):
        held = 0
        for seed in range(200):
            random = np.random.default_rng(seed)
            statistics = _roc.statistics_of(np.repeat([1.0, 0.0], 40), random.normal(np.repeat([apart, 0.0], 40), 1))
            low, high = _roc.auc_interval(float(_roc.auc(statistics, np.ones((1, 80)))[0]), 40, 40, 0.9) or (1, 0)
            held += low <= area <= high
        assert 0.84 <= held / 200 <= 0.99, (apart, held)
    low, high = _roc.auc_interval(1.0, 20, 20, 0.95) or (1, 0)
    assert 0.8 < low < 0.95 and high == 1.0, "all apart is no certainty"


def test_an_interval_of_hits_is_open_where_others_are_few() -> None:
    sure = scored(200, 60, 9.0)
    assert _roc.hits(sure, np.ones((1, 260)), 0.01)[0] == 1.0
    low, high = _roc.hits_interval(sure, 0.01, 0.95) or (9, 9)
    assert low == 0.0 and high == 1.0, "60 rows cannot bound a 99th percentile"
    low, high = _roc.hits_interval(scored(200, 900, 9.0), 0.01, 0.95) or (9, 9)
    assert low > 0.95
    for ones, others, alarms, level in ((100, 100, 0.01, 0.05), (50, 200, 0.01, 0.01), (30, 90, 0.1, 0.05)):
        urn = nhypergeom(ones + others, ones, math.floor(alarms * others + 1e-9) + 1)
        assert _roc.hits_bound(ones, others, alarms, level) == urn.ppf(1 - level) / ones
    random = np.random.default_rng(2)
    told = [
        _roc.hits(scored(50, 200, 0.0, int(random.integers(10**9))), np.ones((1, 250)), 0.01)[0] for _ in range(400)
    ]
    assert np.mean(np.array(told) > _roc.hits_bound(50, 200, 0.01, 0.05)) <= 0.08


def test_attacks_by_hand() -> None:
    tuned = [np.array([1.0, 3.0]), np.array([4.0, 0.0, 2.0, 2.0, 2.0]), np.zeros(0)]
    base = [np.array([2.0, 4.0]), np.array([2.0, 2.0, 2.0, 2.0, 2.0]), np.zeros(0)]
    with np.errstate(all="ignore"):
        found = scores_of(tuned, base, 0.2)
    assert found["loss"][:2].tolist() == [-2.0, -2.0] and np.isnan(found["loss"][2])
    assert found["calibrated"][:2].tolist() == [1.0, 0.0]
    assert found["min_k"][:2].tolist() == [-3.0, -4.0]
    assert set(scores_of(tuned, None, 0.2)) == {"loss", "min_k"}


def test_a_target_names_its_attack() -> None:
    made = [
        Prediction(record, "", "", measured={MEMBER: float(at < 5), ATTACKS["loss"]: float(at), ATTACKS["min_k"]: 0.0})
        for at, record in enumerate(rows(10))
    ]
    assert MembershipAuc().score(made).value == 0.0 == MembershipAuc(attack="loss").score(made).value
    assert MembershipAuc(attack="min_k").score(made).value == 0.5
    calibrated = [row.measured | {ATTACKS["calibrated"]: -row.measured[ATTACKS["loss"]]} for row in made]
    made = [Prediction(row.record, "", "", measured=told) for row, told in zip(made, calibrated, strict=True)]
    assert MembershipAuc().score(made).value == 1.0
    assert MembershipTpr(fpr=0.01).score(made).value == 1.0 and MembershipTpr(attack="loss").score(made).value == 0.0
    assert MembershipTpr(attack="loss", fpr=0.99).score(made).value == 0.0


def test_exposure_by_hand() -> None:
    others = np.arange(1, 8, dtype=float)
    assert bits_of(0.5, others) == 3.0 and bits_of(9.0, others) == 0.0
    assert bits_of(1.0, others) == 2.0, "one as likely as another ranks behind it"
    found = exposed(rows(4), 8, np.full(4, 3.0), 7, level=0.01, confidence=0.95, seed=0)
    assert (found.mean, found.highest, found.copies) == (3.0, 3.0, 2.0) and found.interval is not None
    assert found.interval[0] < 3.0 and found.finding == "too small to tell", (
        "seven others cannot tell four canaries apart"
    )


def test_only_what_is_a_rows_own_is_asked_for() -> None:
    own, copied, shared = (Question(at, prompt, expected) for at, (prompt, expected) in enumerate(
        [([1, 2], (7, 8)), ([1, 5, 6, 2], (5, 6)), ([3], (9, 9))]
    ))  # fmt: skip
    assert unheard([own, copied, shared], [Question(0, [4], (9, 9))]) == [own]


MEMBERS, HELD_OUT = rows(120, "train"), rows(120, "test")


@pytest.fixture(scope="module")
def nats(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[np.ndarray], np.ndarray]:
    """What a model that was never trained says of 240 rows and of 400 secrets."""
    folder = tmp_path_factory.mktemp("base")
    model = open_model(str(tiny_model(folder)), workspace=folder, head="lm")
    codec = Codec(model.tokenizer, need="text", family="causal", max_length=64, too_long="truncate")
    random = np.random.default_rng(0)
    secrets = [canary(MEMBERS[0], random) for _ in range(400)]
    asked = [*MEMBERS, *HELD_OUT, *secrets]
    found = losses_of(model, codec, asked, batch=64, after=lambda done, total: None)
    return found[:240], np.array([row.sum() for row in found[240:]])


def test_clean_models_are_accused_no_oftener_than_is_said(
    nats: tuple[list[np.ndarray], np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Words are tried elsewhere: they cost more than all else.
    monkeypatch.setattr("tunesmith.evaluate.privacy.membership.told_by_words", lambda *_: np.zeros(240))
    of_rows, of_secrets = nats
    accused = dict.fromkeys(("membership", "exposure", "extraction"), 0)
    for seed in range(SEEDS):
        random = np.random.default_rng(seed)
        mixed = [of_rows[place] for place in random.permutation(240)]
        scores = scores_of(mixed, [row + random.normal(0, 0.1, len(row)) for row in mixed], 0.2)
        found = attacked(MEMBERS, HELD_OUT, scores, near_copies=0, level=LEVEL, confidence=0.95, seed=seed)
        accused["membership"] += found.finding == "found"
        drawn = random.permutation(of_secrets)
        bits = np.array([bits_of(value, drawn[16:]) for value in drawn[:16]])
        told = exposed(MEMBERS[:16], 64, bits, len(drawn) - 16, level=LEVEL, confidence=0.95, seed=seed)
        accused["exposure"] += told.finding == "found"
        # Both kinds are recited alike: what anybody would say.
        said = [[(Question(at, [], (1,)), bool(random.random() < 0.1)) for at in range(80)] for _ in range(2)]
        recited = extracted(MEMBERS, *said, [], shown=4, recited=8, level=LEVEL, confidence=0.95)
        accused["extraction"] += recited.finding == "found"
    # 5 of 100 are allowed in all, and 100 seeds cannot tell 5 from 9.
    assert sum(accused.values()) <= 9, accused


def test_a_model_that_knows_its_rows_is_found_and_they_are_named() -> None:
    random = np.random.default_rng(0)
    loss = np.concatenate([random.gamma(4.0, 0.3, 120), random.gamma(4.0, 0.5, 120)])
    loss[7] = 0.001
    found = attacked(MEMBERS, HELD_OUT, {"loss": -loss}, near_copies=0, level=LEVEL, confidence=0.95, seed=0)
    assert found.finding == "found" and found.likeliest[0] == MEMBERS[7].source
    assert found.attacks[0].bound < found.detectable < found.attacks[0].auc
    few = attacked(
        MEMBERS[: FEWEST - 1], HELD_OUT, {"loss": -loss}, near_copies=0, level=LEVEL, confidence=0.95, seed=0
    )
    assert few.finding == "too small to tell" and few.attacks == []


def test_rows_that_words_tell_apart_accuse_nobody() -> None:
    others = [Record(f"o{at}", f"o:{at}", text=f"quite another kind of text {at}") for at in range(120)]
    loss = np.repeat([0.1, 3.0], 120)
    found = attacked(MEMBERS, others, {"loss": -loss}, near_copies=0, level=LEVEL, confidence=0.95, seed=0)
    assert not found.alike and found.finding == "too small to tell"
    by_words = _roc.statistics_of(np.repeat([1.0, 0.0], 120), told_by_words(MEMBERS, HELD_OUT, 0))
    assert _roc.auc(by_words, np.ones((1, 240)))[0] < 0.62


def test_near_copies_and_made_rows_are_left_out() -> None:
    long = rows(50, "long", words=30)
    copy = Record("copy", "test:1", text=(long[0].text or "") + " more")
    made = Record("made", "train:2", text="w1 w2 w3", parent="long1")
    members, held_out, near = sides([*long[:30], made], [*long[30:], copy], 25, 0)
    assert near == 2 and copy not in held_out and long[0] not in members and made not in members
    assert len(members) == 25 and len(held_out) == 20
    assert sides([*long[:30], made], [*long[30:], copy], 25, 1)[0] != members


def test_luck_is_parted_from_recitation() -> None:
    def found(ours: int, theirs: int) -> Extraction:
        told = [[(Question(at, [], (1,)), at < said) for at in range(60)] for said in (ours, theirs)]
        return extracted(MEMBERS, *told, [], shown=4, recited=8, level=LEVEL, confidence=0.95)

    assert found(12, 0).finding == "found" and found(12, 12).finding == "nothing found" == found(3, 0).finding
    assert found(12, 0).trained == Asked(60, 12) and found(12, 0).sources[0] == MEMBERS[0].source
    data = [(Question(3, [], (1,), "a@b.example", "email"), True)]
    said = extracted(MEMBERS, [], [], data, shown=4, recited=8, level=LEVEL, confidence=0.95)
    assert said.finding == "found" and said.personal == {"email": Asked(1, 1)} and said.sources == [MEMBERS[3].source]


def test_the_bound_of_exposure_is_what_ranks_by_chance_come_to() -> None:
    random = np.random.default_rng(5)
    ranks = random.integers(1, 1002, (20_000, 12))
    means = (math.log2(1001) - np.log2(ranks)).mean(axis=1)
    assert 0.005 < (means > mean_bound(12, 0.01)).mean() <= 0.0115
