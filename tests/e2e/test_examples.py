"""The examples do what their pages say, through the real command line."""

from __future__ import annotations

import json
import lzma
import random
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.e2e.desk import tunesmith

EXAMPLES = Path(__file__).parents[2] / "examples"
SUPPORT, BUNDLED = EXAMPLES / "support", EXAMPLES / "bundled"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("support")
    make_data(folder)
    for spec in SUPPORT.glob("*.yaml"):
        shutil.copy(spec, folder)
    return folder


def make_data(folder: Path, *arguments: str) -> None:
    command = [sys.executable, str(SUPPORT / "make_data.py"), "--out", str(folder), *arguments]
    subprocess.run(command, check=True, capture_output=True)


def run(folder: Path, *arguments: str) -> tuple[int, dict]:
    done = tunesmith("run", *arguments, "--json", cwd=folder)
    assert "Traceback" not in done.stderr
    return done.returncode, json.loads(done.stdout)


def test_the_desk_is_the_same_for_the_same_seed(desk, tmp_path):
    make_data(tmp_path)
    for name in ("tickets.jsonl", "last_week.jsonl"):
        assert (tmp_path / name).read_bytes() == (desk / name).read_bytes()
    make_data(tmp_path, "--seed", "8")
    assert (tmp_path / "tickets.jsonl").read_bytes() != (desk / "tickets.jsonl").read_bytes()


def test_the_desk_is_as_messy_as_it_says(desk):
    lines = (desk / "tickets.jsonl").read_text(encoding="utf-8").splitlines()
    rows, broken = [], 0
    for line in lines:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            broken += 1
    labels = Counter(row["label"] for row in rows if row["label"])
    assert len(lines) == 2000
    assert broken == 24
    assert sum(not (row["text"] or "").strip() for row in rows) == 26
    assert len(labels) == 10
    assert max(labels.values()) > 4 * min(labels.values())
    assert {row["channel"] for row in rows} == {"email", "chat", "phone"}
    assert len({row["region"] for row in rows}) == 4


def test_triage_ships_and_targets_out_of_reach_do_not(desk):
    code, said = run(desk, "triage.yaml")
    assert said["verdict"]["decision"] == "SHIP"
    assert code == 0
    folder = desk / said["path"]
    assert (folder / "report.html").stat().st_size > 10_000
    assert [target["outcome"] for target in said["verdict"]["targets"]] == ["met"] * 3
    rows = json.loads((folder / "data" / "ledger.json").read_text())
    reasons = Counter(dropped["step"] for dropped in rows["dropped"] for _ in range(dropped["count"]))
    assert reasons["read"] == 24
    assert reasons["exact_dedup"] >= 110 + 14
    assert rows["rows"]["read"] == 2334 == rows["rows"]["kept"] + rows["rows"]["dropped"]
    # The other example trains less and hopes for more; what was trained is what is judged here.
    hopes = YAML(typ="safe").load((SUPPORT / "out_of_reach.yaml").read_text("utf-8"))["goal"]["targets"]
    code, said = run(desk, "triage.yaml", f"goal.targets={json.dumps(hopes)}")
    assert said["verdict"]["decision"] == "DON'T SHIP" and code == 3
    assert said["verdict"]["targets"][0]["outcome"] == "missed"
    assert "borrowed" in (desk / said["path"] / "events.jsonl").read_text("utf-8")


def test_the_other_example_can_be_run(desk):
    checked = tunesmith("check", "out_of_reach.yaml", cwd=desk)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.slow
def test_the_other_example_does_not_ship(desk):
    code, said = run(desk, "out_of_reach.yaml")
    assert said["verdict"]["decision"] == "DON'T SHIP" and code == 3
    assert said["verdict"]["targets"][0]["outcome"] == "missed"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, str]]]:
    folder = tmp_path_factory.mktemp("corpus")

    def book(number: int) -> str:
        long = [
            f"Chapter {line} of book {number}\ufeff was  as\u00a0long as the others, {'and so on, ' * 9}"
            for line in range(60)
        ]
        return "\n\n".join(["Project Gutenberg's whatever", *long, long[0], "Yes.", "Yes."])

    def write(name: str, books: list[str]) -> None:
        (folder / name).write_bytes(lzma.compress("\n<|endoftext|>\n".join(books).encode()))

    def write_rows(name: str, rows: list[dict[str, str]]) -> None:
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    write("classics_train.txt.xz", [book(1), book(2), book(3)])
    write("classics_val.txt.xz", [book(3), book(4)])  # book 3 stands in both
    write_rows("text_state_union.jsonl", [{"text": "My fellow citizens, we meet again.\n" * 3}])
    write_rows("docs_peps_200.jsonl", [{"text": f"PEP: {n}\n\n    indented code of {n}"} for n in range(20)])
    write_rows(
        "inst_selfinstruct_seed.jsonl",
        [{"instruction": f"Do {n}.", "input": "", "output": f"Done {n}."} for n in range(9)],
    )
    command = [sys.executable, str(BUNDLED / "corpus.py"), "--classics", str(folder), "--data", str(folder)]
    subprocess.run([*command, "--out", str(folder / "out")], check=True, capture_output=True)
    return {
        path.stem: [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for path in (folder / "out").glob("*.jsonl")
    }


def test_the_corpus_is_clean(corpus):
    prose = "".join(row["text"] for row in corpus["train"] if row["source"] == "classics_train")
    assert not any(mark in prose for mark in ("\ufeff", "\u00a0", "  ", "Gutenberg"))
    assert prose.count("Chapter 0 of book 1 was as long") == 1  # stands twice in the book
    assert "Yes.\n\nYes." in prose


def test_the_corpus_holds_out_what_it_says(corpus):
    train = "".join(row["text"] for row in corpus["train"])
    held_out = "".join(row["text"] for row in corpus["validation"] + corpus["test"])
    assert "of book 4 was" in held_out
    assert "of book 3 was" in held_out
    assert "of book 3 was" not in train
    assert "of book 4 was" not in train
    assert "PEP: 10\n" in held_out
    assert "PEP: 10\n" not in train
    assert "PEP: 11\n\n    indented" in train


def test_the_corpus_has_every_instruction_in_six_conversations(corpus):
    chats = [row["messages"] for row in corpus["chat"]]
    for number in range(9):
        asked = {"role": "user", "content": f"Do {number}."}
        answered = [chat[chat.index(asked) + 1]["content"] for chat in chats if asked in chat]
        assert answered == [f"Done {number}."] * 6


def test_exercises_can_be_answered_from_what_was_asked(monkeypatch):
    monkeypatch.syspath_prepend(str(BUNDLED))
    from exercises import exercises

    names = ("Anna", "the old Captain", "Mr. Pickwick", "her brother John")
    texts = [
        " ".join(
            f"On day {day} we met {name} of house {number}, and all were pleased." for day, name in enumerate(names)
        )
        for number in range(5)
    ]
    made = list(exercises(texts, 200, random.Random(0)))
    turns = [turn for chat in made for turn in zip(chat[::2], chat[1::2], strict=True)]
    assert len(made) == 200 and len({question["content"] for question, _ in turns}) > 150
    for question, answer in turns:
        said = answer["content"]
        parts = [said] if said[:1] != "{" else [*flat(json.loads(said).values())]
        assert all(part in question["content"] for part in parts), (question, answer)
    assert list(exercises(["No sentence here"], 200, random.Random(0))) == []


def flat(values):
    return [part for value in values for part in (value if isinstance(value, list) else [value])]
