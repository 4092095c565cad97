"""MinHash of many rows at once, and the bands rows with similar sets meet in.

Same numbers as `datasketch.MinHash` (scheme affine32), whose permutations are used, without an object for each row.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from tunesmith.data.audit.words import Shingles, mixed32

NUM_PERMUTATIONS = 128
CHUNK = 16_384
RECALL = 0.99


def signatures(shingles: Shingles) -> np.ndarray:
    """MinHash signatures, shape (rows, 128), uint32."""
    multipliers, addends = _permutations()
    hashes = mixed32(shingles.values)
    result = np.full((len(shingles.offsets) - 1, NUM_PERMUTATIONS), np.uint32(0xFFFFFFFF))
    for begin in range(0, len(hashes), CHUNK):
        end = min(begin + CHUNK, len(hashes))
        permuted = hashes[begin:end, None] * multipliers + addends
        first = int(np.searchsorted(shingles.offsets, begin, side="right")) - 1
        last = int(np.searchsorted(shingles.offsets, end, side="left"))
        starts = np.maximum(shingles.offsets[first:last] - begin, 0)
        # A long row may lie in several chunks: the least of all of them counts.
        least = np.minimum.reduceat(permuted, starts, axis=0)
        np.minimum(result[first:last], least, out=result[first:last])
    return result


@cache
def _permutations() -> tuple[np.ndarray, np.ndarray]:
    from datasketch import MinHash

    multipliers, addends = MinHash(NUM_PERMUTATIONS, seed=1, scheme="affine32").permutations
    return multipliers, addends


def rows_per_band(threshold: float) -> int:
    """Longest band that still lets pairs at the threshold meet with a probability of 0.99.

    Two sets of Jaccard similarity s share a band of r rows with probability s^r, and one of b bands with
    1 - (1 - s^r)^b (Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, section 3.4.2).
    """
    fitting = [size for size in range(1, 33) if 1 - (1 - threshold**size) ** (NUM_PERMUTATIONS // size) >= RECALL]
    return max(fitting, default=1)


def bands(signature: np.ndarray, size: int) -> np.ndarray:
    """Hash each run of `size` columns to 32 bits; shape (rows, 128 // size). Equal runs meet; others rarely do."""
    num_bands = NUM_PERMUTATIONS // size
    folded = np.zeros((len(signature), num_bands), dtype=np.uint32)
    for column in range(size):
        folded = folded * np.uint32(0x01000193) + mixed32(signature[:, column : num_bands * size : size])
    return mixed32(folded)
