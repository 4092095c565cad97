"""From a recipe or a registered version to engine and gateway: everything that can be refused is refused here."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from tunesmith.experiment.promote import CHAMPION
from tunesmith.keys.keyring import Keyring
from tunesmith.models.resolve import ResolvedModel, resolve_model
from tunesmith.recipe.model import ModelSection
from tunesmith.recipe.monitor import TrafficSection
from tunesmith.recipe.serve import ServeSection
from tunesmith.registry.registry import Registry
from tunesmith.registry.version import Version
from tunesmith.serve.bases import ENGINE, base_engines, own_engine
from tunesmith.serve.spec import EngineSpec, GatewaySpec, ServeError
from tunesmith.store.database import Database
from tunesmith.store.home import Home


@dataclass(frozen=True)
class Plan:
    """What will be started: engines, the gateway, where it listens, and the base model, where one is served."""

    engines: tuple[EngineSpec, ...]
    gateway: GatewaySpec
    host: str
    port: int
    base: ResolvedModel | None


def plan_serving(
    name: str,
    model: ModelSection,
    section: ServeSection,
    home: Home,
    start: Path,
    traffic: TrafficSection | None = None,
) -> Plan:
    """Check names, base model and access. `start` is where relative paths begin, `traffic` what is written down of
    requests, of all names alike.

    A name that means a full fine-tune gets an engine of its own; the base one, where anything is an adapter or nothing
    is registered, and one more for each way in which the base was rounded beside QLoRA versions.

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
    engines = base_engines(base, model, section, home, names, _fast(section, names)) if base is not None else []
    for version, folder in full:
        engines.append(own_engine(version, folder, section, f"full-{len(engines)}" if engines else ENGINE))
    gateway = GatewaySpec(
        engines=tuple(engines),
        names=names,
        address=f"http://{_reachable(section.host)}:{section.port}",
        limits=section.limits,
        keys=section.keys,
        copies=section.gateways,
        parity=section.parity,
        traffic=traffic,
    )
    return Plan(tuple(engines), gateway, section.host, section.port, base)


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


def _reachable(host: str) -> str:
    """Where the gateway finds Serve's proxy, which listens on this host."""
    if host in ("0.0.0.0", "::"):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
