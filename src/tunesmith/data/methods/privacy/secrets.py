"""Keys and passwords: by forms that only they have, and by what is assigned to a word for them."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple


class Secret(NamedTuple):
    """A stretch of a text, `text[start:end]`, that opens something."""

    start: int
    end: int
    what: str
    """What it opens: `AWS key`, `password`."""
    entropy: float
    """Bits a character: how far it is from a word. Text has about 3 to 4 over such lengths, `aaaa` 0."""
    assigned: bool
    """Whether it was told by the word before it and not by its own form."""


_FORMS: tuple[tuple[str, str, str], ...] = (
    # What, a part that must stand in the text, and the form.
    ("AWS key", "A", r"\b(?:AKIA|ASIA|ABIA|ACCA|AGPA|AIDA|AROA|ANPA)[A-Z2-7]{16}\b"),
    ("GitHub token", "gh", r"\bgh[pousr]_[A-Za-z0-9]{36,255}\b"),
    ("GitHub token", "github_pat_", r"\bgithub_pat_[A-Za-z0-9_]{22,255}\b"),
    ("GitLab token", "glpat-", r"\bglpat-[\w-]{20,}"),
    ("Slack token", "xox", r"\bxox[abeoprs]-[A-Za-z0-9-]{10,250}\b"),
    ("Slack hook", "hooks.slack.com", r"https://hooks\.slack\.com/services/[A-Za-z0-9/_-]{20,}"),
    ("Stripe key", "k_", r"\b[srp]k_(?:live|test)_[A-Za-z0-9]{10,250}\b"),
    ("Google key", "AIza", r"\bAIza[\w-]{35}(?![\w-])"),
    ("Google token", "ya29.", r"\bya29\.[\w-]{20,}"),
    ("Anthropic key", "sk-ant-", r"\bsk-ant-[\w-]{20,}"),
    ("OpenAI key", "sk-", r"\bsk-(?!ant-)(?:proj-|svcacct-|admin-)?[A-Za-z0-9_-]{20,}"),
    ("Hugging Face token", "hf_", r"\bhf_[A-Za-z0-9]{30,}\b"),
    ("npm token", "npm_", r"\bnpm_[A-Za-z0-9]{36}\b"),
    ("PyPI token", "pypi-", r"\bpypi-[\w-]{50,}"),
    ("SendGrid key", "SG.", r"\bSG\.[\w-]{16,32}\.[\w-]{16,64}"),
    ("Twilio key", "SK", r"\bSK[0-9a-f]{32}\b"),
    ("Telegram token", ":AA", r"\b\d{8,10}:AA[\w-]{32,34}"),
    ("Azure key", "AccountKey=", r"(?<=AccountKey=)[A-Za-z0-9+/=]{40,}"),
    ("JSON web token", "eyJ", r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]*"),
    ("private key", "PRIVATE KEY", r"-----BEGIN (?:[A-Z]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----(?:(?!-----)[\s\S])*(?:-----END (?:[A-Z]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----)?"),
)  # fmt: skip
_COMPILED = tuple((what, part, re.compile(form)) for what, part, form in _FORMS)
_CONNECTION = re.compile(
    r"\b[a-z][a-z0-9+.-]{1,20}://[^\s:/@'\"<>]{0,100}:(?P<value>[^\s/@'\"<>]{3,200})@[\w.-]+", re.I
)
_WORDS = (
    r"passw(?:or)?d|passphrase|passwort|mot\ de\ passe|contraseña|pwd|secret(?:[_-]?key)?|api[_ -]?key|apikey|access[_ -]?key(?:[_ -]?id)?|auth[_ -]?token|access[_ -]?token|"
    r"refresh[_ -]?token|token|client[_-]?secret|private[_-]?key|encryption[_-]?key|credentials?|bearer"
)
_ASSIGNED = re.compile(
    rf"""(?P<what>(?<![a-z])(?:[a-z0-9]+[_.-]){{0,4}}(?:{_WORDS}))["']?\s{{0,3}}(?:=>|:=|[:=]|\bis\b|\bwas\b)\s{{0,3}}(?P<quote>["'`]?)(?P<value>[^\s"'`,;<>]{{6,200}})(?P=quote)|
    \bAuthorization:\s{{0,3}}(?:Bearer|Basic)\s{{1,3}}(?P<header>[\w.~+/=-]{{8,500}})""",
    re.X | re.I,
)
_NEAR = re.compile("pass|pwd|contrase|secret|key|token|credential|bearer|authorization", re.I)
_PLACEHOLDER = re.compile(
    r"^[*x.•_-]+$|^\$|^%|^\{|^\[|your|example|placeholder|changeme|redacted|dummy|^(?:none|null|true|false|undefined|string|required|optional|incorrect|correct|wrong|invalid|expired|missing|"
    r"secret|password|protected|needed|stored|hidden|encrypted|here|not|now|the|that|this|very|too|self\b.*|os\.|env|process\.|get|input|config|settings|args|request|data|user)\b|\($",
    re.I,
)


def entropy(text: str) -> float:
    """Shannon's entropy of the characters, in bits a character."""
    counts = Counter(text).values()
    return sum(count * math.log2(len(text) / count) for count in counts) / len(text) if text else 0.0


def secrets(text: str) -> list[Secret]:
    """What opens something, without overlaps, in order."""
    found = [*_formed(text)]
    if _NEAR.search(text):
        found += _told(text)
    chosen: list[Secret] = []
    for one in sorted(found, key=lambda each: (each.assigned, each.start - each.end, each.start)):
        if all(one.end <= other.start or other.end <= one.start for other in chosen):
            chosen.append(one)
    return sorted(chosen)


def _formed(text: str) -> Iterator[Secret]:
    for what, part, form in _COMPILED:
        if part in text:
            for match in form.finditer(text):
                yield Secret(match.start(), match.end(), what, entropy(match[0]), assigned=False)
    if "://" in text:
        for match in _CONNECTION.finditer(text):
            if not _PLACEHOLDER.search(match["value"]):
                start, end = match.span("value")
                yield Secret(start, end, "password of a connection", entropy(match["value"]), assigned=False)


def _told(text: str) -> Iterator[Secret]:
    for match in _ASSIGNED.finditer(text):
        group = "header" if match["header"] else "value"
        value = match[group].rstrip(".!?)") if not match["quote"] else match[group]
        said = match["what"] or "authorization"
        plain = not match["quote"] and value.isalpha() and value.islower()
        # `password is incorrect`, `token: string`: a plain word in a sentence is no password.
        if len(value) < 6 or _PLACEHOLDER.search(value) or plain:
            continue
        start = match.start(group)
        what = "password" if re.search("pass|pwd|contrase", said, re.I) else "key or token"
        yield Secret(start, start + len(value), what, entropy(value), assigned=True)
