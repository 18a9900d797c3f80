"""Terms of identity are swapped with their grammar."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tunesmith.data.methods.augmenting.identity import BUNDLED, Swaps, open_swaps, read_pairs
from tunesmith.data.passes.curate import apply
from tunesmith.data.rewrite import edited
from tunesmith.data.room import Room
from tunesmith.data.steps.counterfactual import Counterfactual
from tunesmith.errors import DataError, UserError
from tunesmith.records import Message, Record, Span
from tunesmith.spec.quantity import Share

ALL = Share(1.0, "")


def swapped(text: str, kind: str = "gender") -> str:
    return edited(text, None, open_swaps(BUNDLED)[kind].edits(text))[0]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("He lost his keys.", "She lost her keys."),
        ("I saw him yesterday.", "I saw her yesterday."),
        ("I gave him the book of his father.", "I gave her the book of her mother."),
        ("The choice was his.", "The choice was hers."),
        ("She's late, and he'll wait.", "He's late, and she'll wait."),
        ("HE DID IT HIMSELF", "SHE DID IT HERSELF"),
        ("An actress met a waiter", "An actor met a waitress"),
        ("Her dog bit her and her friend", "His dog bit him and his friend"),
        ("James is a good man; john the baptist", "Mary is a good woman; john the baptist"),
        ("Sheila is here to shelve heroes", "Sheila is here to shelve heroes"),
    ],
)
def test_gender(one: str, other: str) -> None:
    assert swapped(one) == other


@pytest.mark.parametrize("text", ["He lost his keys.", "I saw her there.", "It is hers.", "She hurt herself"])
def test_a_swap_undone_is_the_text_again(text: str) -> None:
    assert swapped(swapped(text)) == text


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        ("religion", "A Muslim went to the mosque", "A Christian went to the church"),
        ("ethnicity", "an Asian woman", "a Hispanic woman"),
        ("ethnicity", "a black man in a black car", "a white man in a black car"),
        ("ethnicity", "an african-american driver", "a european american driver"),
        ("ethnicity", "an African artist", "a European artist"),
        ("nationality", "An American in Paris", "A Canadian in Paris"),
        ("age", "an old man with an old car", "a young man with an old car"),
        ("age", "middle aged women and teenage boys", "teenage women and middle aged boys"),
    ],
)
def test_other_kinds(kind: str, one: str, other: str) -> None:
    assert swapped(one, kind) == other


def test_the_first_pair_that_names_a_term_decides() -> None:
    swaps = Swaps([["mr", "mrs"], ["mr", "ms"]])
    assert edited("Mr A, Mrs B, Ms C", None, swaps.edits("Mr A, Mrs B, Ms C"))[0] == "Mrs A, Mr B, Mr C"


def test_every_term_of_the_bundled_pairs_has_a_counterpart_of_its_own() -> None:
    for kind, pairs in read_pairs(BUNDLED).items():
        assert len({tuple(pair) for pair in pairs}) == len(pairs), kind
        assert all(one.casefold() != other.casefold() for one, other in pairs)


def test_each_new_row_swaps_one_kind_everywhere() -> None:
    text = "My husband is a muslim and prays in the mosque with his brother"
    texts = [text, *(f"nothing {number} of that sort" for number in range(7))]
    given = [Record(f"r{number}", "s", text=said, labels=("a",)) for number, said in enumerate(texts)]
    result = apply(Counterfactual(share=ALL, copies=5), given)
    assert [new.text for new, _ in result.made] == [
        "My wife is a muslim and prays in the mosque with her sister",
        "My husband is a christian and prays in the church with his brother",
    ]
    assert result.findings.figures["left out"] == {"no term of identity in it": 7}
    only = apply(Counterfactual(share=ALL, kinds=("religion",)), given)
    assert [new.text for new, _ in only.made] == ["My husband is a christian and prays in the church with his brother"]


def test_a_conversation_is_swapped_in_what_everybody_says() -> None:
    turns = (
        Message("system", "he is the boss"),
        Message("user", "Who is the king?"),
        Message("assistant", "He is my brother.", trained=True),
    )
    ((new, _),) = apply(Counterfactual(share=ALL), [Record("r", "s", messages=turns)]).made
    assert [turn.content for turn in new.messages] == ["he is the boss", "Who is the queen?", "She is my sister."]


def test_stretches_hold_what_took_their_place() -> None:
    given = [Record("r", "s", text="John met a muslim", spans=(Span(0, 4, "PER"), Span(11, 17, "REL")))]
    made = apply(Counterfactual(share=ALL, copies=2), given, Room()).made
    assert [new.text for new, _ in made] == ["Linda met a muslim"]
    assert made[0][0].spans == (Span(0, 5, "PER"), Span(12, 18, "REL"))


def test_pairs_of_your_own(tmp_path: Path) -> None:
    (tmp_path / "pairs.yaml").write_text("team: [[red, blue], [Alpha, Omega]]\n")
    room = Room(folder=tmp_path)
    given = [Record("r", "s", text="Alpha wears red, alpha not", labels=("a",))]
    step = Counterfactual(share=ALL, pairs="pairs.yaml")
    assert [new.text for new, _ in apply(step, given, room).made] == ["Omega wears blue, alpha not"]
    with pytest.raises(UserError, match=r"kind 'teem' \(did you mean 'team'\?\)"):
        apply(Counterfactual(pairs="pairs.yaml", kinds=("teem",)), given, room)


@pytest.mark.parametrize(
    "content",
    ["", "a: b", "a: [[x]]", "a: [[x, 1]]", "a: [[x, '!']]", "[1]", "a: &x [*x]", "a: [[x, y]\n", b"\xff\xfe\x00"],
)
def test_a_file_that_holds_no_pairs_is_refused(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "pairs.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError) as caught:
        read_pairs(path)
    assert "pairs" in caught.value.fix or "YAML" in caught.value.fix
    with pytest.raises(DataError, match="cannot be read"):
        read_pairs(tmp_path / "none.yaml")
