"""What an engine and a gateway are started from: plain values that fit into a Serve config file."""

from __future__ import annotations

import os
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from tunesmith.errors import TunesmithError
from tunesmith.recipe.monitor import TrafficSection
from tunesmith.recipe.serve import EngineSection, LimitsSection

TOKEN = "TUNESMITH_ENGINE_TOKEN"
"""Environment variable with the secret that gateways show to engines. Nobody else may talk to an engine."""

OWN = "version:"
"""How the revision of an engine begins whose weights are a registered version's: `version:summaries@3`."""

ROUTE = "/engines"
"""Engines answer under this path, the gateway under every other."""


class ServeError(TunesmithError):
    """The application cannot be started as asked."""


class Spec(BaseModel):
    """Closed to unknown keys, like a recipe."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class EngineSpec(Spec):
    """One vLLM engine: what it is called, its base model, what it may do.

    `model` is the base as clients call it; `source` a hub id, a folder or an object-store URL; `revision` what versions
    must have been trained on, `commit:...` or `sha256:...`, or `version:NAME@N` of a full fine-tune, a base of its own;
    `template` the base's chat template where it has to be sent with every request, because it would write today's date;
    `fast` the name or alias whose version is merged into the weights; `rounding` what was done to the base's weights,
    as QLoRA versions were trained beside them, and `rounded` the folder with what came of it.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")
    model: str
    source: str
    revision: str
    settings: EngineSection = EngineSection()
    max_rank: int = 16
    template: str | None = None
    fast: str | None = None
    rounding: str | None = None
    rounded: str | None = None

    @property
    def weights(self) -> str:
        """Where the weights are that the engine begins with."""
        return self.rounded or self.source

    @property
    def version(self) -> str | None:
        """The registered version whose full weights it has; None where versions are adapters on a base."""
        return self.revision.removeprefix(OWN) if self.revision.startswith(OWN) else None

    @property
    def version_rank(self) -> int:
        """Largest rank of a version: beside one that is merged, another's rank is the sum of both."""
        return self.max_rank if self.fast is None else self.max_rank // 2

    @property
    def route(self) -> str:
        """Path under which Serve routes to it."""
        return f"{ROUTE}/{self.name}"

    @property
    def kind(self) -> str:
        """What a parity check holds for: engines of the same base and type say the same."""
        return f"{self.revision[:100]} {self.rounding + ' ' if self.rounding else ''}{self.settings.dtype}"


class GatewaySpec(Spec):
    """The gateway: engines it knows, names it serves, who may ask for what.

    `address` is where Serve's proxy listens as seen from the gateway. `names` are registered names; every version of
    them that an engine can serve is offered. `keys` says when a request needs an API key: `auto` is as soon as there is
    one, and only for an endpoint on loopback. `parity`: whether versions are compared with the trainer's model first.
    `traffic` is what is written down of requests as text; without it nothing is.
    """

    engines: tuple[EngineSpec, ...]
    names: tuple[str, ...]
    address: str = "http://127.0.0.1:8000"
    limits: LimitsSection = LimitsSection()
    keys: Literal["auto", "required", "off"] = "required"
    copies: int = 1
    parity: Literal["required", "off"] = "off"
    traffic: TrafficSection | None = None


def engine_token() -> str:
    """The secret between gateways and engines. Raises ServeError where there is none."""
    token = os.environ.get(TOKEN, "")
    if len(token) < 16:
        raise ServeError(
            "engines and gateways need a secret in common",
            where=TOKEN,
            fix='set it to a random text: python -c "import secrets; print(secrets.token_urlsafe(32))"',
        )
    return token
