"""Where jobs are sent: clusters by name, in one file of the user's; no secret is ever in it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints, ValidationError, field_validator, model_validator

from tunesmith.errors import TunesmithError, did_you_mean
from tunesmith.recipe.address import Address
from tunesmith.recipe.section import Section
from tunesmith.recipe.section_file import read_section

PLACE = "tunesmith/targets.yaml"
"""Under `$XDG_CONFIG_HOME`, by default `~/.config`. `TUNESMITH_TARGETS` names another file."""

TOKEN = "RAY_AUTH_TOKEN"
"""The environment variable that Ray's own tools read a token from."""

DATABASE = "TUNESMITH_DATABASE_URL"

Plain = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{0,252}$")]
"""What Kubernetes takes as a name."""

HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]+$")]
Variable = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class TargetError(TunesmithError):
    """A cluster cannot be reached, or will not take the job."""


class KubernetesSection(Section):
    """The service of a RayCluster's head, reached with `kubectl port-forward`."""

    service: Plain
    """Its name: that of the RayCluster, and `-head-svc`."""

    namespace: Plain = "default"
    """The namespace it is in."""

    context: str | None = Field(None, pattern=r"^[^-\s][^\s]*$")
    """The context of your kubeconfig; the current one if left out."""


class Target(Section):
    """A Ray cluster, by the address of its dashboard or by the way to it."""

    address: Address | None = None
    """Such as `https://head.example:8265`; `http://127.0.0.1:8265` behind a tunnel of your own."""

    launcher: str | None = None
    """In its place, a cluster-launcher file (`cluster/aws.yaml`): `ray dashboard` opens the tunnel."""

    kubernetes: KubernetesSection | None = None
    """In its place, a RayCluster on Kubernetes: `kubectl port-forward` opens the tunnel."""

    storage: Address | None = None
    """Where checkpoints, versions and results go: `s3://bucket/prefix`, or a path that all nodes and you see."""

    token_file: str | None = None
    """A file with the cluster's token (`RAY_AUTH_MODE=token`); without one, `RAY_AUTH_TOKEN` is looked for."""

    token_env: Variable = TOKEN
    """The environment variable that holds the token."""

    ca_file: str | None = None
    """Certificates to trust instead of the system's."""

    headers_env: dict[HeaderName, Variable] = Field(default_factory=dict)
    """Further headers, each with the environment variable that holds its value: `{X-Proxy-Key: MY_PROXY_KEY}`."""

    grows: bool | None = None
    """Whether the cluster starts nodes on demand. Ray's newer autoscaler (KubeRay's) does not tell: say it."""

    python: str = Field("python", min_length=1)
    """The interpreter on the head that has the training packages."""

    database_env: Variable = DATABASE
    """The environment variable of the head that holds the URL of the registry's database, for retrains. The URL itself,
    which has a password, is never sent."""

    env: dict[Variable, str] = Field(default_factory=dict)
    """Environment of the job. Ray shows it to everybody who may see its jobs: no secrets."""

    env_from_here: tuple[Variable, ...] = ()
    """Variables that the job gets from your environment. Ray shows their values too: rather give nodes an identity."""

    @field_validator("address")
    @classmethod
    def _http(cls, address: str | None) -> str | None:
        if address is None:
            return None
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(
                f"{address!r} is no address of a dashboard", "write http://HOST:8265, or https:// behind a proxy"
            )
        return address.rstrip("/")

    @model_validator(mode="after")
    def _one_way(self) -> Target:
        ways = [name for name in ("address", "launcher", "kubernetes") if getattr(self, name) is not None]
        if len(ways) != 1:
            said = (
                "there is none of address, launcher and kubernetes" if not ways else f"there are {' and '.join(ways)}"
            )
            raise ValueError(said, "give one of them")
        return self


class TargetsFile(Section):
    """The file."""

    targets: dict[str, Target]
    """Clusters by the name that `--to` takes."""


def default_place() -> Path:
    """Where the file is looked for."""
    if named := os.environ.get("TUNESMITH_TARGETS"):
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / PLACE


def read_targets(path: Path) -> dict[str, Target]:
    """Read and validate the file. Raises RecipeError naming every line that is wrong."""
    return read_section(path, TargetsFile, "a file of targets", "see docs/clusters.md").targets


def find_target(name: str | None, address: str | None, storage: str | None) -> Target:
    """The target of a name, or of an address given instead; with one in the file, no name is needed.

    `storage` goes before the target's own. Raises TargetError where it is not clear what is meant.
    """
    path = default_place()
    if address is not None:
        try:
            found = Target(address=address)
        except ValidationError as error:
            raise TargetError(str(error.errors()[0]["ctx"]["error"].args[0]), where="--address") from None
    else:
        known = read_targets(path) if path.exists() or name is not None else {}
        if name is None and len(known) != 1:
            fix = (
                f"one of {', '.join(sorted(known))}" if known else "give --address, or write the file: docs/clusters.md"
            )
            raise TargetError("no cluster is named", where="--to", fix=fix)
        if name is not None and name not in known:
            raise TargetError(f"there is no target '{name}' in {path}", where="--to", fix=did_you_mean(name, known))
        found = known[name] if name is not None else next(iter(known.values()))
    return found if storage is None else with_storage(found, storage)


def with_storage(target: Target, storage: str) -> Target:
    """The target with another storage. Raises TargetError for one with keys in it: Ray would show them to everybody."""
    try:
        return Target.model_validate({**target.model_dump(), "storage": storage})
    except ValidationError as error:
        what, *fix = error.errors()[0]["ctx"]["error"].args
        raise TargetError(what, where="--storage", fix=fix[0] if fix else None) from None


def token_of(target: Target) -> str | None:
    """The token to show, or None. Raises TargetError when its file cannot be read."""
    if target.token_file is None:
        return _one_line(os.environ.get(target.token_env, ""), target.token_env) or None
    try:
        found = Path(target.token_file).expanduser().read_text(encoding="utf-8")
    except (OSError, ValueError, RuntimeError) as error:
        raise TargetError(f"the token cannot be read ({type(error).__name__})", where=target.token_file) from None
    return _one_line(found, target.token_file) or None


def header_of(variable: str) -> str:
    """The value of a header. Raises TargetError where the variable is not set."""
    value = os.environ.get(variable)
    if value is None:
        raise TargetError(f"{variable} is not set", where="headers_env", fix=f"export {variable}=...")
    return _one_line(value, variable)


def _one_line(value: str, where: str) -> str:
    """What may stand in a header. Raises TargetError, in words that do not repeat it."""
    value = value.strip()
    if not (value.isascii() and (value.isprintable() or not value)):
        raise TargetError("this is not one line of plain characters", where=where, fix="it is to hold the value alone")
    return value
