"""The tokens in raters' links: 256 bits each, made from a key that never leaves the workspace.

The store holds only a token's sha256, so that whoever reads the store can open no page. As tokens follow from the
key, the links can be shown again at any time, and nothing that opens a page lies about on disk.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from pathlib import Path

from tunesmith.errors import UserError

FILE = "review.key"
_BYTES = 32


def workspace_key(workspace: Path, *, make: bool = False) -> bytes:
    """The workspace's key, in a file that only its owner reads.

    Args:
        make: makes one where there is none.

    Raises:
        UserError: there is none, or it is damaged.
    """
    path = workspace / FILE
    if make and not path.exists():
        workspace.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{FILE}.{os.getpid()}.{secrets.token_hex(4)}")
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(_BYTES))
        try:
            os.link(temporary, path)  # whoever came first has made the key
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    try:
        key = bytes.fromhex(path.read_text("ascii").strip())
    except FileNotFoundError:
        raise UserError(
            "the key of this workspace's review links is not here",
            where=str(path),
            fix="serve the review from the workspace it was made in, or put the file back",
        ) from None
    except ValueError:
        key = b""
    if len(key) != _BYTES:
        raise UserError("is no key of review links", where=str(path), fix="put the file back as it was")
    return key


def token(key: bytes, salt: str, person: int, renewed: int = 0) -> str:
    """The token of a person's link: 43 letters, digits, dashes and underscores.

    Args:
        key: of the workspace.
        salt: of the review, which no other has.
        person: the person's number in it.
        renewed: how often the person was given another link in place of one taken back.
    """
    named = f"{salt}\n{person}" + (f"\n{renewed}" if renewed else "")
    digest = hmac.digest(key, named.encode(), "sha256")
    return base64.urlsafe_b64encode(digest).decode("ascii").rstrip("=")


def hashed(token_: str) -> str:
    """What the store knows of a token."""
    return hashlib.sha256(token_.encode()).hexdigest()
