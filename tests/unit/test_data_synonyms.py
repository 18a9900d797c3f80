"""WordNet's files are read where they lie, and synonyms stand in the form of what they replace."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.data.methods.augmenting.excerpt import write_excerpt
from tunesmith.data.methods.augmenting.inflection import inflected
from tunesmith.data.methods.augmenting.likeness import Neighbours, features_of, likeness
from tunesmith.data.methods.augmenting.synonyms import part_of_speech, replaceable
from tunesmith.data.methods.augmenting.target import said
from tunesmith.data.methods.augmenting.wordnet import BUNDLED, MET, POS, WordNet, open_wordnet
from tunesmith.data.methods.augmenting.words import words_of, written_like
from tunesmith.data.passes.curate import apply
from tunesmith.data.room import Room
from tunesmith.data.steps.synonyms import Synonyms
from tunesmith.errors import UserError
from tunesmith.records import Record
from tunesmith.spec.quantity import Share

DEBIAN = Path("/usr/share/wordnet")
whole = pytest.mark.skipif(not (DEBIAN / "data.noun").exists(), reason="needs Debian's package wordnet-base")


def choices(text: str, senses: int = 1) -> dict[str, tuple[str, ...]]:
    found = replaceable(words_of(text), open_wordnet("bundled"), senses)
    return {each.word.text: each.choices for each in found}


# WordNet


def synsets(folder: Path, pos: str) -> dict[str, list[list[str]]]:
    """Word -> its synsets, read line by line from the front."""
    data = {}
    for line in (folder / f"data.{POS[pos]}").read_text().splitlines():
        if not line.startswith("  "):
            fields = line.split()
            data[fields[0]] = [word.partition("(")[0] for word in fields[4 : 4 + 2 * int(fields[3], 16) : 2]]
    found = {}
    for line in (folder / f"index.{POS[pos]}").read_text().splitlines():
        if not line.startswith("  "):
            fields = line.split()
            found[fields[0]] = [data[offset] for offset in fields[-int(fields[2]) :]]
    return found


@pytest.mark.parametrize("folder", [BUNDLED, pytest.param(DEBIAN, marks=whole)], ids=str)
def test_words_are_found_by_search_as_by_reading_everything(folder: Path) -> None:
    wordnet = WordNet(folder)
    for pos in POS if folder == BUNDLED else "vr":
        every = synsets(folder, pos)
        words = list(every)
        for word in [words[0], words[-1], *words[:: max(1, len(words) // 150)]]:
            assert [list(wordnet.words(at, pos)) for at in wordnet.senses(word, pos)] == every[word]
        assert wordnet.senses("zzzzzz", pos) == wordnet.senses("", pos) == wordnet.senses("!", pos) == ()
        assert wordnet.senses(words[5][:-1] + "~", pos) == ()


@whole
def test_the_bundled_words_are_an_excerpt_of_the_whole() -> None:
    """Whoever has all of WordNet gets the same synonyms for these words."""
    few, all_of_it = WordNet(BUNDLED), WordNet(DEBIAN)
    for pos in POS:
        for word in list(synsets(BUNDLED, pos))[::40]:
            if few.counts(word).get(pos, 0) >= MET:
                assert few.synonyms(word, pos, 2) == all_of_it.synonyms(word, pos, 2), word
            assert few.counts(word) == {p: n for p, n in all_of_it.counts(word).items() if few.senses(word, p)}


def test_an_excerpt_of_the_excerpt_is_the_same_with_its_licence(tmp_path: Path) -> None:
    write_excerpt(BUNDLED, tmp_path)
    files = sorted(path.name for path in BUNDLED.iterdir())
    assert files == sorted(path.name for path in tmp_path.iterdir())
    assert all((tmp_path / name).read_bytes() == (BUNDLED / name).read_bytes() for name in files)
    assert "WordNet 3.0 Copyright 2006 by Princeton University" in (tmp_path / "data.verb").read_text()


@pytest.mark.parametrize(
    ("word", "pos", "lemma"),
    [("cars", "n", "car"), ("selves", "n", "self"), ("bought", "v", "buy"), ("tries", "v", "try"), ("xqz", "n", None)],
)
def test_base_forms(word: str, pos: str, lemma: str | None) -> None:
    assert open_wordnet("bundled").lemma(word, pos) == lemma


def test_a_folder_without_wordnet_is_refused_with_the_line_that_helps(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no WordNet there") as caught:
        apply(Synonyms(wordnet=str(tmp_path)), [Record("r", "s", text="a car", labels=("a",))])
    assert "apt install wordnet-base" in caught.value.fix


@whole
def test_all_of_wordnet_may_be_used() -> None:
    given = [Record("r", "s", text="the zymurgy of the automobile", labels=("a",))]
    step = Synonyms(wordnet=str(DEBIAN), share=Share(1.0, ""))
    ((new, _),) = apply(step, given).made
    assert str(new.text).split()[-1] in ("car", "auto", "motorcar", "machine")


# Synonyms


def test_synonyms_are_of_the_same_part_of_speech_and_form() -> None:
    found = choices("She purchased two automobiles quickly. He desires a vehicle.")
    assert found["purchased"] == ("bought",)
    assert "cars" in found["automobiles"]
    assert "desires" in found and all(word.endswith("s") for word in found["desires"])
    assert choices("Quickly now")["Quickly"][0].istitle()


def test_words_in_doubt_and_names_and_small_words_are_left_alone() -> None:
    assert choices("the and of my going to be him") == {}
    assert "Car" not in choices("he met Car yesterday")
    wordnet = open_wordnet("bundled")
    assert part_of_speech("state", "xyz", wordnet) is None
    assert part_of_speech("state", "the", wordnet) == "n"
    assert part_of_speech("state", "to", wordnet) == "v"
    assert part_of_speech("xqz", "the", wordnet) is None


def test_an_article_stays_right() -> None:
    vowels = choices("an automobile").get("automobile", ())
    assert all(word[0] in "aeiou" for word in vowels)
    assert "automobile" in choices("the car")["car"]
    assert "automobile" not in choices("a car").get("car", ())


def test_a_second_sense_brings_more_and_is_a_setting() -> None:
    text = "the judge said that the picture was correct and the match started at the shop"
    assert sum(map(len, choices(text, 2).values())) > sum(map(len, choices(text, 1).values()))
    given = [Record("r", "s", text=text, labels=("a",))]
    one, two = (
        {str(new.text) for seed in range(25) for new, _ in apply(Synonyms(senses=n), given * 2, Room(seed=seed)).made}
        for n in (1, 2)
    )
    assert two - one


@pytest.mark.parametrize(
    ("lemma", "pos", "form", "of", "expected"),
    [
        ("auto", "n", "cars", "car", "autos"),
        ("box", "n", "cases", "case", "boxes"),
        ("city", "n", "towns", "town", "cities"),
        ("halt", "v", "stopped", "stop", "halted"),
        ("like", "v", "enjoying", "enjoy", "liking"),
        ("try", "v", "attempted", "attempt", "tried"),
        ("try", "v", "attempts", "attempt", "tries"),
        ("see", "v", "viewing", "view", "seeing"),
        ("stop", "v", "halting", "halt", "stopping"),
        ("buy", "v", "purchased", "purchase", "bought"),
        ("give", "v", "handed", "hand", None),
        ("large", "a", "bigger", "big", None),
        ("large", "a", "big", "big", "large"),
    ],
)
def test_words_take_the_form_of_what_they_replace(lemma: str, pos: str, form: str, of: str, expected: str) -> None:
    irregular = {"bought": "buy", "gave": "give", "given": "give", "stopped": "stop", "stopping": "stop"}
    assert inflected(lemma, pos, form, of, irregular) == expected


@pytest.mark.parametrize(
    ("word", "model", "said"), [("auto", "Car", "Auto"), ("auto", "CAR", "AUTO"), ("auto", "I", "Auto")]
)
def test_case_is_kept(word: str, model: str, said: str) -> None:
    assert written_like(word, model) == said


# Likeness


def test_likeness_is_the_jaccard_index_of_words_and_pairs() -> None:
    one, other = features_of("The card, the card has not come"), features_of("the card has not arrived")
    # words: the card has not come | arrived; pairs: the-card card-the card-has has-not not-come | not-arrived
    assert likeness(one, other) == pytest.approx(7 / 12)
    assert likeness(features_of(""), features_of("!?")) == 1


@settings(max_examples=40)
@given(st.lists(st.lists(st.sampled_from("abcdefg"), max_size=9).map(" ".join), max_size=12), st.integers(1, 20))
def test_all_rows_above_the_threshold_are_found(texts: list[str], twentieths: int) -> None:
    records = [Record(f"r{number}", "s", text=text) for number, text in enumerate(texts)]
    near = Neighbours(records, Room(), said, twentieths / 20)
    for text in [*texts, "a b c", "g f", ""]:
        found = features_of(text)
        every = [likeness(found, features_of(other)) for other in texts]
        assert sorted(near.all(found)) == [place for place, alike in enumerate(every) if alike >= twentieths / 20]


def test_a_folders_files_name_the_result(tmp_path: Path) -> None:
    """Another WordNet in the same folder is another result, and none of it is taken from the cache."""
    for file in BUNDLED.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    files = Synonyms(wordnet=str(tmp_path)).files()
    assert {str(tmp_path / name) for name in ("index.noun", "data.verb", "cntlist.rev", "adj.exc")} <= set(files)
    assert Synonyms().files() == ()
