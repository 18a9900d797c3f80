"""Markdown and LaTeX taken out of texts, as edits, so that labelled stretches can be moved along.

Code and formulas stay.
"""

from __future__ import annotations

import re

from tunesmith.data.rewrite import Edit

_MARKDOWN = re.compile(
    r"""
    (?P<kept> ```.*?(?:```|\Z) | `[^`\n]+` | \$\$[^$]+\$\$ | \$[^$\n]+\$ )
    | ^ (?P<heading> [ ]{0,3} \#{1,6} [ ]+ | [ ]{0,3} (?:>[ ]?)+ )
    | ^ (?P<rule> [ ]{0,3} (?: (?:-[ ]*){3,} | (?:\*[ ]*){3,} | (?:_[ ]*){3,} ) ) $
    | (?P<link> !? \[ ) (?P<shown> [^\[\]\n]* ) (?P<target> \] \( [^()\s]* (?: [ ] "[^"\n]*" )? \) )
    | (?P<bold> \*\* (?=\S) ) (?P<loud> [^*\n]+ ) (?<=\S) \*\*
    | (?P<struck> ~~ (?=\S) ) (?P<gone> [^~\n]+ ) (?<=\S) ~~
    | (?P<italic> (?<![\w*]) \* (?=[^\s*]) ) (?P<leaning> [^*\n]+ ) (?<=[^\s*]) \* (?![\w*])
    """,
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)


def markdown(text: str) -> list[Edit]:
    """What takes Markdown out of a text: marks of headings, quotes and emphasis; links and images become what they
    show. Lists, tables and code stay as they are."""
    edits: list[Edit] = []
    at = 0
    closing: set[int] = set()
    while found := _MARKDOWN.search(text, at):
        start, at = found.span()
        if found["kept"] or start in closing:
            # A closing mark is no opening one.
            at = at if found["kept"] else start + 1
            continue
        if found["heading"] or found["rule"]:
            edits.append(Edit(start, at, ""))
            continue
        for opening, inner in (("link", "shown"), ("bold", "loud"), ("struck", "gone"), ("italic", "leaning")):
            if found[opening]:
                edits += [Edit(start, found.end(opening), ""), Edit(found.end(inner), at, "")]
                closing.add(found.end(inner))
                at = found.end(opening)  # what is inside may be marked too
    return sorted(edits)


_FORMULAS = re.compile(
    "align|array|cases|displaymath|eqnarray|equation|gather|lstlisting|math|[pbv]?matrix|minted|multline|verbatim"
)
_LATEX = re.compile(
    r"""
    (?P<formula> \$\$[^$]+\$\$ | \$[^$\n]+\$ | ```.*?(?:```|\Z) )
    | (?P<bracket> \\ [\[(] )
    | \\ (?P<edge> begin | end ) \{ (?P<environment> [A-Za-z]+ \*? ) \} (?: \[ [^\]\n]* \] )?
    | (?P<gone> \\ (?: documentclass | usepackage | label | (?:eq|auto|page|c)?ref | cite[tp]? | nocite | index | input
        | bibliography (?:style)? | (?:this)?pagestyle | [vh]space | includegraphics ) \*? (?: \[ [^\]\n]* \] )*
        \{ [^{}\n]* \} )
    | (?P<word> \\ (?: noindent | newpage | clearpage | maketitle | tableofcontents | centering | (?:big|med|small)skip
        | hfill | par | tiny | small | large | Large | LARGE | huge | bfseries | itshape ) \b [ ]? )
    | (?P<item> \\ item \b (?: [ ]? \[ [^\]\n]* \] )? [ ]? )
    | (?P<heading> \\ (?: part | chapter | (?:sub)*section | (?:sub)?paragraph | title | author | date | caption )
        \*? \{ )
    | (?P<around> \\ (?: text(?:bf|it|sc|tt|rm|sf|sl|up) | emph | underline | mbox | footnote ) \{ )
    | (?P<escaped> \\ [%&_\#$] )
    | (?P<line> \\\\ )
    | (?P<open> \{ ) | (?P<shut> \} )
    """,
    re.VERBOSE | re.DOTALL,
)
_LEAST = 2
"""Commands from which on a text is taken for LaTeX: one may be spoken about."""


def latex(text: str) -> list[Edit]:
    """What takes LaTeX out of a text: commands about its looks, labels and references; headings become lines. Formulas
    and listings stay as they are."""
    if "\\" not in text:
        return []
    edits: list[Edit] = []
    braces: list[str] = []
    """For each open brace, what it belongs to."""
    missing: set[str] = set()
    commands = at = 0

    def after(closing: str) -> int:
        # Looked for once where there is none, so that hostile text takes no longer.
        place = -1 if closing in missing else text.find(closing, at)
        if place < 0:
            missing.add(closing)
            return at
        return place + len(closing)

    while found := _LATEX.search(text, at):
        start, at = found.span()
        kind = found.lastgroup
        if kind == "bracket":
            at = after("\\]" if text[start + 1] == "[" else "\\)")
        elif kind == "environment":
            name = found["environment"]
            if _FORMULAS.fullmatch(name.rstrip("*")):
                at = after(f"\\end{{{name}}}") if found["edge"] == "begin" else at
            else:
                commands += 1
                edits.append(Edit(start, at, ""))
        elif kind in ("open", "heading", "around"):
            braces.append(kind)
            if kind != "open":
                commands += 1
                edits.append(Edit(start, at, ""))
        elif kind == "shut":
            if braces and (opened := braces.pop()) != "open":
                edits.append(Edit(start, at, "\n" if opened == "heading" and text[at : at + 1] != "\n" else ""))
        elif kind in ("gone", "word"):
            commands += 1
            edits.append(Edit(start, at, ""))
        elif kind in ("item", "line", "escaped"):
            commands += kind == "item"
            edits.append(Edit(start, at, {"item": "- ", "line": "\n"}.get(kind) or text[start + 1]))
    return edits if commands >= _LEAST else []
