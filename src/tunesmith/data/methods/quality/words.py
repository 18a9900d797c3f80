"""Words of a text, in any script."""

from __future__ import annotations

import re

# Chinese and Japanese do not separate words: each character is one.
_UNSEPARATED = "\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
_WORD = re.compile(rf"[{_UNSEPARATED}]|[^\W_{_UNSEPARATED}]+(?:['’-][^\W_{_UNSEPARATED}]+)*")
_IDEOGRAPH = re.compile(f"[{_UNSEPARATED}]")


def words(text: str) -> list[str]:
    """Runs of letters and digits, hyphens and apostrophes inside of them included; single characters in scripts that do
    not separate words."""
    return _WORD.findall(text)


def is_unseparated(word: str) -> bool:
    """Whether it is of a script that does not separate words."""
    return bool(_IDEOGRAPH.match(word))
