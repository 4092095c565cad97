"""Engines by what their weights are: the base, the base as QLoRA versions have it beside them, a full fine-tune."""

from __future__ import annotations

import logging
from pathlib import Path

from tunesmith.data.pin_date import pin_date, template_of
from tunesmith.errors import ModelError, StoreError
from tunesmith.models.load import own_dtype
from tunesmith.models.resolve import ResolvedModel
from tunesmith.models.servable import CONFIG, adapter_config, rank_for
from tunesmith.recipe.method import MethodSection
from tunesmith.recipe.model import ModelSection
from tunesmith.recipe.serve import ServeSection
from tunesmith.registry.registry import Registry
from tunesmith.registry.version import Version
from tunesmith.serve.catalogue import method_of
from tunesmith.serve.hardware import on_this_hardware
from tunesmith.serve.spec import OWN, EngineSpec
from tunesmith.store.home import Home

ENGINE = "base"
log = logging.getLogger(__name__)


def base_engines(
    base: ResolvedModel, model: ModelSection, section: ServeSection, home: Home, names: tuple[str, ...],
    fast: str | None,
) -> list[EngineSpec]:  # fmt: skip
    """One for each way in which the base was rounded beside versions of these names, the base as it is first.

    A rounded base is written to the home's cache where it is not there yet. Raises ModelError when that cannot be done.
    """
    methods: dict[str | None, MethodSection] = {}
    ranks: dict[str | None, list[int]] = {}
    engine = on_this_hardware(section.engine, base.folder)
    for version, rank in _adapters(home, names, base.revision):
        method = method_of(version)
        methods[method.rounding] = method
        ranks.setdefault(method.rounding, []).append(rank)
    found = []
    for rounding in sorted(methods, key=lambda one: one or "") or [None]:
        wanted = section.engine.max_rank or rank_for(ranks.get(rounding, []), fast is not None)
        rounded = None
        if rounding is not None:
            from tunesmith.models.quantise import rounded_copy

            dtype = own_dtype(base.folder) if engine.dtype == "auto" else engine.dtype
            own = model.model_copy(update={"dtype": dtype})
            try:
                rounded = str(rounded_copy(base.folder, own, methods[rounding], home.models))
            except ModelError as error:
                if len(methods) == 1:
                    raise
                log.warning("versions trained beside %s are not served: %s", rounding, error.what)
                continue
        found.append(
            EngineSpec(
                name=rounding if found and rounding else ENGINE,
                model=base_name(model.source) + (f"-{rounding}" if rounding else ""),
                source=str(base.folder),
                revision=base.revision,
                rounding=rounding,
                rounded=rounded,
                settings=engine,
                max_rank=wanted,
                template=_dated(base.folder),
                fast=fast,
            )
        )
    return found


def own_engine(version: Version, folder: Path, section: ServeSection, name: str) -> EngineSpec:
    """Of a full fine-tune, whose files lie in `folder`."""
    return EngineSpec(
        name=name,
        model=version.reference,
        source=str(folder),
        revision=f"{OWN}{version.reference}",
        settings=on_this_hardware(section.engine, folder),
        template=_dated(folder),
    )


def base_name(source: str) -> str:
    """What clients call a base model: a hub id or short name as it is, a folder or file by its name."""
    local = source.startswith((".", "/", "~")) or "://" in source or source.lower().endswith(".gguf")
    return Path(source.rstrip("/")).name if local else source


def _dated(folder: Path) -> str | None:
    """The base's chat template with the day it was trained with, if it writes one."""
    source = template_of(folder)
    pinned = pin_date(source) if source is not None else None
    return pinned if pinned != source else None


def _adapters(home: Home, names: tuple[str, ...], revision: str) -> list[tuple[Version, int]]:
    """Every adapter on this base that may be served, with its rank."""
    registry = Registry.open(home)
    found = []
    try:
        known = {version.name for version in registry.versions()}
        for name in names:
            for version in registry.versions(name) if name in known else ():
                if version.kind == "adapter" and version.base_revision == revision:
                    try:
                        rank = adapter_config(registry.read(version, CONFIG)).get("r")
                    except (StoreError, ModelError):
                        continue  # the gateway says of it why it is not served
                    found.append((version, rank if isinstance(rank, int) else 0))
    finally:
        registry.close()
    return found
