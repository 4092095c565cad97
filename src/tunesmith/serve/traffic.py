"""Which variant of an experiment answers a request: by the user, the same every time."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace

from tunesmith.experiment.assignment import slot_of
from tunesmith.experiment.evidence import FORCED, INSTEAD, LIVE
from tunesmith.experiment.experiment import CONTROL, Experiment, Variant
from tunesmith.experiment.promote import CHAMPION
from tunesmith.serve.access import Caller
from tunesmith.serve.catalogue import Catalogue, Target
from tunesmith.serve.problem import Problem, refused

SESSION_HEADER, FORCE_HEADER = "x-session-id", "x-tunesmith-variant"
MAX_USER = 512


@dataclass(frozen=True)
class Routed:
    """Who answers, and as what in which experiment. `unit` stands for the user, and does not say who that is."""

    target: Target
    experiment: Experiment | None = None
    variant: str | None = None
    unit: str | None = None
    role: str = LIVE
    shadows: tuple[tuple[str, Target], ...] = ()


@dataclass(frozen=True)
class Traffic:
    """The experiments that run, by the names that clients ask for, with the owner of each slot."""

    by_name: dict[str, Experiment]
    owners: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, experiments: Iterable[Experiment]) -> Traffic:
        """Of those that run. An experiment is on a bare name, and on its champion, which is the same."""
        found: dict[str, Experiment] = {}
        owners = {}
        for experiment in experiments:
            found[experiment.name] = found[f"{experiment.name}@{CHAMPION}"] = experiment
            owners[experiment.id] = [name for name, length in experiment.slots().runs for _ in range(length)]
        return cls(found, owners)

    def route(
        self, model: object, user: object, session: str | None, forced: str | None, caller: Caller, catalogue: Catalogue
    ) -> Routed:
        """Who answers. Raises Problem for a model that there is not, or a variant that may not be asked for."""
        experiment = self.by_name.get(model) if isinstance(model, str) else None
        if experiment is None:
            if forced is not None:
                raise Problem(400, f"there is no experiment on {str(model)[:80]!a}", "no_experiment", "model")
            return Routed(catalogue.find(model))
        unit = unit_of(user, session, caller)
        if forced is not None:
            return self._forced(experiment, forced, unit, caller, catalogue)
        variant = self.owners[experiment.id][slot_of(experiment.salt, unit)]
        try:
            target = variant_target(catalogue, experiment, variant)
        except Problem:
            # Its version is not served: the control answers, and that counts for neither.
            return Routed(variant_target(catalogue, experiment, CONTROL), experiment, variant, unit, INSTEAD)
        shadows = []
        for name in experiment.treatments if experiment.stage == "shadow" else ():
            with suppress(Problem):
                shadows.append((name, variant_target(catalogue, experiment, name)))
        return Routed(target, experiment, variant, unit, LIVE, tuple(shadows))

    def _forced(self, experiment: Experiment, forced: str, unit: str, caller: Caller, catalogue: Catalogue) -> Routed:
        if "admin" not in caller.scopes:
            raise Problem(403, f"{FORCE_HEADER} needs an API key with the scope 'admin'", "no_scope")
        if forced not in experiment.variants:
            known = ", ".join(experiment.variants)
            raise Problem(400, f"{experiment.id} has no variant {forced[:40]!a}; it has {known}", "no_variant")
        return Routed(variant_target(catalogue, experiment, forced), experiment, forced, unit, FORCED)


def unit_of(user: object, session: str | None, caller: Caller) -> str:
    """Stands for a user: the body's `user`, the session, or the API key; a request of nobody is one by itself.

    A hash, and of the tenant too: two tenants' users are never the same, and nobody's name is kept.
    """
    if user is not None and (not isinstance(user, str) or len(user) > MAX_USER):
        raise refused("user", f"user is a text of at most {MAX_USER} characters")
    if user:
        who = f"user {user}"
    elif session:
        who = f"session {session[:MAX_USER]}"
    elif caller.key is not None:
        who = f"key {caller.key.id}"
    else:
        who = f"nobody {secrets.token_hex(16)}"
    return hashlib.sha256(f"{caller.tenant}\0{who}".encode()).hexdigest()[:32]


def variant_target(catalogue: Catalogue, experiment: Experiment, name: str) -> Target:
    """Who answers for a variant. Raises Problem where its version is not served."""
    variant: Variant = experiment.variants[name]
    if variant.version is not None:
        return replace(catalogue.find(variant.version), messages=variant.messages)
    # A prompt is of the base that the control's version stands on.
    control = experiment.variants[CONTROL]
    engine = catalogue.find(control.version).engine if control.version else None
    if engine is None:
        engine = next(iter(catalogue.targets.values())).engine
    return replace(catalogue.find(engine.model), messages=variant.messages)
