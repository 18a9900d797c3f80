"""HTML and XML taken out of texts, as edits, so that labelled stretches can be moved along.

`html.parser` does not say where a tag ends, and in many versions takes quadratic time on hostile text. This
scanner is one regular expression whose parts cannot run into each other: `<` begins a tag and stands in none.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

from tunesmith.data.rewrite import Edit


def _names(said: str) -> frozenset[str]:
    return frozenset(said.split())


_BLOCKS = _names(
    """address article aside blockquote body caption center dd details dialog dir div dl dt fieldset figcaption figure
    footer form frameset h1 h2 h3 h4 h5 h6 head header hgroup hr html legend li main menu nav ol p pre search section
    summary table tbody tfoot thead title tr ul"""
)
_CELLS = _names("td th")
_VOIDS = _names("area base br col embed hr img input link meta param source track wbr")
_INLINE = _names(
    """a abbr acronym applet audio b bdi bdo big blink button canvas cite code colgroup data datalist del dfn em font
    frame i ins kbd label map mark marquee meter noframes nobr optgroup option output picture progress q rp rt ruby s
    samp select small span strike strong sub sup textarea time tt u var video"""
)
_HIDDEN = _names("iframe noscript object script style svg template")
_KNOWN = _BLOCKS | _CELLS | _VOIDS | _INLINE | _HIDDEN
_WIDE = _names("article blockquote h1 h2 h3 h4 h5 h6 ol p pre section table ul")
"""Blocks set apart by an empty line."""
_ALONE = _names(
    """allowfullscreen async autofocus autoplay checked compact controls crossorigin default defer disabled hidden ismap
    formnovalidate loop multiple muted nomodule noshade novalidate nowrap open readonly required reversed selected"""
)
"""Attributes that stand without a value."""

_TOKEN = re.compile(
    r"""
    (?P<code> ```.*?(?:```|\Z) | `[^`\n]+` )
    | (?P<comment> <!-- )
    | (?P<cdata> <!\[CDATA\[ | \]\]> )
    | (?P<declaration> <[!?][A-Za-z][^<>]*> )
    | < (?P<close> /? ) (?P<name> [A-Za-z][\w:.-]* )
        (?P<attributes> (?: \s (?: [^<>"'] | "[^"<]*" | '[^'<]*' )*+ )? ) /? >
    | (?P<entity> & (?: \#\d{1,7} | \#[xX][0-9a-fA-F]{1,6} | [A-Za-z][A-Za-z0-9]{1,31} ) ; )
    | (?P<blanks> \s+ )
    """,
    re.VERBOSE | re.DOTALL,
)

_NONE, _BLANK, _CELL, _LINE, _PARAGRAPH = range(5)
_WRITTEN = ("", " ", "\t", "\n", "\n\n")


@dataclass
class _Piece:
    """A tag, something hidden, or blanks: what is left of it is a break, and perhaps a dash."""

    start: int
    end: int
    strength: int
    is_tag: bool
    dash: str = ""
    plain: bool = False
    """A single blank, which needs no edit."""


@dataclass
class Html:
    """The markup of a text."""

    size: int
    """Characters of the text, code left out."""
    pieces: list[_Piece] = field(default_factory=list)
    entities: list[Edit] = field(default_factory=list)
    flows: bool = False
    """Whether blocks make its lines, so that line ends of the text are blanks."""
    marked: int = 0
    """Characters of tags that stand in pairs, are never closed, or carry attributes, and of what is hidden."""

    @property
    def share(self) -> float:
        """Share of the characters that are markup; 0 where all tags could be something else: `a <b> c`."""
        return self.marked / self.size if self.size else 0.0

    def edits(self, length: int) -> list[Edit]:
        """What takes the markup out of a text of that length: blocks become lines, entities characters, and inline tags
        nothing."""
        return sorted([*self.entities, *(edit for group in self._groups() for edit in self._edited(group, length))])

    def _groups(self) -> Iterator[list[_Piece]]:
        """Pieces that stand side by side."""
        group: list[_Piece] = []
        for piece in self.pieces:
            if group and piece.start != group[-1].end:
                yield group
                group = []
            group.append(piece)
        if group:
            yield group

    def _edited(self, group: list[_Piece], length: int) -> list[Edit]:
        if not self.flows and all(piece.strength < _CELL for piece in group if piece.is_tag):
            return [Edit(piece.start, piece.end, "") for piece in group if piece.is_tag]
        if group[0].plain and len(group) == 1:
            return []
        start, end = group[0].start, group[-1].end
        dash = "".join(piece.dash for piece in group)[:2]
        broken = "" if start == 0 or end == length else _WRITTEN[max(piece.strength for piece in group)]
        return [Edit(start, end, broken + dash)]


def scan(text: str) -> Html:
    """Finds all markup of a text, in time proportional to its length. Code between backticks is left alone, and so are
    comparisons, generics and placeholders: `a < b`, `List<String>`, `<your name>`."""
    return _Scanner(text).scanned() if "<" in text or "&" in text else Html(len(text))


def entities(text: str) -> list[Edit]:
    """What makes characters of the entities of a text, `&amp;` to `&`."""
    return scan(text).entities if "&" in text else []


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.found = Html(len(text))
        self.xml = text.lstrip("\ufeff \t\r\n").startswith("<?xml")
        self.in_pre = 0
        self.opened: dict[str, int] = {}
        self.closed: dict[str, int] = {}
        self.unclosed: set[str] = set()
        self.blocks = 0

    def scanned(self) -> Html:
        at = 0
        while token := _TOKEN.search(self.text, at):
            at = token.end()
            kind = token.lastgroup
            if token["code"]:
                self.found.size -= at - token.start()
            elif token["entity"]:
                self._entity(token)
            elif token["blanks"]:
                if not self.in_pre:
                    self._blanks(token)
            elif token["comment"]:
                at = self._hidden(token, re.compile("-->"))
            elif kind in ("cdata", "declaration"):
                if token["declaration"] or self.xml:
                    self._piece(token.start(), at, _NONE)
                    self.found.marked += at - token.start()
            else:
                at = self._tag(token)
        for name, size in self.opened.items():
            if name in self.closed or name in _VOIDS:
                self.found.marked += size + self.closed.get(name, 0)
        # A page has about a block a line; prose with a piece of HTML in it keeps its lines.
        self.found.flows = self.blocks > 0 and self.blocks * 2 >= self.text.count("\n")
        if self.found.flows:
            for piece in self.found.pieces:
                piece.strength = piece.strength if piece.is_tag else _BLANK
        return self.found

    def _tag(self, token: re.Match[str]) -> int:
        """Enters a tag, and what it hides; where to go on."""
        name, attributes, end = token["name"].lower(), token["attributes"].strip(" \t\r\n/"), token.end()
        if (name not in _KNOWN and not self.xml) or not _are_attributes(attributes):
            return end
        size = end - token.start()
        if name in _HIDDEN and not token["close"]:
            return self._hidden(token, _closing(name), name)
        if "=" in attributes:
            self.found.marked += size
        else:
            counts = self.closed if token["close"] else self.opened
            counts[name] = counts.get(name, 0) + size
        if "=" in attributes:
            self.opened.setdefault(name, 0)
        if name == "pre":
            self.in_pre = max(0, self.in_pre + (-1 if token["close"] else 1))
        block = name in _BLOCKS or name not in _KNOWN
        self.blocks += block
        strength = _PARAGRAPH if name in _WIDE else _LINE if block or name == "br" else _NONE
        if name in _CELLS and token["close"]:
            strength = _CELL
        self._piece(token.start(), end, strength, dash="- " if name == "li" and not token["close"] else "")
        return end

    def _hidden(self, token: re.Match[str], closing: re.Pattern[str], name: str = "") -> int:
        """Hides everything up to the closing; where there is none, the tag alone."""
        start, end = token.span()
        # Where one closing is missing, it is missing for all that follow: each is looked for once.
        found = None if closing.pattern in self.unclosed else closing.search(self.text, end)
        if found is None:
            self.unclosed.add(closing.pattern)
            if not name:
                return end
        else:
            end = found.end()
        self._piece(start, end, _LINE if name else _NONE)
        self.found.marked += end - start
        return end

    def _entity(self, token: re.Match[str]) -> None:
        meant = html.unescape(token[0]).replace("\xa0", " ")
        if meant != token[0]:
            self.found.entities.append(Edit(token.start(), token.end(), meant))

    def _piece(self, start: int, end: int, strength: int, *, is_tag: bool = True, dash: str = "") -> None:
        self.found.pieces.append(_Piece(start, end, strength, is_tag, dash))

    def _blanks(self, token: re.Match[str]) -> None:
        lines = token[0].count("\n")
        strength = _BLANK if not lines else _LINE if lines == 1 else _PARAGRAPH
        self.found.pieces.append(_Piece(*token.span(), strength, is_tag=False, plain=token[0] == " "))


def _are_attributes(said: str) -> bool:
    return not said or "=" in said or all(word.lower() in _ALONE for word in said.split())


@cache
def _closing(name: str) -> re.Pattern[str]:
    return re.compile(rf"</{name}\s*>", re.IGNORECASE)
