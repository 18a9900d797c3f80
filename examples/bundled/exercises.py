"""Exercises in reading: conversations whose answers stand in the question, made from plain prose.

A small model that has read only books does not learn to look back: asked to extract a name, it makes
one up. These exercises teach it to repeat, to quote, to look up and to fill in JSON. All words come from
the documents and from the fixed lists below; nothing is taken from any set that models are measured on.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator, Sequence

SENTENCE = re.compile(r"[A-Z][^.!?\n]{20,160}[.!?]")
NAME = re.compile(r"(?<=[a-z,;] )(?:[A-Z][a-z]+)(?: [A-Z][a-z]+){0,2}")
FIELDS = (
    "name", "place", "person", "object", "time", "date", "color", "title", "city", "country", "item", "reason",
    "subject", "action", "amount", "owner", "genre", "state", "kind", "part", "topic", "note", "source", "goal",
)  # fmt: skip

Exercise = tuple[str, str]
"""Question and answer."""


def sentences(text: str) -> list[str]:
    return [" ".join(found.split()) for found in SENTENCE.findall(text)]


def stretch(sentence: str, chance: random.Random, longest: int = 5) -> str:
    """Some words of a sentence, in a row, without the marks around them."""
    words = sentence.split()
    count = min(chance.randint(1, longest), len(words))
    start = chance.randrange(len(words) - count + 1)
    return " ".join(words[start : start + count]).strip(".,;:!?\"'()")


def spoiled(sentence: str, chance: random.Random) -> str:
    """A sentence as people type it: sometimes in lower case or without its full stop."""
    if chance.random() < 0.3:
        sentence = sentence.lower()
    return sentence.rstrip(".") if chance.random() < 0.3 else sentence


def repeat(said: Sequence[str], chance: random.Random) -> Exercise:
    asked = chance.choice(("Repeat this:", "Write this once more:", "Copy the sentence:", "Say again:"))
    text = spoiled(said[0], chance)
    return f"{asked} {text}", text


def shuffled_words(said: Sequence[str], chance: random.Random) -> Exercise:
    words = chance.sample(said[0].split(), min(8, len(said[0].split())))
    return "Repeat these words in their order: " + " ".join(words), " ".join(words)


def quote_after(said: Sequence[str], chance: random.Random) -> Exercise:
    words = spoiled(said[0], chance).split()
    at = chance.randrange(1, len(words) - 1)
    if words.count(words[at - 1]) > 1:
        return repeat(said, chance)
    return f'{" ".join(words)}\n\nWhat comes after "{words[at - 1]}"?', " ".join(words[at : at + 3])


def find_sentence(said: Sequence[str], chance: random.Random) -> Exercise:
    wanted = chance.choice(said)
    hint = stretch(wanted, chance, 3)
    if sum(hint in each for each in said) > 1:
        return repeat(said, chance)
    return " ".join(said) + f'\n\nWhich sentence has "{hint}" in it?', wanted


def look_up(said: Sequence[str], chance: random.Random) -> Exercise:
    fields = chance.sample(FIELDS, chance.randint(2, 6))
    values = [stretch(chance.choice(said), chance, 3) for _ in fields]
    table = "\n".join(f"{field}: {value}" for field, value in zip(fields, values, strict=True))
    at = chance.randrange(len(fields))
    return f"{table}\n\nWhat is the {fields[at]}?", values[at]


def as_json(said: Sequence[str], chance: random.Random) -> Exercise:
    fields = chance.sample(FIELDS, chance.randint(1, 4))
    values = {field: stretch(spoiled(chance.choice(said), chance), chance, 4) for field in fields}
    way = chance.choice(("The {f} is {v}", "{f}: {v}", "{v} as {f}", "with {v} for the {f}"))
    text = ", ".join(way.format(f=field, v=value) for field, value in values.items())
    return f"{text}.\n\nWhat does it say, as JSON?", json.dumps(values, ensure_ascii=False)


def marked(said: Sequence[str], chance: random.Random) -> Exercise:
    """Words of a sentence are marked with a field; the answer gives them in order."""
    words = spoiled(said[0], chance).split()
    fields = chance.sample(FIELDS, chance.randint(1, 3))
    places = sorted(chance.sample(range(0, len(words), 3), min(len(fields), len(range(0, len(words), 3)))))
    answer: dict[str, str] = {}
    for place, field in zip(places, fields, strict=False):
        count = chance.randint(1, 2)
        value = " ".join(words[place : place + count])
        answer[field] = value
        words[place : place + count] = [f"[{field}: {value}]"] + [""] * (len(words[place : place + count]) - 1)
    text = " ".join(word for word in words if word)
    return f"{text}\n\nWhat is marked, as JSON?", json.dumps(answer, ensure_ascii=False)


def names(said: Sequence[str], chance: random.Random) -> Exercise:
    text = " ".join(said)
    found = list(dict.fromkeys(NAME.findall(text)))
    return f"{text}\n\nWhich names stand here, as JSON?", json.dumps({"names": found}, ensure_ascii=False)


EXERCISES: tuple[Callable[[Sequence[str], random.Random], Exercise], ...] = (
    repeat, shuffled_words, quote_after, find_sentence, look_up, as_json, marked, names,
)  # fmt: skip


def exercises(texts: Sequence[str], count: int, chance: random.Random) -> Iterator[list[dict[str, str]]]:
    """Up to `count` conversations of one or two exercises, fewer where the texts have hardly any sentences."""
    made = 0
    for _ in range(10 * count):
        if made == count:
            return
        found = sentences(chance.choice(texts))
        if len(found) < 4:
            continue
        turns = []
        for _ in range(chance.randint(1, 2)):
            start = chance.randrange(len(found) - 3)
            said = found[start : start + chance.randint(1, 3)]
            if len(said[0].split()) < 5:
                continue
            question, answer = chance.choice(EXERCISES)(said, chance)
            turns += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        if turns:
            made += 1
            yield turns
