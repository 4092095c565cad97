"""Weights in a folder's safetensors files, read by name: the values that are asked for and no others."""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch

WHOLE_FILE, INDEX = "model.safetensors", "model.safetensors.index.json"
"""Where transformers writes weights: into one file, or into several with a list of what is where."""


@dataclass(frozen=True)
class Stored:
    """One tensor of a file, by its name there."""

    path: Path
    key: str
    shape: tuple[int, ...]

    def fill(self, target: torch.Tensor, start: int = 0) -> None:
        """Copy the values of the flattened tensor from `start` on into all of `target` (length,), cast to its type.

        The file is mapped while it is copied from and let go of afterwards, so that no page of it stays in memory.
        """
        if not target.numel():
            return
        row = max(prod(self.shape[1:]), 1)
        first, last = start // row, -(-(start + target.numel()) // row)
        with _open(self.path) as file:
            part = file.get_slice(self.key)[first:last] if self.shape else file.get_tensor(self.key)
            begin = start - first * row
            with torch.no_grad():
                target.copy_(part.reshape(-1)[begin : begin + target.numel()])

    def whole(self, device: torch.device, dtype: torch.dtype | None = None) -> torch.Tensor:
        """The tensor in its own shape, in memory of its own."""
        with _open(self.path) as file:
            return file.get_tensor(self.key).to(device=device, dtype=dtype, copy=True)


def stored_weights(folder: Path) -> dict[str, Stored]:
    """The tensors of a model's folder by their names; only the headers of the files are read.

    Raises OSError, ValueError or SafetensorError when the files are not there or are damaged.
    """
    index = folder / INDEX
    if index.is_file():
        listed = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        paths = [folder / name for name in sorted(set(listed.values()))]
    else:
        paths = [folder / WHOLE_FILE]
    found = {}
    for path in paths:
        with _open(path) as file:
            for key in file.keys():  # noqa: SIM118
                found[key] = Stored(path, key, tuple(file.get_slice(key).get_shape()))
    return found


def _open(path: Path) -> Any:
    from safetensors import safe_open

    return safe_open(path, framework="pt")


class Shards:
    """Writes tensors into files of a limited size, with the names and the index that transformers looks for.

    No more than one file's tensors are in memory. Used as a context, which finishes the files when it ends well.
    """

    def __init__(self, folder: Path, limit: int = 1 << 30) -> None:
        self.folder, self.limit = folder, limit
        self._waiting: dict[str, torch.Tensor] = {}
        self._names: list[list[str]] = []
        self._bytes = self._total = 0

    def put(self, name: str, tensor: torch.Tensor) -> None:
        """Take a tensor; the file is written when it is full."""
        size = tensor.numel() * tensor.element_size()
        if self._waiting and self._bytes + size > self.limit:
            self._write()
        self._waiting[name] = tensor.detach().to("cpu").contiguous()
        self._bytes += size
        self._total += size

    def _write(self) -> None:
        from safetensors.torch import save_file

        save_file(self._waiting, self._part(len(self._names)), metadata={"format": "pt"})
        self._names.append(list(self._waiting))
        self._waiting, self._bytes = {}, 0

    def _part(self, number: int) -> Path:
        return self.folder / f"part-{number}"

    def __enter__(self) -> Shards:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        if kind is not None:
            return
        if self._waiting:
            self._write()
        count = len(self._names)
        if count == 1:
            self._part(0).rename(self.folder / WHOLE_FILE)
            return
        places = {}
        for number, names in enumerate(self._names):
            file = f"model-{number + 1:05d}-of-{count:05d}.safetensors"
            self._part(number).rename(self.folder / file)
            places |= dict.fromkeys(names, file)
        index = {"metadata": {"total_size": self._total}, "weight_map": dict(sorted(places.items()))}
        (self.folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
