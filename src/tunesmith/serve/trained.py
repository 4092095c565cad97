"""A version as its trainer has it, to be compared with an engine: an adapter on its base, or weights of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.errors import ModelError
from tunesmith.serve.spec import EngineSpec

if TYPE_CHECKING:
    from tunesmith.models.tuned import Tuned
    from tunesmith.recipe.model import ModelSection
    from tunesmith.registry.version import Version
    from tunesmith.store.home import Home


@dataclass(frozen=True)
class Trained:
    """The trainer's side of a version: the folder with its tokenizer, how that and the weights are loaded, the system
    message of its data, the template that lies beside it. `load` takes that section with the type to compute in.
    `has_base` says whether what it gives is an adapter on a base.
    """

    name: str
    folder: Path
    section: ModelSection
    system: str | None
    template: str | None
    load: Callable[[ModelSection], Any]
    has_base: bool


def trained_adapter(tuned: Tuned) -> Trained:
    """Of a version that is an adapter."""
    from tunesmith.models.load import choose_device
    from tunesmith.serve.catalogue import TEMPLATE

    file = tuned.adapter / TEMPLATE
    template = file.read_text(encoding="utf-8") if file.is_file() else None
    return Trained(
        tuned.name, tuned.base.folder, tuned.section, tuned.system, template,
        lambda section: replace(tuned, section=section).load(choose_device()), True,
    )  # fmt: skip


def trained_whole(version: Version, folder: Path) -> Trained:
    """Of a version that is a model of its own."""
    from tunesmith.models.load import choose_device, load_base
    from tunesmith.recipe.model import ModelSection

    section = ModelSection(source=str(folder))
    return Trained(
        version.reference, folder, section, (version.recipe.get("data") or {}).get("system"), None,
        lambda section: load_base(folder, section, choose_device()), False,
    )  # fmt: skip


def find_trained(reference: str, spec: EngineSpec, home: Home) -> Trained:
    """Of a registered version that an engine serves. Raises RegistryError, StoreError or ModelError."""
    from tunesmith.models.tuned import find_tuned
    from tunesmith.registry.registry import Registry

    if spec.version is not None:
        registry = Registry.open(home, create=False)
        try:
            version = registry.resolve(reference)
            return trained_whole(version, registry.fetch(version))
        finally:
            registry.close()
    try:
        tuned = find_tuned(reference, home, Path.cwd())
    except ModelError:  # the recipe's own name for its base means nothing here
        tuned = find_tuned(reference, home, Path.cwd(), spec.source)
    if spec.rounding == "int8":
        # In training it rounds activations as well, which no engine does: what can agree are the weights.
        base = replace(tuned.base, folder=Path(spec.weights))
        tuned = replace(tuned, base=base, recipe={**tuned.recipe, "method": {}})
    return trained_adapter(tuned)
