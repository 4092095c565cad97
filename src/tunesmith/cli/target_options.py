"""Options of every verb that speaks to a cluster."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def target_options(function: F) -> F:
    """--to, --address, --storage."""
    function = click.option("--storage", metavar="URL", help="Where results and checkpoints go: s3://bucket/prefix.")(
        function
    )
    function = click.option("--address", metavar="URL", help="A cluster without a target: http://HOST:8265.")(function)
    return click.option("--to", metavar="TARGET", help="A cluster by its name in ~/.config/tunesmith/targets.yaml.")(
        function
    )


def needs_httpx() -> None:
    """Refuse where the package that speaks to clusters is missing. Raises TunesmithError."""
    from tunesmith.errors import TunesmithError

    if find_spec("httpx") is None:
        raise TunesmithError(
            "clusters are spoken to with httpx, which is not installed", fix='pip install "tunesmith[cluster]"'
        )
