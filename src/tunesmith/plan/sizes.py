"""The shape of a recipe's base model: from its config.json, our table, a GGUF's header, or the hub. No weights."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.errors import ModelError, ModelNotHere
from tunesmith.models.published import PUBLISHED
from tunesmith.models.short_names import SHORT_NAMES
from tunesmith.plan.shape import ModelShape, shape_of
from tunesmith.recipe.load import LoadedRecipe

TIMEOUT_SECONDS = 10
OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")


@dataclass(frozen=True)
class Sizes:
    """A model's shape, and where it was found."""

    shape: ModelShape
    origin: str


def find_sizes(loaded: LoadedRecipe) -> Sizes:
    """The shape of `model.source`. At most a config.json is fetched.

    Raises ModelError for a folder without one and for an architecture that is not counted by formula, ModelNotHere
    where the hub cannot be reached.
    """
    config, origin = _config(loaded)
    return Sizes(shape_of(config), origin)


def _config(loaded: LoadedRecipe) -> tuple[Mapping[str, Any], str]:
    source = loaded.recipe.model.source
    if "://" in source:
        return _of_url(source), f"config.json of {source}"
    path = Path(source).expanduser()
    path = path if path.is_absolute() else loaded.folder / path
    if path.is_file() and path.suffix.lower() == ".gguf":
        return _of_gguf(path), f"the header of {path.name}"
    if path.is_dir():
        return _of_folder(path), f"config.json of {source}"
    short = SHORT_NAMES.get(source.lower())
    hub = short.hub if short else source
    for name, published in PUBLISHED.items():
        if name.lower() == hub.lower():
            return published.config, "the table of published shapes"
    if hub.count("/") != 1 or source.lower().endswith(".gguf") or source.startswith((".", "/", "~")):
        raise ModelError(
            f"there is no model at '{source}'", where="model.source", fix=f"check the path; it was looked for at {path}"
        )
    return _of_hub(hub, loaded.recipe.model.revision)


def _of_folder(path: Path) -> Mapping[str, Any]:
    file = path / "config.json"
    ggufs = sorted(path.glob("*.gguf"))
    if not file.is_file() and len(ggufs) == 1:
        return _of_gguf(ggufs[0])
    try:
        return _parsed(file.read_bytes(), str(file))
    except OSError:
        raise ModelError(
            f"the folder {path} has no config.json",
            where="model.source",
            fix="give a folder that save_pretrained wrote",
        ) from None


def _of_url(url: str) -> Mapping[str, Any]:
    import fsspec

    try:
        with fsspec.open(f"{url.rstrip('/')}/config.json", "rb") as file:
            return _parsed(file.read(), url)
    except (OSError, ImportError, ValueError) as error:
        raise ModelError(
            f"config.json of {url} cannot be read ({type(error).__name__}: {error})",
            where="model.source",
            fix="check the address and the credentials; fsspec takes them from the environment",
        ) from None


def _of_hub(hub: str, revision: str | None) -> tuple[Mapping[str, Any], str]:
    """From the hub's cache on this machine, else by one request."""
    home = os.environ.get("HF_HUB_CACHE") or Path(os.environ.get("HF_HOME") or "~/.cache/huggingface") / "hub"
    cached = Path(home).expanduser() / f"models--{hub.replace('/', '--')}" / "snapshots"
    if files := sorted(cached.glob(f"{revision or '*'}/config.json")):
        return _parsed(files[-1].read_bytes(), str(files[-1])), f"config.json of {hub}, fetched before"
    if any(os.environ.get(name, "0").lower() in ("1", "true", "yes", "on") for name in OFFLINE):
        raise _not_here(hub, "the hub is switched off by HF_HUB_OFFLINE")
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    address = f"{endpoint}/{hub}/resolve/{revision or 'main'}/config.json"
    request = urllib.request.Request(address, headers={"User-Agent": "tunesmith"})
    if token := os.environ.get("HF_TOKEN"):
        # Sent to the hub alone: a redirect to where the file lies does not get it.
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
            return _parsed(answer.read(), address), f"config.json of {hub} on the hub"
    except urllib.error.HTTPError as error:
        if error.code in (401, 403, 404):
            raise ModelNotHere(
                f"the hub has no model '{hub}', or it is gated",
                where="model.source",
                fix="check the spelling; for a gated model accept its terms and set HF_TOKEN",
            ) from None
        raise _not_here(hub, f"the hub answers {error.code}") from None
    except OSError as error:
        raise _not_here(hub, f"the hub cannot be reached ({type(error).__name__})") from None


def _not_here(hub: str, why: str) -> ModelNotHere:
    known = ", ".join(name for name, short in SHORT_NAMES.items() if short.hub in PUBLISHED)
    return ModelNotHere(
        f"the shape of '{hub}' is not in our table, and {why}",
        where="model.source",
        fix=f"check the network, give a folder with the model's config.json, or use a name of the table: {known}",
    )


def _of_gguf(path: Path) -> Mapping[str, Any]:
    """The header says the same as config.json, in other words (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md)."""
    try:
        from gguf import GGUFReader
    except ImportError:
        raise ModelError(
            f"the header of {path.name} cannot be read without the package gguf",
            where="model.source",
            fix="pip install gguf, or plan with the hub id of the model: --set model.source=OWNER/NAME",
        ) from None
    reader = GGUFReader(path)
    fields = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("tokenizer.")}
    kind = str(fields["general.architecture"])

    def of(name: str, default: Any = None) -> Any:
        return fields.get(f"{kind}.{name}", default)

    names = {tensor.name: tensor for tensor in reader.tensors}
    return {
        "model_type": kind,
        "hidden_size": of("embedding_length"),
        "intermediate_size": of("feed_forward_length"),
        "num_hidden_layers": of("block_count"),
        "num_attention_heads": of("attention.head_count"),
        "num_key_value_heads": of("attention.head_count_kv"),
        "head_dim": of("attention.key_length"),
        "vocab_size": int(names["token_embd.weight"].shape[1]),
        "tie_word_embeddings": "output.weight" not in names,
        "max_position_embeddings": of("context_length"),
    }


def _parsed(text: bytes, place: str) -> Mapping[str, Any]:
    try:
        config = json.loads(text)
        if isinstance(config, dict):
            # Models that also see keep the decoder's sizes one level down.
            return {**config, **config.get("text_config", {})}
    except ValueError:
        pass
    raise ModelError("config.json is not a JSON object", where=place, fix="fetch the model again")
