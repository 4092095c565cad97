"""Tensors of a checkpoint in pieces: each worker writes what it holds, any number of workers reads what it needs.

A piece is a run of consecutive values of a flattened tensor. The rows that FSDP gives a worker are one, and so is its
flat partition under ZeRO: a state written under one strategy and number of workers is read under any other. The files
are safetensors; each names, in its header, the whole tensor's shape and where the piece begins.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import torch

_FORMAT = "format"


@dataclass(frozen=True)
class Piece:
    """`values` (length,) of the tensor `key` of this shape, from the flat position `start` on."""

    key: str
    shape: tuple[int, ...]
    start: int
    values: torch.Tensor


def share_of(key: str, tensor: torch.Tensor, rank: int, world_size: int) -> Piece:
    """This worker's part of a tensor that all of them hold, so that each writes as much as any other."""
    flat = tensor.detach().reshape(-1)
    start, stop = (len(flat) * number // world_size for number in (rank, rank + 1))
    return Piece(key, tuple(tensor.shape), start, flat[start:stop])


def snapshot(pieces: Iterable[Piece]) -> list[Piece]:
    """Copies in memory, which training does not change any more; pieces without values are left out."""
    return [
        replace(piece, values=piece.values.detach().to("cpu", copy=True).contiguous())
        for piece in pieces
        if len(piece.values)
    ]


def write_pieces(path: Path, pieces: Iterable[Piece]) -> None:
    """Write one worker's pieces, as `snapshot` gives them, at most one of each tensor, as one file."""
    from safetensors.torch import save_file

    tensors, places = {}, {_FORMAT: "pieces"}  # a header without any entry cannot be read back
    for piece in pieces:
        tensors[piece.key] = piece.values
        places[piece.key] = json.dumps([piece.start, list(piece.shape)])
    save_file(tensors, path, metadata=places)


class Pieces:
    """The pieces of all workers, put together again on demand; nothing is read before it is asked for.

    Raises SafetensorError, ValueError or KeyError when a file is not what `write_pieces` wrote.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        from safetensors import safe_open

        self.shapes: dict[str, tuple[int, ...]] = {}
        self._found: dict[str, list[tuple[int, Any]]] = {}
        for path in paths:
            file = safe_open(path, framework="pt")
            for key, place in (file.metadata() or {}).items():
                if key == _FORMAT:
                    continue
                start, shape = json.loads(place)
                self.shapes[key] = tuple(shape)
                self._found.setdefault(key, []).append((start, file.get_slice(key)))

    def read(self, key: str, start: int = 0, stop: int | None = None) -> torch.Tensor:
        """The values (stop - start,) of a flattened tensor; raises ValueError when some were never written."""
        stop = prod(self.shapes[key]) if stop is None else stop
        parts, reached = [], start
        for first, piece in sorted(self._found[key], key=lambda one: one[0]):
            last = first + piece.get_shape()[0]
            if first <= reached < min(last, stop):
                parts.append(piece[reached - first : min(last, stop) - first])
                reached = min(last, stop)
        if reached < stop:
            raise ValueError(f"values {reached} to {stop} of {key} are missing")
        return torch.cat(parts) if parts else torch.empty(0)

    def whole(self, key: str) -> torch.Tensor:
        """A tensor in its own shape."""
        return self.read(key).view(self.shapes[key])
