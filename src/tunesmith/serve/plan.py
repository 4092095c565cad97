"""From a recipe or a registered version to engine and gateway: everything that can be refused is refused here."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from tunesmith.data.pin_date import pin_date, template_of
from tunesmith.errors import ModelError, StoreError
from tunesmith.experiment.promote import CHAMPION
from tunesmith.keys.keyring import Keyring
from tunesmith.models.resolve import ResolvedModel, resolve_model
from tunesmith.models.servable import CONFIG, adapter_config, rank_for
from tunesmith.recipe.model import ModelSection
from tunesmith.recipe.serve import ServeSection
from tunesmith.registry.registry import Registry
from tunesmith.registry.version import Version
from tunesmith.serve.spec import OWN, EngineSpec, GatewaySpec, ServeError
from tunesmith.store.database import Database
from tunesmith.store.home import Home

ENGINE = "base"


@dataclass(frozen=True)
class Plan:
    """What will be started: engines, the gateway, where it listens, and the base model, where one is served."""

    engines: tuple[EngineSpec, ...]
    gateway: GatewaySpec
    host: str
    port: int
    base: ResolvedModel | None


def plan_serving(name: str, model: ModelSection, section: ServeSection, home: Home, start: Path) -> Plan:
    """Check names, base model and access. `start` is where relative paths begin.

    A name that means a full fine-tune gets an engine of its own; the base one, where anything is an adapter or nothing
    is registered.

    Raises RegistryError for a name without versions, ModelError when the base cannot be had, ServeError when the
    endpoint would be open to others than this machine.
    """
    check_access(section, home)
    names = tuple(dict.fromkeys((name, *section.names)))
    full, adapters = _full(home, names)
    base = resolve_model(model, start, home.models) if adapters or not full else None
    if base is None and section.fast is not None:
        raise ServeError(
            "a full fine-tune is in an engine's weights already", where="serve.fast", fix="leave serve.fast out"
        )
    engines = [_own_engine(version, folder, section) for version, folder in full]
    if base is not None:
        engines.insert(0, _base_engine(base, model, section, home, names))
    engines = [
        one.model_copy(update={"name": f"full-{number}" if number else ENGINE}) for number, one in enumerate(engines)
    ]
    gateway = GatewaySpec(
        engines=tuple(engines),
        names=names,
        address=f"http://{_reachable(section.host)}:{section.port}",
        limits=section.limits,
        keys=section.keys,
        copies=section.gateways,
        parity=section.parity,
    )
    return Plan(tuple(engines), gateway, section.host, section.port, base)


def _base_engine(
    base: ResolvedModel, model: ModelSection, section: ServeSection, home: Home, names: tuple[str, ...]
) -> EngineSpec:
    return EngineSpec(
        name=ENGINE,
        model=base_name(model.source),
        source=str(base.folder),
        revision=base.revision,
        settings=section.engine,
        max_rank=section.engine.max_rank or rank_for(_ranks(home, names, base.revision), section.fast is not None),
        template=_dated(base.folder),
        fast=_fast(section, names),
    )


def _own_engine(version: Version, folder: Path, section: ServeSection) -> EngineSpec:
    return EngineSpec(
        name=ENGINE,
        model=version.reference,
        source=str(folder),
        revision=f"{OWN}{version.reference}",
        settings=section.engine,
        template=_dated(folder),
    )


def _full(home: Home, names: tuple[str, ...]) -> tuple[list[tuple[Version, Path]], bool]:
    """The full fine-tunes that names mean now, champions before the newest; and whether any version is an adapter."""
    registry = Registry.open(home)
    try:
        known = {version.name for version in registry.versions()}
        found, adapters = [], False
        for name in (one for one in names if one in known):
            adapters = adapters or any(version.kind == "adapter" for version in registry.versions(name))
            champion = any(one.alias == CHAMPION for one in registry.aliases(name))
            version = registry.resolve(f"{name}@{CHAMPION}" if champion else name)
            if version.kind != "adapter":
                found.append((version, registry.fetch(version)))
        return found, adapters
    finally:
        registry.close()


def _fast(section: ServeSection, names: tuple[str, ...]) -> str | None:
    if (wanted := section.fast) is None:
        return None
    if section.parity == "off":
        raise ServeError(
            "merged weights are compared with what the parity check has seen, and that is off",
            where="serve.fast",
            fix="leave out serve.parity, or serve.fast",
        )
    name, at, alias = wanted.partition("@")
    if name not in names or (at and (not alias or alias.isdigit())):
        raise ServeError(
            f"'{wanted}' is no served name and no alias of one",
            where="serve.fast",
            fix=f"give {names[0]} or {names[0]}@champion",
        )
    return wanted


def check_access(section: ServeSection, home: Home) -> None:
    """Refuse an endpoint that others can reach and nobody needs a key for. Raises ServeError."""
    if is_loopback(section.host):
        return
    if section.keys == "off":
        raise ServeError(
            f"{section.host} can be reached from other machines, and there keys cannot be off",
            where="serve.keys",
            fix="leave it out, or listen on 127.0.0.1",
        )
    keyring = Keyring(Database.open(home.database_url))
    if not any(key.revoked_at is None for key in keyring.every()):
        raise ServeError(
            f"{section.host} can be reached from other machines, and there is no API key yet",
            where="serve.host",
            fix="tunesmith keys create TENANT",
        )


def is_loopback(host: str) -> bool:
    """Whether an address is this machine's own."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def base_name(source: str) -> str:
    """What clients call a base model: a hub id or short name as it is, a folder or file by its name."""
    local = source.startswith((".", "/", "~")) or "://" in source or source.lower().endswith(".gguf")
    return Path(source.rstrip("/")).name if local else source


def _dated(folder: Path) -> str | None:
    """The base's chat template with the day it was trained with, if it writes one."""
    source = template_of(folder)
    pinned = pin_date(source) if source is not None else None
    return pinned if pinned != source else None


def _ranks(home: Home, names: tuple[str, ...], revision: str) -> list[int]:
    """The ranks of every adapter that may be served."""
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
                    found.append(rank if isinstance(rank, int) else 0)
    finally:
        registry.close()
    return found


def _reachable(host: str) -> str:
    """Where the gateway finds Serve's proxy, which listens on this host."""
    if host in ("0.0.0.0", "::"):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
