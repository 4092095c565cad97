"""Arguments that several verbs share."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

MOST_DAYS = 36_500
"""A hundred years: further back no calendar of Python's can be asked for."""

F = TypeVar("F", bound=Callable[..., Any])


class Days(click.FloatRange):
    """So many days back: above 0, and finite, which a range alone does not ask of `nan`."""

    name = "days"

    def __init__(self) -> None:
        super().__init__(min=0, max=MOST_DAYS, min_open=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number, or the mistake in click's words."""
        found = super().convert(value, param, ctx)
        if math.isnan(found):
            self.fail("nan is not a number of days.", param, ctx)
        return found


def recipe_arguments(function: F) -> F:
    """RECIPE, --set, --json: what every verb that takes a recipe has."""
    function = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")(function)
    function = click.option(
        "--set", "overrides", multiple=True, metavar="FIELD=VALUE", help="Change a field of the recipe; repeatable."
    )(function)
    return click.argument("recipe", type=click.Path(path_type=Path))(function)


def run_options(function: F) -> F:
    """--dry-run, --in-process and --yes: what every verb that trains has."""
    function = click.option("--yes", is_flag=True, help="Start without asking, whatever the plan says.")(function)
    function = click.option(
        "--in-process", is_flag=True, help="Train in this process, without Ray: one worker, for a look or a debugger."
    )(function)
    return click.option("--dry-run", is_flag=True, help="Check everything, prepare the data, say what would be run.")(
        function
    )


def need_training_packages() -> None:
    """Refuse on a slim install, which has neither torch nor ray. Raises TunesmithError with the mending command."""
    from importlib.util import find_spec

    from tunesmith.errors import TunesmithError

    missing = [name for name in ("torch", "transformers", "peft", "pyarrow", "ray") if find_spec(name) is None]
    if missing:
        raise TunesmithError(
            f"this needs {', '.join(missing)}, which the slim install does not have",
            fix='pip install "tunesmith[train]"; `tunesmith doctor` shows what this machine has',
        )
