"""Names of people, places and organisations, by capitals and by what stands around them.

A run of words with capitals, of which at least one is no English word, is somebody's or something's name. Whose is read from
the words before and behind: `Mr.`, `my name is`, `said`; `flew to`, `in`; `works for`, `Ltd`. Without such a word it is taken
for a person's, with less confidence. Where capitals mean something else (German nouns, headlines) only the words around count.
A model that was trained to tag names does this better; `pii` takes one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from tunesmith.data.methods.privacy.capitals import CAPITAL, PARTICLE, UPPER, common, english, shouted
from tunesmith.data.methods.privacy.found import Found, Kind
from tunesmith.data.methods.privacy.listed import CITIES, COMPANY_FORMS, COUNTRIES, GIVEN_NAMES, HONORIFICS, PEOPLES

_WORD = rf"(?:[{UPPER}]\.(?=[ ]?[{UPPER}])|{CAPITAL})"
_RUN = re.compile(
    rf"[{UPPER}](?<![\w@#/&.’'-].)(?:\.(?=[ ]?[{UPPER}])|\w*(?:[’'](?!s\b)\w+)?(?:-\w+)*)(?:[ ](?:{PARTICLE}[ ]){{0,2}}{_WORD})*(?![\w@])"
)
_ODD = re.compile(
    rf"\d|_|^(?!(?:Mc|Mac|De|Di|Du|La|Le|Van|Von|O['’]|D['’]))\w*[a-zß-ÿ][{UPPER}]|^[{UPPER}]{{2,}}[a-zß-ÿ]"
)
"""Words with digits or a capital inside are names of things."""
_ACRONYM = re.compile(rf"^[{UPPER}]{{2,4}}$")
_FORM = re.compile(rf"^(?:{COMPANY_FORMS})$")
_HONORIFIC = re.compile(rf"^(?:{HONORIFICS})$")
_START = re.compile(r"(?:^|[.!?:;>\n\"“”«»*•|]|\s-)[\s\"'“‘«(>*-]*$")

_MISTER = re.compile(rf"(?:\b(?:{HONORIFICS})\b\.?\s)$", re.I)
_CALLED = re.compile(
    r"""(?:\bname(?:'s|\ is|\ was|:|\?|\ appears\ as|\ to\ be|\ it\ is|\ should\ be|\ as)?|\b(?:called|named|dear|hi|hello|hey|thanks|regards|sincerely|cheers|signed|call\ me|
    this\ is|i'm|i\ am|je\ m'appelle|ich\ heiße|ich\ bin|mein\ name\ ist|me\ llamo|mi\ chiamo|speak\ (?:to|with)|talk\ (?:to|with)|meet(?:ing)?\ with|
    follow\ up\ with|attn|contact|patient|employee|customer|client|holder|user|under|friend|brother|sister|mother|father|son|daughter|wife|husband|colleague|
    nephew|niece|cousin|boss|neighbou?r|singer|actor|actress|author|director|producer|writer|by|starring|between|remember\ me))[,:]?\s{1,8}$""",
    re.X | re.I,
)
_NAME = re.compile(
    r"\bname(?:'s|\ is|\ was|:|\?)?[,:]?\s{1,8}$|\b(?:call\ me|called|named|ich\ heiße|je\ m'appelle|me\ llamo|mi\ chiamo|mein\ Name\ ist)\s$",
    re.X | re.I,
)
_SAID = re.compile(
    r"\b(?:says|said|asked|asks|replied|explained|explains|adds|added|wrote|writes|starring|(?:directed|written|produced|composed|painted|sung|authored|signed|founded) by)\s$"
)
"""Whatever follows with a capital, in the middle of a sentence, is somebody."""
_SAYS = re.compile(
    r"""(?:['’]s\b(?!\ (?:a|an|the|not|going|been)\b)|,?\ (?:said|says|say|asked|asks|replied|explained|told|tells|added|wrote|writes|lives|lived|works|worked|had|has|was\ (?:born|married)|is\ (?:my|his|her|our|from|survived)|
    began|went|goes|came|married|died|thinks|thought|believes|knows|knew|wants|wanted|loves|loved|likes|called|calls|sent|gave|gives|joined|listed|and\ (?:his|her|I)\b|who|whose|will|would|can|could|moved|met|and\ I)\b|\ \(\d|:\s)""",
    re.X,
)
_PLACED = re.compile(
    r"""\b(?:in|near|from|visit(?:ed|ing|s)?|towards?|around|across|outside|inside|throughout|via|to\ the)(?:\ the)?\s$""",
    re.X | re.I,
)
_ARRIVED = re.compile(
    r"""\b(?:of\ the\ city\ of|city|town|village|capital|country|state|where:|location:|lives?\ in|living\ in|lived\ in|born\ in|moved?\ here\ from|(?:move|moved|moving|travel|travell?ed|travell?ing|fly|flew|flying|go|going|goes|went|come|came|coming|drive|drove|driving|trip|flight|ticket|way|welcome|return|returned|back|ship|shipped|shipping|
    delivered|sent|relocate|relocated|emigrated)\ (?:back\ |here\ )?(?:to|from)|university\ of|arrived\ (?:in|at)|based\ in|native\ of|north\ of|south\ of|east\ of|west\ of)(?:\ the)?\s$""",
    re.X | re.I,
)
_EMPLOYED = re.compile(
    r"\b(?:work(?:s|ed|ing)? (?:for|at|with)|employed (?:by|at)|job at|joined|joining|joins|ceo of|founder of|head of|company|startup|firm|manufacturer|offices? of|customer of|account (?:at|with)|shares? (?:of|in)|acquired(?: by)?|owned by|hired by|intern(?:ship)? at)(?: the)?\s$",
    re.I,
)
_LOWER = re.compile(
    r"\b(?:my (?:full |first |last )?name is|name's|i am called|call me|my name:|customer name:?|full name:?|first name:?|last name:?)\s{1,4}((?:[^\W\d_][\w'’-]+ ?){1,3})", re.I
)  # fmt: skip
_LAST = re.compile(r"([^\W\d_]+)[^\w\n]{0,3}\s{1,8}$")


def _last_words(*forms: re.Pattern[str]) -> frozenset[str]:
    """Every word of the forms, one of which stands last before a name where they match: a cheap test before them."""
    return frozenset(
        word.lower() for form in forms for word in re.findall(r"[^\W\d_]+", re.sub(r"\\\w", " ", form.pattern))
    )


_STRONG_WORDS = _last_words(_MISTER, _NAME, _SAID)
_CONTEXT_WORDS = _last_words(_CALLED, _PLACED, _ARRIVED, _EMPLOYED)
_LOOK_BACK, _LOOK_ON = 40, 16
_PREFIXES = frozenset("new north south east west upper lower great san santa los las saint st. st la le el the".split())


class _Run(NamedTuple):
    """Words with capitals, one after the other, and what is around them."""

    start: int
    end: int
    words: list[str]
    first: bool
    """Whether a sentence or line begins with it."""
    before: str
    behind: str
    strong: bool
    """Whether `Mr`, `name is`, `said` or the like stands before it."""


def names(text: str) -> Iterator[Found]:
    """Every run of capitals that is a name."""
    telling: bool | None = None
    doubtful: list[Found] = []
    sure: set[str] = set()
    for match in _RUN.finditer(text):
        run = _bare(text, match)
        if run is None:
            continue
        whole = " ".join(run.words).lower()
        if not run.strong and (whole in COUNTRIES or whole in CITIES):
            yield Found(run.start, run.end, "place", 0.5 if common(whole) and run.first else 0.8)
            continue
        if len(run.words) == 1 and _people(whole):
            yield Found(run.start, run.end, "nationality", 0.8)
            continue
        if telling is None:
            telling = not shouted(text) and english(text)
        kind, confidence = _whose(run, text, telling)
        if confidence and kind == "person":
            doubtful.append(Found(run.start, run.end, kind, confidence))
            if confidence >= 0.65:
                sure.update(run.words)
        elif confidence:
            yield Found(run.start, run.end, kind, confidence)
    yield from _joined(text, doubtful, sure)


def _joined(text: str, people: list[Found], sure: set[str]) -> Iterator[Found]:
    """People with what they tell of each other: a name that is sure elsewhere, or stands beside one, is surer."""
    for place, one in enumerate(people):
        confidence = one.confidence
        if confidence < 0.8 and text[one.start : one.end] in sure:
            confidence = 0.8
        for other in (*people[max(0, place - 1) : place], *people[place + 1 : place + 2]):
            between = text[min(one.end, other.end) : max(one.start, other.start)]
            if between in (" and ", " & ", " or ") and other.confidence >= 0.65:
                confidence = max(confidence, 0.65)
        yield one._replace(confidence=confidence)


def small(text: str) -> Iterator[Found]:
    """Names in a text without capitals: unknown words after `mr.`, `name is` or `flew to`, or after a given name."""
    words = list(_SMALL_WORD.finditer(text))
    place = 0
    while place < len(words):
        first = words[place]
        place += 1
        known = first[0] in GIVEN_NAMES and not common(first[0])
        if not known and (len(first[0]) < 3 or common(first[0])):
            continue
        last = first
        while place < len(words) and words[place].start() - last.end() <= 2 and _follows(text, last, words[place]):
            last = words[place]
            place += 1
        before = text[max(0, first.start() - _LOOK_BACK) : first.start()]
        if _ARRIVED.search(before):
            yield Found(first.start(), last.end(), "place", 0.6)
        elif _MISTER.search(before) or _NAME.search(before) or _CALLED_SMALL.search(before):
            yield Found(first.start(), last.end(), "person", 0.75)
        elif known:
            yield Found(first.start(), last.end(), "person", 0.6 if last is not first else 0.5)


def _follows(text: str, last: re.Match[str], word: re.Match[str]) -> bool:
    """Whether a word goes on with a name: an unknown one, or a single letter."""
    between = text[last.end() : word.start()]
    return (
        between in (" ", ". ") and (not common(word[0]) or len(word[0]) == 1) and (between == " " or len(last[0]) == 1)
    )


_SMALL_WORD = re.compile(r"[^\W\d_][^\W\d_'’-]*(?:[-’'](?!s\b)[^\W\d_]+)*")
_CALLED_SMALL = re.compile(
    r"\b(?:follow up with|speak (?:to|with)|talk (?:to|with)|under|starring|directed by|dear|people call me)\s$"
)


def introduced(text: str) -> Iterator[Found]:
    """Names in small letters, after `my name is`."""
    for match in _LOWER.finditer(text):
        kept: list[str] = []
        for word in match[1].split():
            plain = common(word.lower()) and word.lower() not in GIVEN_NAMES
            if plain and (not kept or len(kept) > 1 or word.lower() in _GOES_ON or kept[0].lower() not in GIVEN_NAMES):
                break
            kept.append(word)
        if kept:
            end = text.index(kept[-1], match.start(1) + len(" ".join(kept[:-1]))) + len(kept[-1])
            yield Found(match.start(1), end, "person", 0.85)


_GOES_ON = frozenset(
    "and i from but or with who the a an is in at of to my im please can you for not so here it this that was am on as".split()
)

PEOPLE_WORDS = frozenset(
    form
    for word in PEOPLES
    if len(word) > 4 and word not in ("orthodox", "polish", "christian")
    for form in (word, word + "s", word + "es")
)
"""What people of a nation are called, and their plurals; those that are words of other things left out."""


def peoples(text: str) -> Iterator[Found]:
    """What people of a nation are called, in small letters."""
    for match in _SMALL_WORD.finditer(text):
        if match[0] in PEOPLE_WORDS:
            yield Found(match.start(), match.end(), "nationality", 0.6)


def _people(word: str) -> bool:
    return word in PEOPLES or (word.endswith("s") and (word[:-1] in PEOPLES or word[:-2] in PEOPLES))


def _bare(text: str, match: re.Match[str]) -> _Run | None:
    """The run without the English words and titles in front; None where nothing else is there."""
    start, words = match.start(), match[0].split(" ")
    if len(words) == 1 and start == 0 and common(words[0].lower()):
        return None  # most sentences begin so
    first = bool(_START.search(text, max(0, start - 8), start))
    strong = _introduces(text, start, first and common(words[0].lower()))
    while words and not strong:
        word = words[0].lower().rstrip(".")
        if _HONORIFIC.match(words[0].rstrip(".")):
            strong = True
        elif not common(word) or _keeps(words):
            break
        start += len(words[0]) + 1
        words, first = words[1:], False
        while words and words[0].islower():
            start += len(words[0]) + 1
            words = words[1:]
    end = match.end()
    if words and words[-1] == "I":  # who speaks is no part of a name
        words, end = words[:-1], end - 2
    if not words or (len(words) == 1 and len(words[0]) == 1):
        return None
    before, behind = text[max(0, start - _LOOK_BACK) : start], text[end : end + _LOOK_ON]
    return _Run(start, end, words, first, before, behind, strong)


def _introduces(text: str, start: int, begins: bool) -> bool:
    """Whether what stands before says that a person follows, whatever the word."""
    before = text[max(0, start - _LOOK_BACK) : start]
    if not _tells(before, _STRONG_WORDS):
        return False
    # `What is your name? Please ...`: an English word at the beginning of a sentence is nobody.
    return bool(_MISTER.search(before)) or (not begins and bool(_NAME.search(before) or _SAID.search(before)))


def _tells(before: str, words: frozenset[str]) -> bool:
    last = _LAST.search(before[-24:])
    return last is not None and last[1].lower() in words


def _keeps(words: list[str]) -> bool:
    """Whether a run begins with a word that belongs to the name: `Grace Miller`, `New Westminster`, `Polish`."""
    whole, first = " ".join(words).lower(), words[0].lower()
    if whole in CITIES or whole in COUNTRIES or first in PEOPLES:
        return True
    if len(words) > 1 and _FORM.match(words[-1]):
        return True
    return len(words) > 1 and (first in GIVEN_NAMES or (first in _PREFIXES and not common(words[1].lower())))


def _whose(run: _Run, text: str, telling: bool) -> tuple[Kind, float]:
    """What kind of name a run is, and how sure that is; 0 where it is none."""
    words = run.words
    known = words[0].lower() in GIVEN_NAMES
    if len(words) > 1 and _FORM.match(words[-1].rstrip(".,")):
        return "organization", 0.75
    if _FORM_BEHIND.match(run.behind):
        return "organization", 0.7
    if any(_ODD.search(word) for word in words) or _FORM.match(words[0]):
        return "person", 0.0
    if run.strong:
        return "person", 0.95 if len(words) < 4 else 0.6
    told = _tells(run.before, _CONTEXT_WORDS)
    loud = all(len(word) > 1 and word.isupper() for word in words)
    if loud and len(words[0]) >= 3 and told and _ARRIVED.search(run.before) and not common(words[0].lower()):
        return "place", 0.6
    if not (telling or known) or any(_ACRONYM.match(word) for word in words) or loud:
        return "person", 0.0
    if _BUSINESS.match(run.behind):
        return "organization", 0.65
    if told and _EMPLOYED.search(run.before):
        return "organization", 0.7
    placed = told and (
        _ARRIVED.search(run.before) or (_PLACED.search(run.before) and not run.behind.startswith(("'s", "’s")))
    )
    if placed and not (known and len(words) > 1):
        return "place", 0.65
    if words[0].lower() in _PREFIXES and len(words) > 1:
        return "place", 0.6
    if known:
        return "person", 0.9 if len(words) > 1 else 0.75
    if all(common(word.lower()) for word in words):
        return "person", 0.0
    if _country_after(text, run.end):
        return "place", 0.7
    if told and _CALLED.search(run.before):
        return "person", 0.8
    if _SAYS.match(run.behind):
        return "person", 0.55 if run.first and len(words) == 1 else 0.7
    if run.first and len(words) == 1 and _ACTS.match(run.behind):
        return "person", 0.55
    alone = run.first and (not run.behind or run.behind[0] in ",\n")
    if len(words) > 1:
        return "person", 0.65 if len(words) < 5 else 0.4
    return "person", 0.55 if alone or not run.first else 0.4


_FORM_BEHIND = re.compile(rf",? (?:and |& )?(?:{COMPANY_FORMS})\b(?<! SA)(?<! Co)(?<! AS)")


_BUSINESS = re.compile(
    r"(?:['’]s)? (?:company|app|website|store|team|stock|shares?|CEO|CFO|customers?|employees|products?|brand|headquarters|account|announced|acquired|"
    r"launched|subscription|support|services?)\b"
)
_ACTS = re.compile(r" (?!is\b|was\b|has\b|does\b|as\b|its\b|this\b|us\b)[a-z]{2,}(?:s|ed)\b")
"""A verb in the third person or the past: things do less than people."""
_NEXT = re.compile(rf",? ?\n?>? ?({CAPITAL}(?: {CAPITAL})?)")


def _country_after(text: str, place: int) -> bool:
    found = _NEXT.match(text, place)
    names = (found[1].lower(), found[1].split()[0].lower()) if found else ()
    return any(name in COUNTRIES or name in CITIES for name in names)
