"""Makes the support desk of the examples: about 2,300 messy messages, the same for the same seed.

    python make_data.py [--seed 7] [--out FOLDER]

Writes `tickets.jsonl` (2,000 rows: what the desk has on file) and `last_week.jsonl` (what came in since
then, kept for testing). As on a real desk, intents are uneven and worded alike, people make typing
mistakes and mention other things, three in a hundred messages were routed wrongly, some rows came
in twice, some are empty, unlabelled or broken, and a few of last week's messages are on file already.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections.abc import Callable
from pathlib import Path

from phrases import (
    ASIDES,
    CHANNELS,
    CLOSINGS,
    COLOURS,
    FILLERS,
    ITEMS,
    NAMES,
    OPENINGS,
    REASONS,
    REGIONS,
    SHARE_OF_INTENT,
    STREETS,
    TIMES,
)

ON_FILE, LAST_WEEK = 1_820, 320
WRONGLY_ROUTED = 0.03
SENT_TWICE, EMPTY, UNLABELLED, BROKEN, LEAKED = 110, 26, 20, 24, 14

Row = dict[str, str | None]
ALTERNATIVES = re.compile(r"\[([^\[\]]*)\]")


class Desk:
    """A support desk whose every message is decided by a seed."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.count = 0

    def pick(self, shares: dict[str, int]) -> str:
        return self.chance.choices(list(shares), weights=list(shares.values()))[0]

    def fill(self, pattern: str) -> str:
        """Chooses among `[a|b]` and fills in `{slot}`."""
        text = ALTERNATIVES.sub(lambda match: self.chance.choice(match[1].split("|")), pattern)
        item, other = self.chance.sample(ITEMS, 2)
        return text.format(
            item=item,
            other=other,
            order=self.chance.choice(["#{}", "{}", "AB-{}"]).format(self.chance.randrange(10_000, 99_999)),
            when=self.chance.choice(TIMES),
            colour=self.chance.choice(COLOURS),
            street=self.chance.choice(STREETS),
            name=self.chance.choice(NAMES),
        )

    def mistype(self, text: str, share: float) -> str:
        """Swaps, drops or doubles letters of about `share` of the words."""
        words = text.split(" ")
        for index, word in enumerate(words):
            if len(word) > 3 and word.isalpha() and self.chance.random() < share:
                at = self.chance.randrange(1, len(word) - 1)
                words[index] = self.chance.choice(
                    [
                        word[:at] + word[at + 1] + word[at] + word[at + 2 :],
                        word[:at] + word[at + 1 :],
                        word[:at] + word[at] + word[at:],
                    ]
                )
        return " ".join(words)

    def email(self, sentences: list[str]) -> str:
        body = ". ".join(sentence[0].upper() + sentence[1:] for sentence in sentences)
        body = self.mistype(re.sub(r"\bi\b", "I", body), 0.02)
        opening, closing = self.fill(self.chance.choice(OPENINGS["email"])), self.chance.choice(CLOSINGS["email"])
        return "\n".join(part for part in (opening, f"{body}.", self.fill(closing)) if part)

    def chat(self, sentences: list[str]) -> str:
        text = self.chance.choice([" ", ", ", "... ", "\n"]).join(sentences)
        for plain, short in (("please", "pls"), ("you", "u"), ("your", "ur"), (" and ", " n "), ("for", "4")):
            if self.chance.random() < 0.15:
                text = re.sub(rf"(?<!\w){plain}(?!\w)", short, text)
        text = self.mistype(text, 0.05)
        text = text.upper() if self.chance.random() < 0.04 else text
        return " ".join(part for part in self._around("chat", text) if part)

    def phone(self, sentences: list[str]) -> str:
        words = ". ".join(sentences).split(" ")
        for _ in range(self.chance.randint(1, 3)):
            words.insert(self.chance.randrange(len(words)), self.chance.choice(FILLERS) + ",")
        text = re.sub(r"\bi\b", "I", " ".join(words))
        return " ".join(part for part in self._around("phone", f"{text}.") if part)

    def _around(self, channel: str, text: str) -> tuple[str, str, str]:
        return self.chance.choice(OPENINGS[channel]), text, self.chance.choice(CLOSINGS[channel])

    def message(self) -> Row:
        """One message with its channel, region and the intent it was routed to."""
        self.count += 1
        intent, channel = self.pick(SHARE_OF_INTENT), self.pick(CHANNELS)
        sentences = [self.fill(self.chance.choice(REASONS[intent]))]
        asides = self.chance.choices([0, 1, 2], weights=[40, 45, 15])[0]
        sentences += [self.fill(aside) for aside in self.chance.sample(ASIDES, asides)]
        if self.chance.random() < 0.35:
            self.chance.shuffle(sentences)
        write: dict[str, Callable[[list[str]], str]] = {"email": self.email, "chat": self.chat, "phone": self.phone}
        wrong = self.chance.random() < WRONGLY_ROUTED
        return {
            "id": f"T{self.count:05d}",
            "channel": channel,
            "region": self.pick(REGIONS),
            "text": write[channel](sentences),
            "label": self.chance.choice(sorted(REASONS)) if wrong else intent,
        }

    def messy(self, rows: list[Row]) -> list[str]:
        """The rows as lines of JSON among duplicates, empty, unlabelled and broken ones, in any order."""
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        copies = self.chance.sample(lines, SENT_TWICE)
        empty = [json.dumps({**row, "text": self.chance.choice(["", "  ", None])}) for row in self._more(EMPTY)]
        unlabelled = [json.dumps({**row, "label": None}, ensure_ascii=False) for row in self._more(UNLABELLED)]
        broken = [json.dumps(row)[: self.chance.randrange(20, 60)] for row in self._more(BROKEN)]
        everything = lines + copies + empty + unlabelled + broken
        self.chance.shuffle(everything)
        return everything

    def _more(self, count: int) -> list[Row]:
        return [self.message() for _ in range(count)]


def make(seed: int) -> dict[str, list[str]]:
    """The lines of each file."""
    desk = Desk(seed)
    on_file = [desk.message() for _ in range(ON_FILE)]
    last_week = [desk.message() for _ in range(LAST_WEEK)] + desk.chance.sample(on_file, LEAKED)
    desk.chance.shuffle(last_week)
    return {
        "tickets.jsonl": desk.messy(on_file),
        "last_week.jsonl": [json.dumps(row, ensure_ascii=False) for row in last_week],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=7, help="another seed makes another desk")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder to write to")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    for name, lines in make(given.seed).items():
        path = given.out / name
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        print(f"{path}: {len(lines)} rows")


if __name__ == "__main__":
    main()
