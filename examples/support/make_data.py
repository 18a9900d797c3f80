"""Makes the support desk of the examples: about 2,300 messy messages, the same for the same seed.

    python make_data.py [--seed 7] [--out FOLDER]

Writes `tickets.jsonl` (2,000 rows: what the desk has on file) and `last_week.jsonl` (what came in since
then, kept for testing). As on a real desk, intents are uneven and worded alike, people mistype and
mention other things, three in a hundred messages were routed wrongly, some rows came in twice, some are
empty, unlabelled or broken, and a few of last week's messages are on file already.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

PHRASES = json.loads((Path(__file__).parent / "phrases.json").read_text(encoding="utf-8"))

ON_FILE, LAST_WEEK = 1_820, 320
WRONGLY_ROUTED = 0.03
SENT_TWICE, EMPTY, UNLABELLED, BROKEN, LEAKED = 110, 26, 20, 24, 14

Row = dict[str, str | None]
ALTERNATIVES = re.compile(r"\[([^\[\]]*)\]")
SHORT_FORMS = {"please": "pls", "you": "u", "your": "ur", "and": "n", "for": "4"}


class Desk:
    """A support desk whose every message is decided by a seed."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.count = 0

    def pick(self, shares: dict[str, Any]) -> str:
        """One key, by its share."""
        weights = [value if isinstance(value, int) else value["share"] for value in shares.values()]
        return self.chance.choices(list(shares), weights=weights)[0]

    def fill(self, pattern: str) -> str:
        """Chooses among `[a|b]` and fills in `{slot}`."""
        text = ALTERNATIVES.sub(lambda match: self.chance.choice(match[1].split("|")), pattern)
        slots = {name: self.chance.choice(values) for name, values in PHRASES["slots"].items()}
        slots["item"], slots["other"] = self.chance.sample(PHRASES["slots"]["item"], 2)
        number = self.chance.randrange(10_000, 99_999)
        return text.format(order=self.chance.choice([f"#{number}", f"{number}", f"AB-{number}"]), **slots)

    def mistype(self, text: str, share: float) -> str:
        """Swaps, drops or doubles a letter in about `share` of the longer words."""
        words = text.split(" ")
        for index, word in enumerate(words):
            if len(word) > 3 and word.isalpha() and self.chance.random() < share:
                at = self.chance.randrange(1, len(word) - 1)
                before, here, after = word[:at], word[at], word[at + 1 :]
                words[index] = self.chance.choice(
                    [before + after[0] + here + after[1:], before + after, before + here + here + after]
                )
        return " ".join(words)

    def email(self, sentences: list[str]) -> str:
        body = ". ".join(sentence[0].upper() + sentence[1:] for sentence in sentences)
        return self.mistype(re.sub(r"\bi\b", "I", body), 0.02) + "."

    def chat(self, sentences: list[str]) -> str:
        text = self.chance.choice([" ", ", ", "... ", "\n"]).join(sentences)
        for word, short in SHORT_FORMS.items():
            if self.chance.random() < 0.15:
                text = re.sub(rf"\b{word}\b", short, text)
        text = self.mistype(text, 0.05)
        return text.upper() if self.chance.random() < 0.04 else text

    def phone(self, sentences: list[str]) -> str:
        words = ". ".join(sentences).split(" ")
        for _ in range(self.chance.randint(1, 3)):
            words.insert(self.chance.randrange(len(words)), self.chance.choice(PHRASES["fillers"]) + ",")
        return re.sub(r"\bi\b", "I", " ".join(words)) + "."

    def message(self) -> Row:
        """One message with its channel, its region and the intent it was routed to."""
        self.count += 1
        intent, channel = self.pick(PHRASES["intents"]), self.pick(PHRASES["channels"])
        sentences = [self.fill(self.chance.choice(PHRASES["intents"][intent]["says"]))]
        num_asides = self.chance.choices([0, 1, 2], weights=[40, 45, 15])[0]
        sentences += [self.fill(aside) for aside in self.chance.sample(PHRASES["asides"], num_asides)]
        if self.chance.random() < 0.35:
            self.chance.shuffle(sentences)
        write: dict[str, Callable[[list[str]], str]] = {"email": self.email, "chat": self.chat, "phone": self.phone}
        manners = PHRASES["channels"][channel]
        opening, closing = (self.fill(self.chance.choice(manners[part])) for part in ("openings", "closings"))
        parts = [opening, write[channel](sentences), closing]
        wrong = self.chance.random() < WRONGLY_ROUTED
        return {
            "id": f"T{self.count:05d}",
            "channel": channel,
            "region": self.pick(PHRASES["regions"]),
            "text": ("\n" if channel == "email" else " ").join(part for part in parts if part),
            "label": self.chance.choice(list(PHRASES["intents"])) if wrong else intent,
        }

    def messages(self, count: int) -> list[Row]:
        return [self.message() for _ in range(count)]

    def messy(self, rows: list[Row]) -> list[str]:
        """The rows as lines of JSON among duplicates, empty, unlabelled and broken ones, in any order."""
        found = [line(row) for row in rows]
        found += self.chance.sample(found, SENT_TWICE)
        found += [line({**row, "text": self.chance.choice(["", "  ", None])}) for row in self.messages(EMPTY)]
        found += [line({**row, "label": None}) for row in self.messages(UNLABELLED)]
        found += [line(row)[: self.chance.randrange(20, 60)] for row in self.messages(BROKEN)]
        self.chance.shuffle(found)
        return found


def line(row: Row) -> str:
    return json.dumps(row, ensure_ascii=False)


def make(seed: int) -> dict[str, list[str]]:
    """The lines of each file."""
    desk = Desk(seed)
    on_file = desk.messages(ON_FILE)
    last_week = desk.messages(LAST_WEEK) + desk.chance.sample(on_file, LEAKED)
    desk.chance.shuffle(last_week)
    return {"tickets.jsonl": desk.messy(on_file), "last_week.jsonl": [line(row) for row in last_week]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=7, help="another seed makes another desk")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder to write to")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    for name, lines in make(given.seed).items():
        path = given.out / name
        path.write_text("".join(f"{text}\n" for text in lines), encoding="utf-8")
        print(f"{path}: {len(lines)} rows")


if __name__ == "__main__":
    main()
