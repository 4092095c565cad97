"""What `tunesmith experiment` is given, understood: versions, prompts, goals, steps, weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from tunesmith.experiment.experiment import Variant
    from tunesmith.registry.registry import Registry


def answers(registry: Registry, name: str) -> str:
    """What a bare name means to clients: its champion, or the newest that passed."""
    from tunesmith.experiment.promote import CHAMPION

    has_champion = any(alias.alias == CHAMPION for alias in registry.aliases(name))
    return f"{name}@{CHAMPION}" if has_champion else name


def variant_of(registry: Registry, text: str) -> tuple[str, Variant]:
    """`key=name@3`, or a version, whose key is then `v3`. Raises RegistryError."""
    from tunesmith.experiment.experiment import Variant

    key, separator, reference = text.partition("=")
    found = registry.resolve(reference if separator else text)
    return key if separator else f"v{found.number}", Variant(version=found.reference)


def prompt_of(path: Path) -> Variant:
    """A prompt of the base model: a file with a JSON list of messages. Raises TunesmithError."""
    from pydantic import ValidationError

    from tunesmith.errors import TunesmithError
    from tunesmith.experiment.experiment import Variant

    try:
        return Variant(messages=tuple(json_of(path)))
    except (ValidationError, TypeError):
        raise TunesmithError(
            "this is not a prompt", where=str(path), fix='write a list: [{"role": "system", "content": "..."}]'
        ) from None


def json_of(path: Path) -> Any:
    """What a JSON file holds. Raises TunesmithError."""
    from tunesmith.errors import TunesmithError

    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise TunesmithError(f"this is not JSON: {error}", where=str(path)) from None


def goal_of(text: str) -> Any:
    """`NAME`, `NAME:lower`, `NAME:0.02`. Raises UsageError."""
    from pydantic import ValidationError

    from tunesmith.experiment.experiment import Goal

    name, *rest = text.split(":")
    numbers = [part for part in rest if part not in ("lower", "higher")]
    try:
        return Goal(
            name=name, better="lower" if "lower" in rest else "higher", matters=float(numbers[0]) if numbers else 0.0
        )
    except (ValueError, ValidationError):
        raise click.UsageError(f"'{text}' is not a goal: NAME, NAME:lower or NAME:0.02") from None


def steps_of(text: str) -> tuple[float, ...]:
    """`1,5,25,50`. Raises UsageError."""
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        found = ()
    if not found or not all(0 < step <= 100 for step in found) or sorted(found) != list(found):
        raise click.UsageError(f"'{text}' are not steps: per cents that go up, 1,5,25,50")
    return found


def pair_of(text: str) -> tuple[str, float]:
    """`VARIANT=PER_CENT`. Raises UsageError."""
    key, separator, value = text.partition("=")
    try:
        if separator:
            return key, float(value)
    except ValueError:
        pass
    raise click.UsageError(f"'{text}' is not a weight: write VARIANT=PER_CENT")
