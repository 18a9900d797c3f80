"""Postal addresses and codes, and titles of people and jobs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tunesmith.data.methods.privacy.capitals import CAPITAL, UPPER, common
from tunesmith.data.methods.privacy.found import Found
from tunesmith.data.methods.privacy.listed import CITIES, COUNTRIES, JOBS

_NUMBER = r"\d{1,5}(?:[ ]?[a-zA-Z](?!\w))?(?:[-/]\d{1,4}[a-z]?)?"
_TYPES = (
    r"(?:Alley|Avenue|Ave|Boulevard|Blvd|Bridge|Brook|Bypass|Causeway|Center|Circle|Cir|Close|Common|Corner|Course|Court|Ct|Cove|Creek|Crescent|Cres|"
    r"Crossing|Dale|Drive|Dr|Drives|Estate|Estates|Expressway|Extension|Field|Fields|Flat|Flats|Ford|Forest|Forge|Fork|Freeway|Garden|Gardens|Gateway|Glen|Green|Greens|Grove|Harbor|Haven|"
    r"Heights|Highway|Hwy|Hill|Hills|Hollow|Island|Isle|Junction|Key|Knoll|Lake|Landing|Lane|Ln|Lodge|Loop|Manor|Meadow|Meadows|Mews|Mill|Mission|Motorway|Mount|"
    r"Mountain|Oval|Overpass|Parade|Park|Parkway|Pkwy|Parkways|Pass|Passage|Path|Pike|Pine|Place|Pl|Plain|Plains|Plaza|Point|Port|Prairie|Quay|Ranch|Rapid|Rapids|Rest|Ridge|"
    r"River|Road|Rd|Roads|Route|Row|Rue|Run|Shoal|Shore|Spring|Springs|Spur|Square|Sq|Squares|Station|Stravenue|Stream|Street|St|Streets|Summit|Terrace|Ter|Throughway|Trace|Track|"
    r"Trail|Tunnel|Turnpike|Underpass|Union|Valley|Via|View|Village|Ville|Vista|Walk|Way|Ways|Wells|"
    r"utca|út|útja|tér|körút|rkp|köz|tee|maantee|pst|cesta|trg|ulica|ulice|sokak|caddesi)"
)
_INSIDE = (
    r"(?:straße|strasse|str\.|gasse|weg|platz|allee|ring|ufer|damm|steig|graben|gürtel|stätten|gatan|vägen|väg|gränd|torget|backen|stigen|gränden|"
    r"vej|gade|gaden|stræde|vænget|parken|krogen|gata|veien|vegen|bakken|katu|tie|kuja|polku|straat|laan|plein|gracht|kade|singel|dijk|dreef|pad|"
    r"vegur|götu|stígur|braut|iela|ulica)"
)
_BEFORE = (
    r"(?:Rue|Avenue|Av\.|Ave|Boulevard|Bd|Bld|Place|Allée|Chemin|Impasse|Quai|Cours|Route|Calle|C/|Avenida|Avda\.?|Plaza|Paseo|Ronda|Camino|Carrera|Carretera|"
    r"Via|V\.le|Viale|Piazza|Piazzale|Corso|Largo|Vicolo|Strada|Borgo|Contrada|Rua|Travessa|Praça|Estrada|[Uu]l\.|[Aa]l\.|[Oo]s\.|Aleja|Plac|Pl\.|Str\.|Strada|Bulevardul|rue|avenue|boulevard|calle|via|rua|chemin|place)"
)
_LINK = r"(?:de|del|dei|degli|delle|dello|della|di|da|do|dos|des|du|la|le|les|los|las|l'|d'|van|von|der|den|het|et|y|e|am|an|im|zum|zur|af|av|och|og)"
_CAPS = rf"{CAPITAL}(?:[ ](?:{_LINK}[ ]){{0,2}}{CAPITAL}){{0,3}}"
_UNIT = r"(?:P\.?\ ?O\.?\ Box|PSC|APO|FPO|DPO|Apt\.?|Apartment|Suite|Ste\.?|Unit|Flat|Floor|Room|Box|Wohnung|Etage|lok\.|m\.)"

_CORES = re.compile(
    rf"""(?<![\w.,/$€£#+-])(?=[\d{UPPER}a-z])(?:
    (?P<typed>{_NUMBER},?[ ](?:{_CAPS}[ ])?{_TYPES}\b\.?(?:[ ](?:North|South|East|West|NW|NE|SW|SE|[NSEW])\b)?) |
    (?P<headed>(?:{_NUMBER},?[ ])?\b{_BEFORE}[ ](?:{_LINK}[ ]?){{0,2}}{_CAPS}(?:,?[ ](?:n[º°.]?[ ]?|nr\.?[ ]?)?{_NUMBER})) |
    (?P<french>{_NUMBER},?[ ](?:bis[ ]|ter[ ])?{_BEFORE}[ ](?:{_LINK}[ ]?){{0,2}}{_CAPS}) |
    (?P<suffixed>(?:\d{{1,5}}[ ])?(?:{CAPITAL}[ ]){{0,2}}[{UPPER}][\w'-]*{_INSIDE}[ ]{_NUMBER}\b) |
    (?P<separate>(?:\d{{1,5}}[ ])?(?:{CAPITAL}[ ]){{1,3}}(?:[Ss]tr(?:aße|asse|\.)|{_TYPES}\.?|tee|utca|út|tér|rkp\.|u\.|gate|katu|tie)[ ]{_NUMBER}\b\.?) |
    (?P<framed>\d{{2,5}}[ ]{_CAPS}[ ]{_NUMBER}\b) |
    (?P<unit>\b{_UNIT}[ ]\#?\d+\w?\b) |
    (?P<military>\b(?:APO|FPO|DPO)[ ]A[AEP][ ]\d{{5}}(?:-\d{{4}})?) |
    (?P<corner>\b(?:the[ ])?corner[ ]of[ ]+(?:\d+[ ])?(?:[Uu]l\.[ ]|ten[ ])?{_CAPS}(?:[ ]\d+)?[ ]and[ ](?:\d+[ ])?(?:[Uu]l\.[ ]|ten[ ])?{_CAPS}(?:[ ]\d+)?) |
    (?P<ship>\bUS(?:NS|NV|S|CGC)[ ]{CAPITAL}\n?[ ]?(?:APO|FPO|DPO)[ ]A[AEP][ ]\d{{5}})
    )""",
    re.X,
)
_SURE = {"typed": 0.8, "headed": 0.85, "french": 0.8, "suffixed": 0.85, "separate": 0.8, "framed": 0.7, "unit": 0.75, "military": 0.95, "corner": 0.9, "ship": 0.95}  # fmt: skip
_ASKED = re.compile(
    r"""(?:\b(?:my|our|his|her|their|new|home|billing|shipping|mailing|following|work)?\ ?address(?:es)?(?:\ (?:is|was|to))?|\blives?\ (?:at|on|in)|\bliving\ (?:at|on)|\blocated\ (?:at|on|in)|\breside[sd]?\ (?:at|on|in)|\bresidence:?|
    \b(?:taxi|ride|cab|sent|send|ship|shipped|deliver|delivered|mail|drive|come|go)\ (?:it\ |this\ |them\ )?to|\boffices?\ (?:are|is)\ (?:at|located\ at)|\benter\ on|\bside\ of|\bstreet:|\bwohnhaft\ in|\bhabite(?:\ au)?|\bvive\ en)
    (?:[:?.]|\ \w+:)?(?:\ it\ is|\ this)?\s*$""",
    re.X | re.I,
)
_AFTER_ASKED = re.compile(rf"{_CAPS},?[ ]{_NUMBER}\b|{_NUMBER},?[ ](?:{_LINK}[ ])?(?:{_CAPS})|{_CAPS}[ ]{_TYPES}\b")
_TAIL = re.compile(
    rf"""[ ]?\.?[ ]*,?[ ]*(?:\n(?:>[ ])?[ ]*)?,?[ ]*(?:
    (?P<unit>{_UNIT}\ ?\#?\d+\w?) | (?P<code>[A-Z]{{1,2}}\d[\dA-Z]?\ \d[A-Z]{{2}}|[A-Z]\d[A-Z]\ ?\d[A-Z]\d|(?:[A-Z]{{1,2}}-)?\d{{3,5}}(?:[ -]\d{{2,4}})?(?:\ [A-Z]{{2}}\b)?|\d{{2}}-\d{{3}})(?![\w/:]) |
    (?P<nothing>nan\b) | (?P<capital>{_CAPS}|[A-Z]{{2}}\b)
    )""",
    re.X,
)
_NUMBER_OR_CORNER = re.compile(r"\d+|corner of")
_REACH = 80
_HOUSE = re.compile(r"(?<![\w.,-])(\d{2,5}) $")
_LOOK_BACK, _PIECES = 40, 8
_STREET_WORDS = frozenset(re.findall(r"[a-z]+", f"{_TYPES} {_BEFORE} {_UNIT}".lower())) | frozenset(
    "str ul apt st corner gate u".split()
) - {"p", "o"}
_STREET_ENDS = (*re.findall(r"[^\W\d_]+", _INSIDE), "str.", "kuja", "gat")
_BEFORE_NUMBER = re.compile(r"([^\W\d_][\w.'’-]*),? \d")
_FRAME = re.compile(rf"\d{{2,5}} [{UPPER}]")
_ASKING = frozenset(
    "address addresses lives live living located reside resides resided residence taxi ride cab offices office enter side".split()
)


def may_be(text: str, words: frozenset[str], digit: bool) -> bool:
    """Whether it is worth looking for addresses."""
    if "corner" in words or not words.isdisjoint(_ASKING):
        return True
    if not digit:
        return False
    if not words.isdisjoint(_STREET_WORDS) or _FRAME.search(text):
        return True
    return any(word.lower().endswith(_STREET_ENDS) for word in _BEFORE_NUMBER.findall(text))


def addresses(text: str) -> Iterator[Found]:
    """Street and number in the ways of several countries, with flat, town, code and country behind them."""
    cores = [
        (match.start(), match.end(), _SURE[match.lastgroup or "unit"])
        for low, high in _near_numbers(text)
        for match in _CORES.finditer(text, low, high)
    ]
    for asked in re.finditer(r"[:?]\s|\b(?:is|to|at|on|of|in|this)\s", text):
        if _ASKED.search(text, max(0, asked.end() - _LOOK_BACK), asked.end()):
            found = _AFTER_ASKED.match(text, asked.end())
            if found:
                cores.append((found.start(), found.end(), 0.75))
    reached = -1
    for start, end, sure in sorted(cores, key=lambda core: (core[0], -core[1])):
        if start < reached:
            continue
        house = _HOUSE.search(text, max(reached, start - 8, 0), start)
        start, reached = house.start(1) if house else start, _with_tail(text, end)
        yield Found(start, reached, "address", sure)


def _near_numbers(text: str) -> list[tuple[int, int]]:
    """The stretches of a text where an address can be: around numbers and corners, joined where they touch."""
    found: list[tuple[int, int]] = []
    for match in _NUMBER_OR_CORNER.finditer(text):
        low, high = max(0, match.start() - _REACH), match.end() + _REACH
        if found and low <= found[-1][1]:
            found[-1] = (found[-1][0], high)
        else:
            found.append((low, high))
    return found


def _with_tail(text: str, end: int) -> int:
    """Where an address ends whose street ends at `end`: flat, town, code, state and country follow it."""
    for _ in range(_PIECES):
        piece = _TAIL.match(text, end)
        if piece is None:
            break
        if piece["capital"] and not _town(piece["capital"], text, piece.start(), piece.end()):
            break
        end = piece.end()
    return end


def _town(words: str, text: str, start: int, end: int) -> bool:
    if text[end : end + 1] in (":", "'", "’", "@") or words.split()[0] in (
        "I",
        "The",
        "Please",
        "Is",
        "Can",
        "My",
        "We",
    ):
        return False
    if words.lower() in COUNTRIES or words.lower() in CITIES:
        return True
    parted = "," in text[start:end] or "\n" in text[start:end]
    unknown = not all(common(word.lower()) for word in words.split())
    return unknown or (parted and (len(words) == 2 or len(words.split()) > 1))


_CODE = r"(?:\d{5}(?:-\d{4})?|[A-Z]{1,2}\d[A-Z\d]?[ ]?\d[A-Z]{2}|[A-Z]\d[A-Z][ ]?\d[A-Z]\d|\d{4}[ ]?[A-Z]{2}|\d{2}-\d{3}|\d{3}[ ]\d{2}|\d{4}-\d{3}|\d{5}-\d{3}|[A-Z]{1,2}-\d{4,5}|\d{3,6})"
_POSTCODE = re.compile(
    rf"\b(?:zip(?:[ -]?code)?|post(?:al)?[ -]?code|plz|postleitzahl|code postal|c[óo]digo postal|cap|cp)\b(?:\s*(?:is|was|:|=|#|to|number|now))*\s*(?P<asked>{_CODE})(?![\w-])|"
    rf"\b(?P<state>A[KLRZ]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|PA|RI|S[CD]|T[NX]|UT|V[AT]|W[AIVY])[ ](?P<us>\d{{5}}(?:-\d{{4}})?)(?![\w-])|"
    r"(?<![\w-])(?P<uk>[A-PR-UWYZ][A-HK-Y]?\d[A-Z\d]?[ ]\d[ABD-HJLNP-UW-Z]{2})(?![\w-])|(?<![\w-])(?P<canada>[ABCEGHJ-NPRSTVXY]\d[ABCEGHJ-NPRSTV-Z][ ]\d[A-Z]\d)(?![\w-])",
    re.I,
)


def postcodes(text: str) -> Iterator[Found]:
    """Codes after a word for them, after a state of the USA, or of a form that only they have (UK, Canada)."""
    for match in _POSTCODE.finditer(text):
        group = next(name for name in ("asked", "us", "uk", "canada") if match[name])
        if group != "asked" and match[group] != match[group].upper():
            continue
        yield Found(match.start(group), match.end(group), "postcode", 0.85 if group == "asked" else 0.75)


_TITLED = re.compile(
    rf"\b(?:Mr|Mrs|Ms|Mx|Miss|Dr|Prof|Sir|Dame|Herr|Frau|Madame|Rev)\b\.?(?= [{UPPER}])|\b(?:mr|mrs|ms|dr|prof)\.(?= \w)"
)
_ALPHA = re.compile(r"[A-Za-z]+")
_JOB_WORDS = frozenset(
    form
    for job in re.sub(r"counsell\?or", "counselor|counsellor", JOBS).split("|")
    for form in (job.split()[-1], job.split()[-1] + "s")
)
_JOB_BEHIND = re.compile(r"(?:, [a-z]+)?(?=[.,;!?\n)]|$| (?:at|for|in|with|and|from|who|but|since)\b)")
_JOB_LEAD = re.compile(
    r"(?:^|\n|\b(?:as|is|was|am|I'm|(?:[Jj]ob|[Tt]itle|[Pp]osition|[Oo]ccupation|[Pp]rofession):) (?:an? )?)((?:[\w']+(?:-\w+){0,2}(?:,? (?:and )?|/)){0,4})$"
)
_AS_JOB = re.compile(
    r"\bwork(?:s|ed|ing)?\b[^.\n]{0,60}\bas (?:an? )?(?P<job>[A-Za-z][\w' -]{2,40}?)(?=[.,;\n]|$| (?:but|and|for|at|in)\b)"
)
TITLE_WORDS = frozenset(re.findall(r"[a-z]+", JOBS)) - {"maintenance", "lor"} | frozenset(
    "mr mrs ms mx miss dr prof sir dame herr frau madame rev work works worked working".split()
)
"""Words without which there is no title."""


def titles(text: str) -> Iterator[Found]:
    """`Mr.` and its like before a name, and jobs after `as` or in a line of their own."""
    for match in _TITLED.finditer(text):
        yield Found(match.start(), match.end(), "title", 0.8)
    for match in _ALPHA.finditer(text):
        if match[0].lower() not in _JOB_WORDS:
            continue
        behind, edge = _JOB_BEHIND.match(text, match.end()), max(0, match.start() - 60)
        lead = _JOB_LEAD.search(text[edge : match.start()]) if behind else None
        if behind and lead and (lead.start() > 0 or edge == 0):
            yield Found(edge + lead.start(1), behind.end(), "title", 0.6)
    for match in _AS_JOB.finditer(text):
        yield Found(match.start("job"), match.end("job"), "title", 0.6)
