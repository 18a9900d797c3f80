"""Licences of models: whether they let a model earn money, as far as their names tell. No legal advice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Commercial = Literal["yes", "conditions", "no", "unknown"]


@dataclass(frozen=True)
class Licence:
    """What is known of a licence."""

    name: str
    """As the model card writes it; empty where it says nothing."""
    commercial: Commercial
    """Whether it allows commercial use."""
    because: str
    """What that rests on."""


_OPEN = "an open licence without limits on use"
_NAMED = "allowed; the authors must be named"
_COPYLEFT = "allowed; what is passed on must stay under the same licence"
_OPENRAIL = "allowed but for the uses that its attachment forbids, which must be passed on"
_LLAMA = (
    "the licence asks for one of Meta's own above 700M monthly users, for 'Built with Llama' to be shown, and "
    "forbids the uses of its policy"
)
_BY_NAME: dict[str, tuple[Commercial, str]] = {
    **dict.fromkeys(
        ("apache-2.0", "mit", "bsd", "bsd-2-clause", "bsd-3-clause", "bsl-1.0", "isc", "zlib", "unlicense", "cc0-1.0",
         "wtfpl", "afl-3.0", "ecl-2.0", "ms-pl", "postgresql", "ncsa", "artistic-2.0", "pddl", "cdla-permissive-1.0",
         "cdla-permissive-2.0"),
        ("yes", _OPEN),
    ),
    **dict.fromkeys(("cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "odc-by"), ("yes", _NAMED)),
    **dict.fromkeys(
        ("cc-by-sa-3.0", "cc-by-sa-4.0", "gpl", "gpl-2.0", "gpl-3.0", "lgpl", "lgpl-2.1", "lgpl-3.0", "agpl-3.0",
         "mpl-2.0", "epl-1.0", "epl-2.0", "eupl-1.1", "eupl-1.2", "osl-3.0"),
        ("conditions", _COPYLEFT),
    ),
    "cc-by-nd-4.0": ("conditions", "nothing changed may be passed on, and a tuned model is changed"),
    **dict.fromkeys(
        ("openrail", "openrail++", "creativeml-openrail-m", "bigscience-openrail-m", "bigscience-bloom-rail-1.0",
         "bigcode-openrail-m"),
        ("conditions", _OPENRAIL),
    ),
    **dict.fromkeys(("llama2", "llama3", "llama3.1", "llama3.2", "llama3.3", "llama4"), ("conditions", _LLAMA)),
    "gemma": ("conditions", "allowed; Google's policy of forbidden uses must be kept and passed on"),
    "deepfloyd-if-license": ("no", "for research only"),
    "apple-amlr": ("no", "for research only"),
    "apple-ascl": ("yes", _OPEN),
    "fair-noncommercial-research-license": ("no", "for research that does not earn money only"),
    "intel-research": ("no", "for research only"),
}  # fmt: skip
_NO_MONEY = ("-nc", "noncommercial", "non-commercial", "research-only")
"""What a name holds that forbids commercial use, such as `cc-by-nc-4.0`."""


def licence(written: str | None) -> Licence:
    """What the name of a licence tells.

    Args:
        written: as the model card writes it; None where it says nothing.
    """
    if not written:
        return Licence("", "unknown", "the model card names no licence")
    name = written.strip().lower().replace(" ", "-")
    if any(part in name for part in _NO_MONEY):
        return Licence(written, "no", "its name says that it is not for commercial use")
    if name in _BY_NAME:
        return Licence(written, *_BY_NAME[name])
    return Licence(written, "unknown", "not among the licences known here; read it")
