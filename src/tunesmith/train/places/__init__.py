"""Where checkpoints are kept: a folder that all workers share, or an object store."""

from __future__ import annotations

from pathlib import Path

from tunesmith.train.places.folder import Folder
from tunesmith.train.places.place import Place


def open_place(folder: Path, url: str | None) -> Place:
    """The run's own folder, or, given a URL, the run's prefix beneath it. Raises TrainError when the URL makes no
    sense or its driver is not installed."""
    if url is None:
        return Folder(folder)
    from tunesmith.train.places.objects import Objects

    return Objects(url, folder.parent.name)


__all__ = ["Folder", "Place", "open_place"]
