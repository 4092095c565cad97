"""Names that Kubernetes takes, made from those of recipes; and what a user may name on the command line."""

from __future__ import annotations

import hashlib
import re

from tunesmith.errors import TunesmithError
from tunesmith.recipe.address import Address

LONGEST = 47
"""Of a RayJob's name in characters: KubeRay makes names of clusters and services from it, which may have 63."""

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_IMAGE = re.compile(
    r"[a-zA-Z0-9][a-zA-Z0-9._-]*(:[0-9]+)?(/[a-zA-Z0-9._-]+)*(:[\w][\w.-]{0,127})?(@sha256:[0-9a-f]{64})?"
)
_STORAGE = re.compile(r"(s3|gs)://[a-z0-9][a-z0-9._-]{1,61}[a-z0-9](/[A-Za-z0-9._-]+)*/?")
_SCHEDULE = re.compile(r"[0-9*/,-]+( [0-9A-Za-z*/,-]+){4}")
_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")
_KEY = re.compile(r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


FOR_CRON = 12
"""Characters that KubeRay adds to a RayCronJob's name for those of its jobs."""


def job_name(recipe: str, verb: str, digest: str, longest: int = LONGEST) -> str:
    """A DNS-1035 label such as `support-train-3fa92c1b`, the same for the same recipe and another for any other.

    `recipe` is its name, `digest` a hexadecimal hash of all that is run: the part that tells two apart whose names
    look alike when they are cut or lose their dots.
    """
    tail = f"-{verb}-{digest[:8]}"
    stem = re.sub(r"[^a-z0-9]+", "-", recipe.lower()).strip("-")
    stem = stem if stem[:1].isalpha() else f"r-{stem}".rstrip("-")
    return stem[: longest - len(tail)].rstrip("-") + tail


def digest_of(*parts: str) -> str:
    """A hash of several texts, in hexadecimal."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def checked_namespace(name: str) -> str:
    """A namespace or a Kueue queue: a DNS-1123 label. Raises TunesmithError."""
    return _checked(_LABEL, name, "is no name of a namespace or queue", "lower-case letters, digits and dashes")


def checked_object(name: str) -> str:
    """A Secret or a claim: a DNS-1123 subdomain. Raises TunesmithError."""
    if len(name) > 253:
        raise TunesmithError("the name is longer than 253 characters", where=name[:40], fix="choose a shorter one")
    return _checked(_SUBDOMAIN, name, "is no name of a Secret or claim", "lower-case letters, digits, dashes and dots")


def checked_image(name: str) -> str:
    """A container image. Raises TunesmithError."""
    return _checked(_IMAGE, name, "is no container image", "write it as registry.example.com/tunesmith:gpu")


def checked_storage(url: str) -> str:
    """Where artefacts and checkpoints go, without a slash at its end. Raises TunesmithError."""
    from pydantic import TypeAdapter, ValidationError

    try:
        TypeAdapter(Address).validate_python(url)
    except ValidationError as error:
        what, fix = error.errors()[0]["ctx"]["error"].args
        raise TunesmithError(what, where="--storage", fix=fix) from None
    return _checked(_STORAGE, url, "is no place for artefacts", "write it as s3://bucket/folder or gs://bucket/folder")[
        : -1 if url.endswith("/") else None
    ]


def checked_schedule(text: str) -> str:
    """Five fields as cron has them. Raises TunesmithError."""
    if not _SCHEDULE.fullmatch(text):
        raise TunesmithError(
            f"{text[:80]!r} is no time-table of five fields",
            where="--schedule",
            fix="write it as '0 3 * * *': at three",
        )
    return text


def checked_labels(labels: dict[str, str], where: str) -> dict[str, str]:
    """Labels that both Ray and Kubernetes take. Raises TunesmithError naming the one that is none."""
    for key, value in labels.items():
        if not _KEY.fullmatch(key):
            raise TunesmithError(f"'{key}' is no label of a node", where=where, fix="write it as ray.io/market-type")
        if not _VALUE.fullmatch(value):
            raise TunesmithError(
                f"'{value}' is no value that a node's label can have",
                where=f"{where}.{key}",
                fix="give one plain value of letters, digits, dots and dashes: the nodes are given this label",
            )
    return labels


def _checked(pattern: re.Pattern[str], text: str, what: str, fix: str) -> str:
    if not pattern.fullmatch(text):
        raise TunesmithError(f"{text[:80]!r} {what}", fix=fix)
    return text
