"""An adapter merged into its base's weights, and others as adapters of what came of that.

With W' = W + D_c, what another adapter makes of W is W + D_o = W' + (D_o - D_c). Both updates are of low rank, so the
difference is one of the sum of their ranks: A' = [A_o; A_c], B' = [s_o B_o, -s_c B_c]. The base itself is W' - D_c.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.errors import ModelError
from tunesmith.models.lora import CONFIG, TEMPLATE, WEIGHTS, write_adapter
from tunesmith.store.durable import new_folder

if TYPE_CHECKING:
    import torch

PREFIX = "base_model.model."


@dataclass(frozen=True)
class Update:
    """A LoRA adapter read from PEFT's files: by module (rank, in) and (out, rank) in float32, the scale in the second.

    `config` is its `adapter_config.json`.
    """

    rank: int
    factors: dict[str, tuple[torch.Tensor, torch.Tensor]]
    config: dict[str, Any]


def read_update(folder: Path) -> Update:
    """Read an adapter. Raises ModelError where its files are not PEFT's."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        config = json.loads((folder / CONFIG).read_bytes())
        tensors = load_file(folder / WEIGHTS)
        rank, alpha = int(config["r"]), float(config["lora_alpha"])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise ModelError(f"this adapter cannot be read: {error}", where=str(folder)) from error
    scale = alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
    factors = {}
    for name, down in tensors.items():
        if not name.endswith(".lora_A.weight"):
            continue
        module = name.removeprefix(PREFIX).removesuffix(".lora_A.weight")
        up = tensors[name.replace(".lora_A.", ".lora_B.")]
        factors[module] = down.to(torch.float32), up.to(torch.float32) * scale
    return Update(rank, factors, config)


def merge(base: Path, adapter: Path, target: Path, dtype: str | None = None) -> None:
    """Write the base's files with an adapter in the weights.

    It is added in float32, and what it is added to is kept in its own type or in `dtype`, a floating type of torch's by
    name; memory for one file of weights is needed. Nothing is done where `target` is there. Raises ModelError when the
    adapter changes what the files do not have by that name.
    """
    import torch
    from safetensors import safe_open
    from safetensors.torch import save_file

    if target.is_dir():
        return
    update = read_update(adapter)
    left = set(update.factors)
    with new_folder(target) as folder:
        for path in sorted(one for one in base.iterdir() if one.is_file()):
            if path.suffix != ".safetensors":
                shutil.copyfile(path, folder / path.name)
                continue
            tensors = {}
            with safe_open(path, framework="pt") as file:
                note = file.metadata()
                for name in file.keys():  # noqa: SIM118  (no mapping: it has no other way)
                    tensor = file.get_tensor(name)
                    module = name.removesuffix(".weight")
                    if module in update.factors:
                        down, up = update.factors[module]
                        if tensor.shape != (up.shape[0], down.shape[1]) or not tensor.is_floating_point():
                            raise ModelError(f"{name} of the base is no matrix that this adapter could be added to")
                        kept = tensor.dtype if dtype is None else getattr(torch, dtype)
                        tensor = torch.addmm(tensor.to(torch.float32), up, down).to(kept)
                        left.discard(module)
                    tensors[name] = tensor
            save_file(tensors, folder / path.name, note)
        if left:
            raise ModelError(f"the base's files have no weights called {min(left)}, which the adapter changes")


def rebase(other: Path | None, merged: Path, target: Path) -> None:
    """Write `other` as an adapter of the base with `merged` in its weights; None stands for the base itself.

    Its rank is the sum of both. Nothing is done where `target` is there. Raises ModelError for files that are none of
    PEFT's.
    """
    import torch

    if target.is_dir():
        return
    taken = read_update(merged)
    given = read_update(other) if other is not None else None
    rank = taken.rank + (given.rank if given else 0)
    tensors = {}
    for module, downs, ups in _differences(given, taken):
        down, up = torch.cat(downs), torch.cat(ups, dim=1)
        # vLLM takes every layer to be of the rank that the configuration names.
        short = rank - down.shape[0]
        tensors[f"{PREFIX}{module}.lora_A.weight"] = torch.nn.functional.pad(down, (0, 0, 0, short))
        tensors[f"{PREFIX}{module}.lora_B.weight"] = torch.nn.functional.pad(up, (0, short))
    modules = sorted({module.rsplit(".", 1)[-1] for module in taken.factors | (given.factors if given else {})})
    # Scales are in the weights already: alpha / rank is one.
    changed = {"r": rank, "lora_alpha": rank, "use_rslora": False, "target_modules": modules}
    with new_folder(target) as folder:
        write_adapter(tensors, {**taken.config, **changed}, folder)
        if other is not None and (other / TEMPLATE).is_file():
            shutil.copyfile(other / TEMPLATE, folder / TEMPLATE)


def _differences(given: Update | None, taken: Update) -> Iterator[tuple[str, list[torch.Tensor], list[torch.Tensor]]]:
    """By module, the factors of `given` and those of `taken` with the other sign."""
    own = given.factors if given else {}
    for module in sorted(own | taken.factors):
        downs, ups = [], []
        if module in own:
            downs.append(own[module][0])
            ups.append(own[module][1])
        if module in taken.factors:
            downs.append(taken.factors[module][0])
            ups.append(-taken.factors[module][1])
        yield module, downs, ups
