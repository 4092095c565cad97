"""What the names that clients put in `model` mean now: read from the registry, and again whenever it changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from tunesmith.data.pin_date import pin_date
from tunesmith.errors import ModelError, StoreError, did_you_mean
from tunesmith.experiment.promote import CHAMPION
from tunesmith.models.servable import CONFIG, adapter_config, why_not
from tunesmith.recipe.method import MethodSection
from tunesmith.registry.registry import Registry
from tunesmith.registry.version import Version
from tunesmith.serve.problem import Problem
from tunesmith.serve.spec import OWN, EngineSpec

MAX_NAME = 200

Checks = Mapping[tuple[str, str], tuple[bool, str]]
"""Version and kind of engine -> whether its parity check passed, and the sentence of one that did not."""

TEMPLATE = "chat_template.jinja"


@dataclass(frozen=True)
class Target:
    """Who answers: a version as an adapter on an engine, or an engine's base model.

    `model` is what the engine calls it and the answer's `model` says. `template` is the chat template it was trained
    with where that is not the base's, `system` the system message its training data was given. `messages` stand before
    the client's: the prompt of an experiment's variant.
    """

    model: str
    engine: EngineSpec
    version: str | None = None
    template: str | None = None
    system: str | None = None
    messages: tuple[dict[str, str], ...] = ()
    created: int = 0
    lineage: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Catalogue:
    """Targets by version and by base; what aliases point at; versions that cannot be served, with the reason, and those
    whose parity with the trainer's model is still to be checked."""

    targets: dict[str, Target]
    aliases: dict[str, str]
    refused: dict[str, str]
    unchecked: dict[str, EngineSpec] = field(default_factory=dict)

    def find(self, model: object) -> Target:
        """Who answers to a name: a version, an alias, a name alone, or a base model. Raises Problem."""
        if not isinstance(model, str) or not model:
            raise Problem(400, "say which model is asked", "missing_model", "model")
        if len(model) <= MAX_NAME:
            name = self.aliases.get(model, model)
            if (target := self.targets.get(name)) is not None:
                return target
            if name in self.unchecked:
                wait = {"Retry-After": "15"}
                raise Problem(503, f"{name} is being compared with the trainer's model", "not_checked", "model", wait)
            if (reason := self.refused.get(name)) is not None:
                raise Problem(404, f"{name} is not served: {reason}", "model_not_served", "model")
        near = did_you_mean(model[:MAX_NAME], [*self.aliases, *self.targets])
        shown = ascii(model[:80])
        raise Problem(404, f"there is no model {shown}; {near}", "model_not_found", "model")

    def cards(self) -> list[dict[str, Any]]:
        """OpenAI's list of models: bases, versions, and aliases with what they point at now."""
        found = [card(name, target) for name, target in self.targets.items()]
        for alias, name in self.aliases.items():
            if name in self.targets:
                found.append(card(alias, self.targets[name]) | {"alias_of": name})
        return found


def card(name: str, target: Target) -> dict[str, Any]:
    """One model as OpenAI's API describes it, with where it comes from."""
    parent = None if target.version is None else target.engine.model
    return {
        "id": name, "object": "model", "created": target.created, "owned_by": "tunesmith", "parent": parent,
        "root": target.model, "lineage": target.lineage,
    }  # fmt: skip


def read_catalogue(
    registry: Registry,
    engines: Iterable[EngineSpec],
    names: Iterable[str],
    checks: Checks | None = None,
    known: dict[str, Target] | None = None,
) -> Catalogue:
    """Everything that is served now. `engines` are those that are up, `names` the registered names that are offered.

    With `checks`, what parity checks have said, only versions that passed theirs are served. `known` remembers from one
    reading to the next what was read of versions, which never change. Raises StoreError when the registry is gone.
    """
    specs = list(engines)
    by_base = {(spec.revision, spec.rounding): spec for spec in specs}
    bases = [spec for spec in specs if spec.version is None]
    targets = {spec.model: Target(spec.model, spec, lineage={"revision": spec.revision}) for spec in bases}
    aliases: dict[str, str] = {}
    refused: dict[str, str] = {}
    unchecked: dict[str, EngineSpec] = {}
    known = {} if known is None else known
    for name in names:
        for version in registry.versions(name):
            reference = version.reference
            try:
                target = known.get(reference) or _target(registry, version, by_base)
                known[reference] = target
            except (ModelError, StoreError) as error:
                refused[reference] = error.what
                continue
            passed, reason = (True, "") if checks is None else checks.get((reference, target.engine.kind), (None, ""))
            if passed:
                targets[reference] = target
            elif passed is None:
                unchecked[reference] = target.engine
            else:
                refused[reference] = reason
        aliases |= _aliases(registry, name, targets)
    return Catalogue(targets, aliases, refused, unchecked)


def _aliases(registry: Registry, name: str, served: dict[str, Target]) -> dict[str, str]:
    """`name@alias` for each alias, and the bare name: the champion, or the newest that passed its gate.

    An alias that has moved to a version that is not served (yet) goes on meaning the one before.
    """
    found = {}
    for alias in registry.aliases(name):
        moves = [f"{name}@{move.to_number}" for move in reversed(registry.history(name, alias.alias))]
        found[f"{name}@{alias.alias}"] = next((one for one in moves if one in served), moves[0])
    versions = list(reversed(registry.versions(name)))
    ranked = [one.reference for one in versions if one.verdict == "passed"] + [registry.resolve(name).reference]
    found[name] = found.get(f"{name}@{CHAMPION}") or next((one for one in ranked if one in served), ranked[0])
    return found


def method_of(version: Version) -> MethodSection:
    """How a version was trained; as the recipe says, or `lora` where there is none or one of another release."""
    try:
        return MethodSection.model_validate(version.recipe.get("method") or {})
    except ValidationError:
        return MethodSection()


def _target(registry: Registry, version: Version, by_base: dict[tuple[str, str | None], EngineSpec]) -> Target:
    if version.kind != "adapter":
        if (spec := by_base.get((f"{OWN}{version.reference}", None))) is None:
            raise ModelError("it holds full weights, and no engine has been started with them")
        return Target(
            spec.model, spec, version.reference, spec.template, _system(version),
            created=_seconds(version), lineage=_lineage(version),
        )  # fmt: skip
    revision, rounding = version.base_revision or "", method_of(version).rounding
    spec = by_base.get((revision, rounding))
    if spec is None:
        if any(one == revision for one, _ in by_base):
            as_trained = f"rounded to {rounding}" if rounding else "as it is"
            raise ModelError(f"it was trained beside a base {as_trained}, and no engine has been started with that")
        known = ", ".join(sorted({one[:19] for one, _ in by_base if not one.startswith(OWN)})) or "none"
        raise ModelError(f"its base is {version.base_model} of revision {revision[:19] or '?'}, "
                         f"and the engines have {known}")  # fmt: skip
    if (reason := why_not(adapter_config(registry.read(version, CONFIG)), spec.version_rank)) is not None:
        raise ModelError(reason)
    template = registry.read(version, TEMPLATE)
    return Target(
        model=version.reference,
        engine=spec,
        version=version.reference,
        template=spec.template if template is None else pin_date(template.decode("utf-8")),
        system=_system(version),
        created=_seconds(version),
        lineage=_lineage(version),
    )


def _system(version: Version) -> str | None:
    return (version.recipe.get("data") or {}).get("system")


def _seconds(version: Version) -> int:
    return int(version.created_at.timestamp())


def _lineage(version: Version) -> dict[str, Any]:
    return {
        "version": version.reference, "base_model": version.base_model, "base_revision": version.base_revision,
        "content_hash": version.content_hash, "recipe_hash": version.recipe_hash, "run_id": version.run_id,
        "dataset_version": version.dataset_version, "verdict": version.verdict,
    }  # fmt: skip
