"""Turns public-domain and permissively licensed text into the documents the bundled base learns from.

    python corpus.py --classics CLASSICS_FOLDER --data DATA_FOLDER --out corpus/

Reads `classics_train.txt.xz` and `classics_val.txt.xz` (public-domain prose, books parted by
`<|endoftext|>`), `text_state_union.jsonl` and `docs_peps_200.jsonl` (public domain) and
`inst_selfinstruct_seed.jsonl` (Apache 2.0). Nothing that models are measured on is read, except the
held-out books, which become `validation.jsonl` and `test.jsonl`.

Writes `train.jsonl`, `validation.jsonl` and `test.jsonl`, one `{"text", "source"}` a line, and
`chat.jsonl`, the instructions as conversations, `{"messages", "source"}` a line. For `reading.yaml`
there are `exercises.jsonl` (see exercises.py) and `again.jsonl`, some documents of `train.jsonl`. A document
is a run of whole paragraphs of one work. Most are about 500 tokens long, every sixth about 1,000, so
that all positions of the context are trained while short rows keep attention cheap. Documents are
shuffled, so that any part of an epoch sees every book.
"""

from __future__ import annotations

import argparse
import json
import lzma
import random
import re
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from exercises import exercises

SEED = 2026
SHORT, LONG = 1_900, 3_900
"""Characters of a document; the tokenizer of this folder makes a token of about 4.2."""
LONG_EVERY = 6
HELD_OUT_PEP = 10
"""Every tenth PEP is held out, for whoever wants unseen technical text."""
NUM_VALIDATION, NUM_TEST = 64, 256
CHAT_ROUNDS = 6
"""How often each instruction is used, each time in another conversation."""
NUM_EXERCISES, NUM_AGAIN = 30_000, 8_000
SYSTEM = "You answer briefly and correctly."

INVISIBLE = re.compile("[\ufeff\u200b\u200c\u200d\u2060\u00ad]")
SPACES = re.compile("[ \t\u00a0\u2000-\u200a\u202f\u3000]+")
BOILERPLATE = re.compile(r"project gutenberg|\[illustration|transcriber's note|standard ebooks", re.IGNORECASE)


def clean_prose(text: str) -> str:
    """Removes invisible characters, odd spaces and leftovers of digitising from one paragraph."""
    return SPACES.sub(" ", INVISIBLE.sub("", unicodedata.normalize("NFC", text))).strip()


def prose_paragraphs(text: str) -> Iterator[str]:
    """The paragraphs of a book: blank lines part them, single line breaks inside are kept."""
    for block in re.split(r"\n\s*\n", text):
        lines = [clean_prose(line) for line in block.splitlines()]
        paragraph = "\n".join(line for line in lines if line)
        if paragraph and not BOILERPLATE.search(paragraph):
            yield paragraph


def technical_paragraphs(text: str) -> Iterator[str]:
    """The paragraphs of a text whose indentation means something (code, lists)."""
    for block in re.split(r"\n[ \t]*\n", INVISIBLE.sub("", text)):
        if block.strip():
            yield block.rstrip()


def chunks(paragraphs: Iterable[str], chance: random.Random) -> Iterator[str]:
    """Joins paragraphs into documents of about SHORT or LONG characters."""
    held: list[str] = []
    length, wanted = 0, SHORT
    for paragraph in paragraphs:
        if held and length + len(paragraph) > wanted:
            yield "\n\n".join(held)
            held, length = [], 0
            wanted = LONG if chance.randrange(LONG_EVERY) == 0 else SHORT
        held.append(paragraph)
        length += len(paragraph) + 2
    if held:
        yield "\n\n".join(held)


def once(paragraphs: Iterable[str], seen: set[str]) -> Iterator[str]:
    """Leaves out long paragraphs that came before; short ones ("Yes.") may repeat."""
    for paragraph in paragraphs:
        if len(paragraph) >= 80:
            if paragraph in seen:
                continue
            seen.add(paragraph)
        yield paragraph


def books(path: Path) -> list[str]:
    with lzma.open(path, "rt", encoding="utf-8") as file:
        return [book for book in file.read().split("<|endoftext|>") if book.strip()]


def rows(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def conversations(seeds: list[dict[str, str]], chance: random.Random) -> Iterator[list[dict[str, str]]]:
    """Conversations of one to four instructions; some begin with a system message."""
    for _ in range(CHAT_ROUNDS):
        order = chance.sample(seeds, len(seeds))
        while order:
            count = min(chance.randint(1, 4), len(order))
            turns = [{"role": "system", "content": SYSTEM}] if chance.random() < 0.3 else []
            for seed in (order.pop() for _ in range(count)):
                question = seed["instruction"] + (f"\n\n{seed['input']}" if seed["input"] else "")
                turns += [{"role": "user", "content": question}, {"role": "assistant", "content": seed["output"]}]
            yield turns


def documents(classics: Path, data: Path, chance: random.Random) -> dict[str, list[dict[str, Any]]]:
    """All rows by the name of the file they go to."""
    seen: set[str] = set()
    held_out = [
        {"text": text, "source": "classics_val"}
        for book in books(classics / "classics_val.txt.xz")
        for text in chunks(once(prose_paragraphs(book), seen), chance)
    ]
    train = [
        {"text": text, "source": "classics_train"}
        for book in books(classics / "classics_train.txt.xz")
        for text in chunks(once(prose_paragraphs(book), seen), chance)
    ]
    for row in rows(data / "text_state_union.jsonl"):
        paragraphs = once((clean_prose(line) for line in row["text"].splitlines() if line.strip()), seen)
        train += [{"text": text, "source": "state_union"} for text in chunks(paragraphs, chance)]
    for number, row in enumerate(rows(data / "docs_peps_200.jsonl")):
        into = held_out if number % HELD_OUT_PEP == 0 else train
        name = "peps_held_out" if into is held_out else "peps"
        texts = chunks(once(technical_paragraphs(row["text"]), seen), chance)
        into += [{"text": text, "source": name} for text in texts]
    seeds = rows(data / "inst_selfinstruct_seed.jsonl")
    chat = [{"messages": turns, "source": "selfinstruct"} for turns in conversations(seeds, chance)]
    chance.shuffle(train)
    asked = exercises([row["text"] for row in train], min(NUM_EXERCISES, len(train)), chance)
    reading = [{"messages": turns, "source": "exercises"} for turns in asked]
    chance.shuffle(held_out)
    test = held_out[NUM_VALIDATION : NUM_VALIDATION + NUM_TEST]
    return {
        "train": train,
        "chat": chat,
        "exercises": reading,
        "again": chance.sample(train, min(NUM_AGAIN, len(train))),
        "validation": held_out[:NUM_VALIDATION],
        "test": test,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--classics", type=Path, required=True, help="folder of classics_{train,val}.txt.xz")
    parser.add_argument("--data", type=Path, required=True, help="folder of the JSONL sets named above")
    parser.add_argument("--out", type=Path, default=Path("corpus"), help="folder to write to")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    for split, found in documents(given.classics, given.data, random.Random(SEED)).items():
        path = given.out / f"{split}.jsonl"
        with path.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in found)
        print(f"{path}: {len(found)} documents, {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
