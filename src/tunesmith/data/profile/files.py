"""A profile beside the dataset version it describes: `profile.npz` and `profile.json`."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.data.profile.features import WIDTH, Features
from tunesmith.data.profile.profile import Profile, build_profile
from tunesmith.errors import DataError

ARRAYS, SUMMARY = "profile.npz", "profile.json"
FORMAT = 1


def write_profile(profile: Profile, folder: Path) -> None:
    """Write both files. Categories are numbers in the one, named in the other; nothing is pickled."""
    names: dict[str, list[str]] = {}
    arrays = {f"number/{name}": values for name, values in profile.numbers.items()}
    for name, values in profile.categories.items():
        kinds, codes = np.unique(values, return_inverse=True)
        names[name] = [str(kind) for kind in kinds]
        arrays[f"category/{name}"] = codes.astype(np.int32)
    for part in ("starts", "columns", "counts"):
        arrays[f"features/{part}"] = getattr(profile.features, part)
    np.savez(folder / ARRAYS, **arrays)
    head = {
        "format": FORMAT,
        "rows": len(profile),
        "num_examples": profile.num_examples,
        "sha256": hashlib.sha256((folder / ARRAYS).read_bytes()).hexdigest(),
        "categories": names,
        "shared_lines": sorted(profile.shared),
    }
    text = json.dumps(head | profile.summary(), indent=1) + "\n"  # ASCII: lone surrogates stay what they were
    (folder / SUMMARY).write_text(text, encoding="utf-8")


def read_profile(folder: Path) -> Profile | None:
    """The profile in a dataset version's folder; None where there is none, as in versions made before there were any.

    Raises DataError when the files are damaged.
    """
    if not (folder / ARRAYS).is_file() and not (folder / SUMMARY).is_file():
        return None
    try:
        head = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
        if head["format"] != FORMAT:
            raise _damaged(folder / SUMMARY, f"is of format {head['format']}, this Tunesmith reads {FORMAT}")
        if hashlib.sha256((folder / ARRAYS).read_bytes()).hexdigest() != head["sha256"]:
            raise _damaged(folder / ARRAYS, "is not what was written: its checksum differs")
        with np.load(folder / ARRAYS, allow_pickle=False) as arrays:
            return _profile(head, dict(arrays))
    except (OSError, ValueError, KeyError, IndexError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise _damaged(folder / SUMMARY, f"is damaged or does not fit {ARRAYS} ({error})") from error


def profile_of(folder: Path) -> Profile:
    """The profile of a dataset version: as written, or made from its training examples where it has none."""
    from tunesmith.data.dataset import open_dataset

    profile = read_profile(folder)
    return profile if profile is not None else build_profile(open_dataset(folder).examples("train"))


def _profile(head: dict[str, Any], arrays: dict[str, np.ndarray]) -> Profile:
    """Raises ValueError and the like where the parts do not fit each other."""
    rows = int(head["rows"])
    found = Features(*(arrays[f"features/{part}"] for part in ("starts", "columns", "counts")))
    numbers = {key.split("/", 1)[1]: values for key, values in arrays.items() if key.startswith("number/")}
    categories = {
        name: np.array(kinds, str)[arrays[f"category/{name}"]] if rows else np.zeros(0, str)
        for name, kinds in head["categories"].items()
    }
    lengths = {len(found), *(len(values) for values in (*numbers.values(), *categories.values()))}
    ends = found.starts[-1] == len(found.columns) == len(found.counts) and (np.diff(found.starts) >= 0).all()
    if lengths != {rows} or not ends or (len(found.columns) and found.columns.max() >= WIDTH):
        raise ValueError("arrays of unlike lengths")
    return Profile(int(head["num_examples"]), numbers, categories, found, frozenset(head["shared_lines"]))


def _damaged(path: Path, what: str) -> DataError:
    return DataError(
        f"the profile {what}",
        where=str(path),
        fix=f"remove {ARRAYS} and {SUMMARY} from that folder: it is then made from the training examples",
    )
