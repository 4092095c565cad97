"""A state cut up in any way is put together again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.train.pieces import Piece, Pieces, share_of, snapshot, write_pieces


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 9), min_size=0, max_size=3),
    st.integers(1, 5),
    st.integers(0, 2**32 - 1),
    st.sampled_from([torch.float32, torch.bfloat16, torch.uint8]),
)
def test_whatever_workers_write_any_part_is_read(
    tmp_path_factory: pytest.TempPathFactory, shape: list[int], workers: int, seed: int, dtype: torch.dtype
) -> None:
    folder = tmp_path_factory.mktemp("pieces")
    rng = np.random.default_rng(seed)
    tensor = torch.from_numpy(rng.integers(0, 200, shape)).to(dtype)
    flat = tensor.reshape(-1)
    cuts = sorted(rng.integers(0, len(flat) + 1, workers - 1).tolist())
    edges = list(zip([0, *cuts], [*cuts, len(flat)], strict=True))
    paths = [folder / f"{number}.safetensors" for number in range(workers)]
    for path, (start, stop) in zip(paths, edges, strict=True):
        write_pieces(path, snapshot([Piece("some/key", tuple(shape), start, flat[start:stop])]))
    pieces = Pieces([paths[number] for number in rng.permutation(workers)])
    if not len(flat):
        assert pieces.shapes == {}
        return
    assert pieces.shapes == {"some/key": tuple(shape)}
    assert torch.equal(pieces.whole("some/key"), tensor)
    start, stop = sorted(rng.integers(0, len(flat) + 1, 2).tolist())
    assert torch.equal(pieces.read("some/key", start, stop), flat[start:stop])


def test_shares_of_all_workers_make_up_the_tensor() -> None:
    tensor = torch.arange(10).view(5, 2)
    shares = [share_of("key", tensor, rank, 3) for rank in range(3)]
    assert [len(share.values) for share in shares] == [3, 3, 4]
    assert torch.equal(torch.cat([share.values for share in shares]), tensor.reshape(-1))
    assert [share_of("key", torch.tensor(7.0), rank, 2).values.tolist() for rank in range(2)] == [[], [7.0]]


def test_what_was_never_written_is_named(tmp_path: Path) -> None:
    write_pieces(tmp_path / "a", [Piece("key", (4, 2), 0, torch.arange(3)), Piece("other", (1,), 0, torch.ones(1))])
    write_pieces(tmp_path / "b", [Piece("key", (4, 2), 5, torch.arange(3))])
    with pytest.raises(ValueError, match="values 3 to 8 of key are missing"):
        Pieces([tmp_path / "a", tmp_path / "b"]).whole("key")


def test_workers_that_save_at_the_same_time_never_trip_over_the_renaming(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from tunesmith.train import checkpoint
    from tunesmith.train.places import Folder
    from tunesmith.train.progress import Progress
    from tunesmith.train.saver import Saver

    savers = [Saver(Folder(tmp_path), rank, 3, "attempt", 200, lambda: True) for rank in range(3)]

    def save(rank: int, step: int) -> None:
        savers[rank].save(Progress(step=step), [share_of("parameter/a", torch.arange(6.0), rank, 3)])

    with ThreadPoolExecutor(3) as pool:
        for step in range(1, 101):
            for one in [pool.submit(save, rank, step) for rank in (2, 1, 0)]:
                one.result()
    for saver in savers:
        saver.wait()
        assert [report.problem for report in saver.reports()] == [None] * 100
    assert Folder(tmp_path).steps() == list(range(1, 101))
    progress, pieces = checkpoint.read(Folder(tmp_path), 100)
    assert progress.step == 100
    assert torch.equal(pieces.whole("parameter/a"), torch.arange(6.0))
    assert not list(tmp_path.glob(".tmp-*"))
