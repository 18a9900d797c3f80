"""Agreement, consensus and label errors equal those of scikit-learn, statsmodels, crowd-kit and cleanlab."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tunesmith.data.methods.votes.agreement import cohen_kappa, fleiss_kappa, krippendorff_alpha
from tunesmith.data.methods.votes.confident import find_errors
from tunesmith.data.methods.votes.consensus import dawid_skene, majority, one_coin
from tunesmith.data.methods.votes.mace import mace
from tunesmith.data.methods.votes.table import Votes

pytestmark = pytest.mark.filterwarnings("ignore")  # of the references


def panel(items: int = 150, people: int = 6, labels: int = 3, each: int = 4) -> list[dict[str, str]]:
    generator = np.random.default_rng(11)
    skill = generator.uniform(0.5, 0.95, people)
    found = []
    for true in generator.integers(0, labels, items):
        who = generator.choice(people, each, replace=False)
        said = np.where(generator.random(each) < skill[who], true, generator.integers(0, labels, each))
        found.append({f"w{person}": f"l{label}" for person, label in zip(who, said, strict=True)})
    return found


PANEL = panel()
VOTES = Votes.of(PANEL)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """As crowd-kit takes it; in the order of annotators and labels, which its MACE takes for granted."""
    rows = [(item, who, what) for item, votes in enumerate(PANEL) for who, what in votes.items()]
    return pd.DataFrame(rows, columns=["task", "worker", "label"]).sort_values(["worker", "label", "task"])


def test_cohens_kappa_is_scikit_learns() -> None:
    from sklearn.metrics import cohen_kappa_score

    both = [(votes["w0"], votes["w1"]) for votes in PANEL if {"w0", "w1"} <= votes.keys()]
    assert cohen_kappa(VOTES, "w0", "w1").value == pytest.approx(cohen_kappa_score(*zip(*both, strict=True)), abs=1e-12)


def test_fleiss_kappa_is_statsmodels() -> None:
    from statsmodels.stats.inter_rater import fleiss_kappa as reference

    table = [[list(votes.values()).count(label) for label in VOTES.labels] for votes in PANEL]
    assert fleiss_kappa(VOTES).value == pytest.approx(reference(np.array(table)), abs=1e-12)


def test_alpha_is_crowd_kits(frame: pd.DataFrame) -> None:
    from crowdkit.metrics.data import alpha_krippendorff

    assert krippendorff_alpha(VOTES).value == pytest.approx(alpha_krippendorff(frame), abs=1e-9)


def posterior(found: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    return found[VOTES.pattern_N]


@pytest.mark.parametrize("name", ["majority", "dawid_skene", "one_coin"])
def test_consensus_is_crowd_kits(frame: pd.DataFrame, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunesmith.data.methods.votes.consensus.TOLERANCE", 0.0)  # both go as many steps
    from crowdkit.aggregation import DawidSkene, MajorityVote, OneCoinDawidSkene

    ours, reference = {
        "majority": (majority(VOTES), MajorityVote()),
        "dawid_skene": (dawid_skene(VOTES, smoothing=0, most=20), DawidSkene(n_iter=20, tol=-1)),
        "one_coin": (one_coin(VOTES, smoothing=0, most=8), OneCoinDawidSkene(n_iter=8, tol=-1)),
    }[name]
    found = reference.fit_predict_proba(frame).sort_index()[list(VOTES.labels)].to_numpy()
    np.testing.assert_allclose(posterior(ours.posterior_PC), found, atol=1e-6)


def test_mace_is_crowd_kits(frame: pd.DataFrame) -> None:
    from crowdkit.aggregation import MACE

    found = MACE(n_restarts=1, n_iter=25).fit_predict_proba(frame).sort_index()[list(VOTES.labels)].to_numpy()
    np.testing.assert_allclose(posterior(mace(VOTES).posterior_PC), found, atol=5e-3)


def noisy_probabilities(rows: int = 400, labels: int = 4) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    generator = np.random.default_rng(5)
    true = generator.integers(0, labels, rows)
    logits = generator.normal(size=(rows, labels)) + 2.5 * np.eye(labels)[true]
    given = np.where(generator.random(rows) < 0.15, generator.integers(0, labels, rows), true)
    return given, np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


@pytest.mark.parametrize("score", ["self_confidence", "normalized_margin"])
@pytest.mark.parametrize(
    ("rule", "name"),
    [("confident", "confident_learning"), ("noise_rate", "prune_by_noise_rate"), ("lowest", "low_{score}")],
)
def test_label_errors_are_cleanlabs(rule: str, name: str, score: str) -> None:
    from cleanlab.count import estimate_joint, get_confident_thresholds
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    given, sure = noisy_probabilities()
    ours = find_errors(given, sure, rule=rule, score=score)  # type: ignore[arg-type]
    found = find_label_issues(given, sure, filter_by=name.format(score=score), n_jobs=1)
    assert ours.wrong_N.sum() > 30
    assert (ours.wrong_N != found).sum() <= (1 if rule == "noise_rate" else 0), "counts are rounded otherwise"
    np.testing.assert_allclose(ours.score_N, get_label_quality_scores(given, sure, method=score), atol=1e-12)
    np.testing.assert_allclose(ours.thresholds_C, get_confident_thresholds(given, sure), atol=1e-12)
    np.testing.assert_allclose(ours.joint_GT / len(given), estimate_joint(given, sure), atol=2e-3)
