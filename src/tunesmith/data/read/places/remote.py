"""Files of the web and of object stores, fetched once into a local copy."""

from __future__ import annotations

import glob
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tunesmith.data.read.decode import BLOCK
from tunesmith.data.read.places.copies import Copies, kept, write_copy
from tunesmith.errors import DataError, MissingDependency

STORES: dict[str, tuple[str, str]] = {
    "s3": ("s3fs", "s3"),
    "s3a": ("s3fs", "s3"),
    "gs": ("gcsfs", "gcs"),
    "gcs": ("gcsfs", "gcs"),
    "az": ("adlfs", "azure"),
    "abfs": ("adlfs", "azure"),
    "abfss": ("adlfs", "azure"),
    "hf": ("huggingface_hub", "hub"),
    "memory": ("fsspec", "hub"),
}
"""Scheme -> the package that reads it, and the extra that brings the package."""
WEB = ("http", "https")


def plain_url(url: str) -> str:
    """A URL without user, password and query, as it may be shown and stored."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"


def fetch(url: str, fresh: bool = False) -> Copies:
    """Fetches a file, or all that match a pattern of an object store.

    Args:
        url: `https://...`, or a scheme of `STORES` through fsspec, which finds credentials where the store's own
            tools do (environment, configuration files).
        fresh: fetch again what this process has fetched before.

    Returns:
        Name and copy of each, sorted by name.

    Raises:
        DataError: the scheme is not known, or nothing can be fetched from there.
        MissingDependency: the store's package is not installed.
    """
    scheme = url.partition("://")[0].lower()
    if scheme in WEB:
        return kept(("web", url), fresh, lambda: [(plain_url(url), _download(url))])
    if scheme not in STORES:
        raise DataError(
            f"{scheme}:// is not read",
            where=plain_url(url),
            fix=f"use one of {', '.join((*WEB, 'file', *STORES))}, an SQL URL, or download it and name the file",
        )
    package, extra = STORES[scheme]
    if importlib.util.find_spec(package) is None:
        raise MissingDependency(package, extra=extra, needed_by=f"data.sources: {plain_url(url)}")
    return kept(("store", url), fresh, lambda: list(_stored(url)))


def _download(url: str) -> Path:
    import httpx

    shown = plain_url(url)
    try:
        with httpx.stream("GET", url, follow_redirects=True, timeout=30) as response:
            if response.status_code >= 400:
                raise DataError(
                    f"the server answers {response.status_code} {response.reason_phrase}",
                    where=shown,
                    fix="check the address; what needs a login has to be downloaded first",
                )
            return write_copy(urlsplit(url).path, response.iter_bytes(BLOCK), shown)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise DataError(
            f"cannot be fetched: {str(error) or type(error).__name__}",
            where=shown,
            fix="check the address and the network, or download it and name the file",
        ) from error


def _stored(url: str) -> Iterator[tuple[str, Path | None]]:
    import fsspec

    shown = plain_url(url)
    try:
        system, path = fsspec.core.url_to_fs(url)
        found = sorted(system.glob(path)) if glob.has_magic(path) else [path]
        for each in found:
            with system.open(each, "rb") as file:
                yield system.unstrip_protocol(each), write_copy(each, _blocks(file), shown)
    except DataError:
        raise
    except Exception as error:  # the packages of the stores raise what they like
        raise DataError(
            f"cannot be fetched: {(str(error) or type(error).__name__).splitlines()[0]}",
            where=shown,
            fix="check the address and that its tools find your credentials (for s3, `aws s3 ls` shows it)",
        ) from error
    if not found:
        raise DataError("no file matches", where=shown, fix="check the pattern")


def _blocks(file: Any) -> Iterator[bytes]:
    while block := file.read(BLOCK):
        yield block
