"""What the registry keeps and hands back: versions, aliases, moves. All of them frozen, all of them JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal

Kind = Literal["adapter", "full"]
Verdict = Literal["passed", "failed", "unevaluated"]
Json = dict[str, Any]


@dataclass(frozen=True)
class NewVersion:
    """What a run knows about the version it wants registered. The registry adds number, content hash, place and time.

    `recipe` is the resolved recipe and `recipe_hash` its hash; `dataset_version` and `run_id` name where the version
    comes from; `report` is the evaluation in short and `report_uri` the whole of it; `metrics` are numbers by name;
    `reasons` say why the gate gave its verdict.
    """

    name: str
    kind: Kind
    base_model: str
    recipe_hash: str
    recipe: Json
    created_by: str
    base_revision: str | None = None
    dataset_version: str | None = None
    run_id: str | None = None
    report: Json | None = None
    report_uri: str | None = None
    verdict: Verdict = "unevaluated"
    reasons: tuple[str, ...] = ()
    metrics: Json = field(default_factory=dict)

    def to_json(self) -> Json:
        """The fields as JSON values."""
        return _json(self)


@dataclass(frozen=True)
class Version:
    """A registered model version. Nothing about it ever changes.

    `chosen_by` says how a reference led here ('number', 'alias champion', 'latest passed', 'latest, none has passed');
    it is no part of the version and does not count in comparisons.
    """

    name: str
    number: int
    content_hash: str
    kind: Kind
    base_model: str
    base_revision: str | None
    recipe_hash: str
    recipe: Json
    dataset_version: str | None
    run_id: str | None
    artefact_uri: str
    report: Json | None
    report_uri: str | None
    verdict: Verdict
    reasons: tuple[str, ...]
    metrics: Json
    created_at: datetime
    created_by: str
    chosen_by: str = field(default="number", compare=False)

    @property
    def reference(self) -> str:
        """`name@N`, which always means this version."""
        return f"{self.name}@{self.number}"

    def to_json(self) -> Json:
        """The fields as JSON values and the `reference`; times in ISO 8601, UTC."""
        return {"reference": self.reference, **_json(self)}


@dataclass(frozen=True)
class Alias:
    """Where an alias points now, and who moved it there, when and why."""

    name: str
    alias: str
    number: int
    moved_at: datetime
    moved_by: str
    why: str

    def to_json(self) -> Json:
        """The fields as JSON values; times in ISO 8601, UTC."""
        return _json(self)


@dataclass(frozen=True)
class AliasMove:
    """One move of an alias. `from_number` is None for the first; `forced` when the version had failed its gate."""

    name: str
    alias: str
    from_number: int | None
    to_number: int
    moved_at: datetime
    moved_by: str
    why: str
    forced: bool

    def to_json(self) -> Json:
        """The fields as JSON values; times in ISO 8601, UTC."""
        return _json(self)


def _json(value: NewVersion | Version | Alias | AliasMove) -> Json:
    fields = asdict(value)
    for key, item in fields.items():
        if isinstance(item, datetime):
            fields[key] = item.isoformat()
        elif isinstance(item, tuple):
            fields[key] = list(item)
    return fields
