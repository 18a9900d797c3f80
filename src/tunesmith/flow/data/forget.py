"""Forgets people: the entries of the vault that lead back to them."""

from __future__ import annotations

from collections.abc import Sequence

from tunesmith.data.methods.privacy.find import find
from tunesmith.data.methods.privacy.found import KINDS, Kind
from tunesmith.data.methods.privacy.standin import PSEUDONYM_KEY, Standins, entry_name
from tunesmith.errors import NotFound
from tunesmith.vault.store import Vault


def forget(vault: Vault, names: Sequence[str], words: Sequence[str]) -> dict[str, int]:
    """Forgets entries by name, and all that lead back to words.

    Args:
        names: entries; each must be there.
        words: as they were written in the rows; what they can be is remembered as forgotten, so that a later run masks
            them whether or not this vault has met them.

    Returns:
        How many entries there were.

    Raises:
        NotFound: there is no entry of a name.
    """
    for name in names:
        if name not in vault:
            raise NotFound(f"the vault holds no {name!r}", where=str(vault.path), fix="see: tunesmith vault list")
    return {"forgotten": vault.forget([*names, *entries_of(vault, words)])}


def entries_of(vault: Vault, words: Sequence[str]) -> list[str]:
    """Names of entries that would lead back to words, whether or not the vault holds them."""
    if not words:
        return []
    draws = Standins(vault.secret(PSEUDONYM_KEY))
    return [entry_name(kind, draws.of(kind, word)) for word in words for kind in _kinds_of(word)]


def _kinds_of(words: str) -> set[Kind]:
    """What words can have been found as: what they are told to be now, and names, which depend on what stood around."""
    told = {one.kind for one in find(words, KINDS) if (one.start, one.end) == (0, len(words))}
    return {*told, "person", "place", "organization", "address"}
