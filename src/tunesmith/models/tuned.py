"""From a reference to everything a tuned model is made of: adapter, base, template, and the recipe behind them."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.errors import ModelError
from tunesmith.models.lora import CONFIG, TEMPLATE
from tunesmith.models.resolve import ResolvedModel, resolve_model
from tunesmith.recipe.method import MethodSection
from tunesmith.recipe.model import ModelSection

if TYPE_CHECKING:
    import torch

    from tunesmith.registry.version import Version
    from tunesmith.store.home import Home


@dataclass(frozen=True)
class Tuned:
    """An adapter and the base it belongs to, both on this machine; no weights are loaded yet.

    `name` is `name@N`, or the folder as the user wrote it; `section` says how to load the base, with the chat template
    the adapter was trained with; `recipe` is the resolved recipe, empty for a folder.
    """

    name: str
    adapter: Path
    base: ResolvedModel
    section: ModelSection
    recipe: dict[str, Any]
    cache: Path
    version: Version | None = None

    @property
    def method(self) -> MethodSection:
        """How it was trained; an adapter that is only a folder counts as `lora`."""
        return MethodSection.model_validate(self.recipe.get("method") or {})

    def load(self, device: torch.device) -> Any:
        """Base and adapter; a base that was quantised in training is quantised here. Raises ModelError."""
        from tunesmith.models.load import load_tuned
        from tunesmith.models.quantise import base_folder

        folder = base_folder(self.base.folder, self.section, self.method, device, self.cache)
        return load_tuned(folder, self.section, self.adapter, device)

    @property
    def system(self) -> str | None:
        """The system message that the training data was given."""
        return (self.recipe.get("data") or {}).get("system")


def find_tuned(reference: str, home: Home, start: Path, model: str | None = None) -> Tuned:
    """Find `name`, `name@N` or `name@alias` in the registry, or a folder written with a slash; then its base model.

    `model` names the base where it is elsewhere now; relative paths begin at `start`. Raises RegistryError for an
    unknown version, ModelError when the base cannot be had or is not the one the version was trained on.
    """
    if os.sep in reference or reference.startswith((".", "~")):
        return _from_folder(reference, home, start, model)
    return _from_registry(reference, home, start, model)


def _from_registry(reference: str, home: Home, start: Path, model: str | None) -> Tuned:
    from tunesmith.registry.registry import Registry

    registry = Registry.open(home, create=False)
    try:
        version = registry.resolve(reference)
        if version.kind != "adapter":
            raise ModelError(
                f"{version.reference} holds full weights, not an adapter",
                where=version.artefact_uri,
                fix="load its folder with transformers or vLLM as it is: it is a model of its own",
            )
        adapter = registry.fetch(version)
    finally:
        registry.close()
    written = version.recipe.get("model") or {"source": version.base_model}
    known = {key: value for key, value in written.items() if key in ModelSection.model_fields}
    section = _section(ModelSection.model_validate(known), adapter, model)
    base = resolve_model(section, start, home.models)
    if version.base_revision and base.revision != version.base_revision:
        raise ModelError(
            f"{version.reference} was trained on '{version.base_model}' of revision {version.base_revision[:19]}, and "
            f"what is found now is {base.revision[:19]}",
            where=str(base.folder),
            fix="bring back the base model it was trained on, or say where it is with --model",
        )
    return Tuned(version.reference, adapter, base, section, version.recipe, home.models, version)


def _from_folder(reference: str, home: Home, start: Path, model: str | None) -> Tuned:
    folder = start / Path(reference).expanduser()
    try:
        named = json.loads((folder / CONFIG).read_text(encoding="utf-8")).get("base_model_name_or_path")
    except (OSError, ValueError, AttributeError):
        raise ModelError(
            f"there is no adapter in {reference}",
            fix=f"name a folder with {CONFIG}, or a version as `tunesmith registry ls` lists them",
        ) from None
    if model is None and not named:
        raise ModelError(f"the adapter in {reference} does not name its base model", fix="name it with --model")
    section = _section(ModelSection(source=str(model or named)), folder, model)
    return Tuned(reference, folder, resolve_model(section, start, home.models), section, {}, home.models)


def _section(section: ModelSection, adapter: Path, model: str | None) -> ModelSection:
    """The recipe's, with the base of the user's choice and the template that lies beside the adapter."""
    changes: dict[str, Any] = {}
    if model is not None:
        changes |= {"source": model, "revision": None}
    if (adapter / TEMPLATE).is_file():
        changes["chat_template"] = str((adapter / TEMPLATE).absolute())
    return section.model_copy(update=changes)
