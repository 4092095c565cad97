"""The alias moves to the version that has won."""

from __future__ import annotations

from tunesmith.errors import StoreError
from tunesmith.experiment.experiment import Experiment
from tunesmith.registry.reference import parse_reference
from tunesmith.registry.registry import Registry

CHAMPION = "champion"
"""The alias that a bare name means, where it is set."""


def move_champion(registry: Registry, experiment: Experiment, variant: str, who: str, why: str) -> None:
    """Point the name's champion at a variant's version; where it points there already nothing happens.

    Raises StoreError for a variant that is a prompt: no alias can point at one.
    """
    version = experiment.variants[variant].version if variant in experiment.variants else None
    if version is None:
        raise StoreError(
            f"'{variant}' of {experiment.id} is a prompt of the base model, and an alias points at versions",
            where="variant",
            fix="let your application send the prompt to the base model, and roll the experiment back",
        )
    number = parse_reference(version).number
    pointing = {alias.alias: alias.number for alias in registry.aliases(experiment.name)}
    if number is not None and pointing.get(CHAMPION) != number:
        registry.move_alias(experiment.name, CHAMPION, number, who, f"{experiment.id}: {why}"[:4000])
