"""Words, shingles, signatures, groups and choices against plain references."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.data.methods.similar import candidates, shingles, similar_groups, sketches, vectors, words
from tunesmith.data.methods.similar.alike import Alike, choose
from tunesmith.data.methods.similar.minhash import MOST, NARROWEST, RECALL, bands, curve, signatures
from tunesmith.data.methods.similar.shingles import Block, Sets, blocks, jaccard, sets_of, shingles_of
from tunesmith.data.methods.similar.show import difference
from tunesmith.data.methods.similar.stored import Stored
from tunesmith.data.methods.similar.union import Union
from tunesmith.data.methods.similar.words import folded, places, runs_of, words_of
from tunesmith.data.room import Room
from tunesmith.records import Record

TEXTS = st.lists(st.text(alphabet="abAB1 .+\n-", max_size=25), max_size=8)
SMALL = st.lists(st.lists(st.sampled_from("abc"), max_size=7).map(" ".join), min_size=1, max_size=12)
"""Rows of three words, so that many are alike."""


def records(texts: list[str]) -> list[Record]:
    return [Record(f"r{n}", f"rows:{n}", text=text) for n, text in enumerate(texts)]


def split(text: str) -> list[str]:
    """The words of an ASCII text."""
    return re.findall(r"[a-z0-9]+|[+]", text.lower())


def runs(text: str, length: int) -> set[tuple[str, ...]]:
    """The shingles of an ASCII text."""
    found = split(text)
    if not found:
        return {("".join(text.split()).lower(),)}
    length = min(length, len(found))
    return {tuple(found[at : at + length]) for at in range(len(found) - length + 1)}


def sets(texts: list[str], length: int) -> Sets:
    return sets_of(list(blocks(*shingles_of(texts, length))), len(texts))


def similarity(left: str, right: str, length: int = 3) -> float:
    """Jaccard's, by Python's sets."""
    one, other = runs(left, length), runs(right, length)
    return len(one & other) / len(one | other)


def near_copies(count: int, seed: int) -> list[str]:
    """Rows of 60 words with all degrees of likeness among them."""
    draw = np.random.default_rng(seed)
    made = [draw.integers(0, 3000, 60) for _ in range(count // 2)]
    for origin in draw.integers(0, len(made), count - len(made)).tolist():
        copy = made[origin].copy()
        other = draw.choice(60, draw.integers(0, 9), replace=False)
        copy[other] = draw.integers(0, 3000, len(other))
        made.append(copy)
    return [" ".join(f"w{word}" for word in row) for row in made]


def parts(groups: np.ndarray) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(groups == group).tolist()) for group in set(groups.tolist())}


# Words ------------------------------------------------------------------------------------------


@given(TEXTS)
def test_words_are_those_of_a_regular_expression(texts: list[str]) -> None:
    found = words_of(texts)
    expected = [word for text in texts for word in split(text)]
    assert found.counts.tolist() == [len(split(text)) for text in texts]
    named = dict(zip(expected, found.hashes.tolist(), strict=True))
    assert [named[word] for word in expected] == found.hashes.tolist()
    assert len(set(named.values())) == len(named)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't STOP!", ["don", "t", "stop"]),
        ("ＦＵＬＬ ﬁne Straße", ["full", "fine", "strasse"]),
        ("e\u0301t\u00e9 \u0939\u093f\u0928\u094d\u0926\u0940", ["été", "हिन्दी"]),
        ("你好, 世界", list("你好世界")),
        ("2+3*4 = 14 €", ["2", "+", "3", "*", "4", "=", "14", "€"]),
        ("ไทย", list("ไทย")),
        ("a\ud800b _x_ 👍🏽", ["a", "b", "x", "👍", "🏽"]),
    ],
)
def test_words_of_many_scripts(text: str, expected: list[str]) -> None:
    said = folded(text)
    assert [said[start:end] for start, end in zip(*places(said), strict=True)] == expected
    assert words_of([text]).counts.tolist() == [len(expected)]


def test_long_texts_are_worked_on_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = near_copies(6, 0)
    texts[2] = "\n".join(texts)
    whole = words_of(texts)
    monkeypatch.setattr(words, "PIECE", 40)
    pieces = words_of(texts)
    assert whole.counts.tolist() == pieces.counts.tolist()
    assert whole.hashes.tolist() == pieces.hashes.tolist()


def test_runs_stay_inside_of_their_text() -> None:
    found, first = runs_of(words_of(["a b c", "b", "c d", "a b c"]), 2)
    assert first.tolist() == [0, 1, 4, 6, 7]
    assert found[0] == found[3] and found[1] == found[4] and len(set(found.tolist())) == 3


# Sets and signatures ----------------------------------------------------------------------------


@settings(max_examples=30)
@given(TEXTS, st.integers(1, 5))
def test_sets_are_those_of_python(texts: list[str], length: int) -> None:
    found = sets(texts, length)
    assert found.counts.tolist() == [len(runs(text, length)) for text in texts]
    for left, right in combinations(range(len(texts)), 2):
        pair = [sets([texts[place]], length) for place in (left, right)]
        assert jaccard(*pair)[0] == pytest.approx(similarity(texts[left], texts[right], length))


def test_blocks_hold_every_text_once_whatever_its_length(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [" ".join(f"w{n}" for n in range(length)) for length in (5, 900, 3, 40, 41, 0, 7, 900, 12)]
    whole = sets(texts, 2)
    monkeypatch.setattr(shingles, "BLOCK", 64)
    found = list(blocks(*shingles_of(texts, 2)))
    assert sorted(row for block in found for row in block.rows.tolist()) == list(range(len(texts)))
    assert all(block.shingles.size <= 64 or len(block.rows) == 1 for block in found)
    parted = sets_of(found, len(texts))
    assert (parted.values.tolist(), parted.counts.tolist()) == (whole.values.tolist(), whole.counts.tolist())


@pytest.mark.parametrize("common", [20, 60, 90])
def test_signatures_agree_as_often_as_the_sets_are_alike(common: int) -> None:
    """400 pairs of sets of 100, 256 permutations: the mean lies within four standard errors of the exact similarity,
    and the spread is what independent permutations give."""
    draw = np.random.default_rng(common)
    left = draw.integers(0, 2**32, (400, 100), dtype=np.uint32)
    right = left.copy()
    right[:, common:] = draw.integers(0, 2**32, (400, 100 - common), dtype=np.uint32)
    exact = common / (200 - common)
    agree = signatures(Block(np.arange(400), left), 256) == signatures(Block(np.arange(400), right), 256)
    expected = (exact * (1 - exact) / 256) ** 0.5
    assert agree.mean() == pytest.approx(exact, abs=4 * expected / 20)
    assert agree.mean(axis=0).std() == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.62, 0.7, 0.8, 0.85, 0.9, 0.95, 0.99, 1.0])
def test_the_curve_finds_what_it_says(threshold: float) -> None:
    shape = curve(threshold)
    assert shape.found(threshold) >= RECALL
    assert shape.permutations <= MOST or shape.width == NARROWEST
    # One band fewer would be too few.
    assert shape.bands == 1 or 1 - (1 - threshold**shape.width) ** (shape.bands - 1) < RECALL


def test_bands_are_equal_where_all_their_values_are() -> None:
    smallest = np.arange(24, dtype=np.uint32).reshape(12, 2)
    smallest[:, 1] = smallest[:, 0]
    smallest[7, 1] += 1
    shape = curve(0.6)._replace(bands=4, width=3)
    keys = bands(smallest, shape)
    assert (keys[:, 0] == keys[:, 1]).tolist() == [True, True, False, True]


# Groups -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.85])
def test_groups_hold_what_brute_force_finds(threshold: float) -> None:
    texts = near_copies(320, 1)
    told = [runs(text, 3) for text in texts]
    pairs = {
        (one, other)
        for one, other in combinations(range(320), 2)
        if len(told[one] & told[other]) >= threshold * len(told[one] | told[other])
    }
    groups = similar_groups(records(texts), threshold, Room())
    found = {pair for pair in pairs if groups[pair[0]] == groups[pair[1]]}
    assert len(pairs) > 30
    assert len(found) >= 0.985 * len(pairs)
    exact = Union(320)
    exact.join(*(np.array(side) for side in zip(*pairs, strict=True)))
    whole = exact.groups()
    assert all(len({int(whole[row]) for row in part}) == 1 for part in parts(groups)), "joined what is not alike"


@settings(max_examples=15)
@given(SMALL, st.randoms())
def test_the_order_of_rows_changes_no_group(texts: list[str], random: object) -> None:
    order = list(range(len(texts)))
    random.shuffle(order)  # type: ignore[attr-defined]
    straight = parts(similar_groups(records(texts), 0.5, Room()))
    mixed = parts(similar_groups(records([texts[place] for place in order]), 0.5, Room()))
    assert {frozenset(order[place] for place in part) for part in mixed} == straight


def test_groups_are_numbered_as_they_appear_and_labels_do_not_part_them() -> None:
    rows = [
        Record("a", "a", text="one two three four five", labels=("x",)),
        Record("b", "b", text="something else altogether here"),
        Record("c", "c", text="One, two, three, four, five!", labels=("y",)),
    ]
    assert similar_groups(rows, 0.9, Room()).tolist() == [0, 1, 0]
    assert similar_groups([], 0.9, Room()).tolist() == []


def test_small_portions_give_the_same_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = records([*near_copies(200, 2), "", "?!", " "])
    whole = similar_groups(rows, 0.7, Room())
    monkeypatch.setattr(sketches, "CHUNK", 7)
    monkeypatch.setattr(sketches, "LETTERS", 900)
    monkeypatch.setattr(sketches, "COMPARED", 300)
    assert similar_groups(rows, 0.7, Room()).tolist() == whole.tolist()
    assert whole[-1] == whole[-3] != whole[-2]


def test_where_very_many_meet_copies_are_still_found(monkeypatch: pytest.MonkeyPatch) -> None:
    form = " ".join(f"f{n}" for n in range(40))
    texts = [f"{form} {' '.join(f'w{n}x{k}' for k in range(30))}" for n in range(120)]
    rows = records([*texts, *texts[::-1]])
    monkeypatch.setattr(candidates, "WINDOW", 3)
    with sketches.sketch_all(rows, Room(), curve(0.6), "content", 3) as found:
        alike, crowded = candidates.link(found, 0.6)
    assert crowded > 100
    assert parts(alike.groups()) == {frozenset({n, 239 - n}) for n in range(120)}


@given(st.lists(st.tuples(st.integers(0, 14), st.integers(0, 14)), max_size=30), st.integers(1, 5))
def test_union_is_what_follows_from_the_pairs(pairs: list[tuple[int, int]], at_once: int) -> None:
    union, expected = Union(15), {n: {n} for n in range(15)}
    for start in range(0, len(pairs), at_once):
        left, right = np.array(pairs[start : start + at_once]).T
        union.join(left, right)
    for one, other in pairs:
        both = expected[one] | expected[other]
        expected |= dict.fromkeys(both, both)
    assert union.groups().tolist() == [min(expected[n]) for n in range(15)]


@given(st.integers(1, 12), st.integers(0, 1000), st.integers(1, 3))
def test_what_is_left_out_is_like_what_stays_and_what_stays_is_not(count: int, seed: int, num_groups: int) -> None:
    draw = np.random.default_rng(seed)
    matrix = draw.random((count, count))
    matrix = np.maximum(matrix, matrix.T)
    members, group = draw.permutation(count), draw.integers(0, num_groups, count)
    alike = Alike(count, 0.6, lambda left, right: matrix[left, right])
    choice = choose(members, group, alike, count)
    group_of = dict(zip(members.tolist(), group.tolist(), strict=True))
    stays = [row for row in range(count) if choice.stands_for[row] == row]
    for row in choice.left_out.tolist():
        other = int(choice.stands_for[row])
        assert other in stays and group_of[row] == group_of[other]
        assert matrix[row, other] >= 0.6 and choice.similarity[row] == matrix[row, other]
    for one, other in combinations(stays, 2):
        assert group_of[one] != group_of[other] or matrix[one, other] < 0.6
    firsts = {group_of[row]: row for row in members.tolist()[::-1]}
    assert set(firsts.values()) <= set(stays)


# Vectors, files, differences --------------------------------------------------------------------


@pytest.fixture
def stored() -> Iterator[Stored]:
    draw = np.random.default_rng(3)
    made = draw.normal(size=(60, 5)).astype(np.float32)
    made[30:] = made[:30] + draw.normal(size=(30, 5)).astype(np.float32) * 0.3
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    found = Stored("float32", 5)
    found.append(made[:11])
    found.append(made[11:])
    yield found
    found.close()


def test_blocks_of_vectors_find_what_one_product_does(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = stored.read(0, 60)
    products = whole @ whole.T
    np.fill_diagonal(products, -1)
    exact = Union(60)
    exact.join(*np.nonzero(products >= 0.9))
    monkeypatch.setattr(vectors, "BLOCK", 7)
    monkeypatch.setattr(vectors, "COMPARED", 4)
    told: list[int] = []
    alike = vectors.link(stored, 0.9, lambda done, total: told.append(done))
    assert alike.groups().tolist() == exact.groups().tolist() and len(parts(alike.groups())) < 50
    np.testing.assert_allclose(alike.nearest, products.max(axis=1), rtol=1e-5)
    left, right = np.arange(59), np.arange(1, 60)
    np.testing.assert_allclose(alike.similarity(left, right), products[left, right], rtol=1e-4, atol=1e-6)
    assert told[-1] == 60


def test_stored_rows_come_back_from_any_place() -> None:
    found = Stored(np.uint32)
    found.put(np.array([7, 8]), 3)
    found.put(np.array([4, 5, 6]), 0)
    assert found.read(1, 4).tolist() == [5, 6, 7]
    assert found.take(np.array([4, 0, 4])).tolist() == [8, 4, 8]
    assert found.take(np.zeros(0, np.int64)).tolist() == []
    found.close()


def test_a_difference_names_what_was_put_in_and_left_out() -> None:
    kept = "call 1234 now to claim your prize before it is too late"
    assert difference(kept, kept.replace("1234", "5678")) == "call [-1234-] {+5678+} now to claim ..."
    assert difference(kept, f"{kept} today") == "... is too late {+today+}"
    assert difference(kept, kept.removeprefix("call ")) == "[-call-] 1234 now to ..."
    assert difference(kept, kept) == ""
