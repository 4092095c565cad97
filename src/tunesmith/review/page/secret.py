"""What cookies are signed with: random, in a file that only its owner reads, shared by all that share the home folder.

It is not in the database: who may read that, or a copy of it, can still be nobody on the page.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from tunesmith.errors import StoreError
from tunesmith.store.durable import temporary_sibling

FILE = "review.secret"
BYTES = 32


def signing_secret(home: Path) -> bytes:
    """The secret of a home folder, made where there is none; of several processes the first one's counts.

    Raises StoreError when it can be neither read nor made.
    """
    path = home / FILE
    try:
        if not path.exists():
            home.mkdir(parents=True, exist_ok=True)
            _make(path)
        found = path.read_bytes()
    except OSError as error:
        raise StoreError(
            f"the secret of review cookies cannot be read or made: {error.strerror}", where=str(path),
            fix="check the permissions of the file and of its folder",
        ) from None  # fmt: skip
    if len(found) != BYTES:
        raise StoreError(
            "this is not the secret of review cookies", where=str(path),
            fix="remove the file: a new one is made, and raters log in again",
        )  # fmt: skip
    return found


def _make(path: Path) -> None:
    temporary = temporary_sibling(path)
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(BYTES))
            file.flush()
            os.fsync(file.fileno())
        # Unlike a rename, a link never takes the place of a secret that cookies were signed with already.
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
