"""Addresses of machines."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from tunesmith.data.methods.privacy.found import Found

_V4 = re.compile(r"\d(?<![\w.-]\d)\d{0,2}(?:\.\d{1,3}){3}(?![\w-]|\.\d)")
_V6 = re.compile(r"(?<![\w:.])(?:[0-9a-f]{0,4}:){2,7}(?:[0-9a-f]{1,4}|(?:\d{1,3}\.){3}\d{1,3})?(?![\w:])", re.I)
_MAC = re.compile(r"(?<![\w:-])[0-9a-f]{2}([:-])(?:[0-9a-f]{2}\1){4}[0-9a-f]{2}(?![\w:-])|(?<![\w.])(?:[0-9a-f]{4}\.){2}[0-9a-f]{4}(?![\w.])", re.I)  # fmt: skip
_VERSION = re.compile(r"(?:\bv|version|release|section|chapter|§)[ .]?$", re.I)


def ipv4(text: str) -> Iterator[Found]:
    """Four numbers up to 255. What follows `version` is none; those of nobody (0.0.0.0, 127.0.0.1) are doubtful."""
    for match in _V4.finditer(text):
        parts = match[0].split(".")
        if any(int(part) > 255 or (len(part) > 1 and part[0] == "0") for part in parts):
            continue
        if _VERSION.search(text, max(0, match.start() - 12), match.start()):
            continue
        address = ipaddress.IPv4Address(match[0])
        nobody = address.is_loopback or address.is_unspecified or max(map(len, parts)) == 1
        yield Found(match.start(), match.end(), "ip", 0.4 if nobody else 0.9)


def ipv6(text: str) -> Iterator[Found]:
    """Whatever the standard library reads as an address, of at least two groups; times are none."""
    for match in _V6.finditer(text):
        try:
            address = ipaddress.IPv6Address(match[0])
        except ValueError:
            continue
        if match[0].strip(":"):
            yield Found(match.start(), match.end(), "ip", 0.4 if address.is_loopback else 0.9)


def macs(text: str) -> Iterator[Found]:
    """Six pairs of hex digits, or three fours."""
    for match in _MAC.finditer(text):
        yield Found(match.start(), match.end(), "mac", 0.9)
