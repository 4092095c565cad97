"""Paths and URLs in a recipe. A recipe is kept with every version made from it, so no secret may be in one."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

_WITH_SECRET = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*:[^/?#@]*@")
_SIGNED = re.compile(
    r"[?&](?:[^=&]*(?:signature|token|secret|password|credential|(?:api|access)[-_]?key)|sig)=", re.IGNORECASE
)
_FIX = "leave it out; fsspec takes credentials from the environment (such as AWS_ACCESS_KEY_ID) or ~/.config/fsspec"


def _without_secret(address: str) -> str:
    """Refuse a password or a signature, in words that do not repeat it."""
    if _WITH_SECRET.match(address):
        raise ValueError("the URL holds a password, and recipes are kept with what is made from them", _FIX)
    if "://" in address and _SIGNED.search(address):
        raise ValueError("the URL holds a key, and recipes are kept with what is made from them", _FIX)
    return address


Address = Annotated[str, AfterValidator(_without_secret)]
"""A path, a hub id or a URL."""
