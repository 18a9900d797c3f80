"""HTML to the text a reader sees."""

from __future__ import annotations

import re
from html.parser import HTMLParser

_UNSEEN = frozenset({"script", "style", "template", "noscript", "svg", "math", "select", "object", "iframe"})
_BLOCKS = frozenset((
    "address", "article", "aside", "blockquote", "body", "br", "caption", "dd", "details", "div", "dl", "dt",
    "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li",
    "main", "nav", "ol", "option", "p", "pre", "section", "summary", "table", "tbody", "td", "tfoot", "th",
    "thead", "title", "tr", "ul",
))  # fmt: skip
_END = "\"'>--></script></style>"
"""Closes whatever a file leaves open: the parser would look for the end of it again and again."""


def html_text(markup: str) -> tuple[str, str]:
    """The text of a page, a line a block, and its title (or first heading).

    What is not shown (scripts, styles, comments) is left out.
    """
    parser = _Text()
    parser.feed(markup + _END)
    parser.close()
    text = "".join(parser.parts).rstrip()
    for seen in ("\"'>-->", "'>-->", ">-->", "-->"):  # what of the end was outside of tags and comments
        if text.endswith(seen):
            text = text.removesuffix(seen)
            break
    text = re.sub(r"[^\S\n]+", " ", text)
    text = re.sub(r" ?\n ?", "\n", text)
    return re.sub(r"\n{3,}", "\n\n", text).strip(), " ".join("".join(parser.title or parser.heading).split())


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.title: list[str] = []
        self.heading: list[str] = []
        self._unseen = 0
        self._in_title = self._in_heading = self._headed = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _UNSEEN:
            self._unseen += 1
        elif tag == "title" and not self.title:
            self._in_title = True
        elif tag == "h1" and not self._headed:
            self._in_heading = self._headed = True
        if tag in _BLOCKS:
            self.parts.append("\n")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _BLOCKS:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in _UNSEEN:
            self._unseen = max(0, self._unseen - 1)
        elif tag == "title":
            self._in_title = False
        elif tag == "h1":
            self._in_heading = False
        if tag in _BLOCKS:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title.append(data)
        elif not self._unseen:
            self.parts.append(data)
            if self._in_heading:
                self.heading.append(data)
