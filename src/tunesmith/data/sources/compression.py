"""Files packed with gzip, Zstandard, bzip2 or xz, unpacked as they are read."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from tunesmith.data.sources.location import BUFFER_BYTES
from tunesmith.errors import DataError

COMPRESSIONS = ("gz", "zst", "bz2", "xz")


@contextmanager
def unpacked(stream: BinaryIO, compression: str | None, name: str) -> Iterator[BinaryIO]:
    """Give the unpacked bytes of `stream`. Raises `DataError` when they are cut short or damaged."""
    if compression is None:
        # Remote files have no buffer of their own; a second one around a local file costs nothing.
        yield cast(BinaryIO, io.BufferedReader(cast(Any, stream), BUFFER_BYTES))
        return
    import lzma

    try:
        with _decompressor(stream, compression) as raw, io.BufferedReader(raw, BUFFER_BYTES) as reader:
            yield cast(BinaryIO, reader)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise DataError(
            f"cannot be unpacked: {str(error) or type(error).__name__}",
            where=name,
            fix=f"fetch the file again, or unpack it by hand to see what is wrong; is it a .{compression} file at all?",
        ) from error


def _decompressor(stream: BinaryIO, compression: str) -> Any:
    if compression == "gz":
        import gzip

        return gzip.GzipFile(fileobj=stream)
    if compression == "bz2":
        import bz2

        return bz2.BZ2File(stream)
    if compression == "xz":
        import lzma

        return lzma.LZMAFile(stream)
    import pyarrow

    return pyarrow.CompressedInputStream(stream, "zstd")
