"""Folders and files behind a URL, for everything that reads or writes there: artefacts, rows, base models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

ARROW_SCHEMES = ("s3", "gs", "gcs")
"""Served by pyarrow, which training needs anyway; every other scheme by the fsspec driver of that name."""


def file_system(url: str, *, options: bool = False) -> tuple[AbstractFileSystem, str]:
    """Return the fsspec file system of a URL and the path in it.

    With `options`, what follows a `?` belongs to the connection (`region=...`); else to the name, which may hold `?`,
    `#` and `%20` as they are. Raises ImportError when the driver is missing, and OSError or ValueError when the URL
    makes no sense, in the driver's words: they may repeat the URL with its keys.
    """
    scheme, _, rest = url.partition("://")
    if scheme.lower() in ARROW_SCHEMES and "::" not in url:
        return _arrow(scheme.lower(), rest, options)
    from fsspec.core import url_to_fs

    found, path = url_to_fs(url)
    return found, str(path)


def without_secrets(location: str) -> str:
    """The URL without user, keys and options: `s3://KEY:SECRET@bucket/prefix?region=x` -> `s3://bucket/prefix`."""
    scheme, separator, rest = location.partition("://")
    if not separator:
        return location
    return f"{scheme}://{rest.partition('?')[0].rpartition('@')[2].rstrip('/')}"


def _arrow(scheme: str, rest: str, options: bool) -> tuple[AbstractFileSystem, str]:
    from fsspec.implementations.arrow import ArrowFSWrapper
    from pyarrow.fs import FileSystem

    class Arrow(ArrowFSWrapper):  # type: ignore[misc]
        """The wrapper for paths that are never URLs: it would cut a name at its `?` or `#`."""

        # fsspec's cache of instances would keep every connection, and its keys, for as long as the process.
        cachable = False

        @classmethod
        def _strip_protocol(cls, path: Any) -> Any:
            return path

    rest, mark, query = rest.partition("?") if options else (rest, "", "")
    bucket, slash, key = rest.partition("/")
    # The key is kept out of the URI: pyarrow would read `%20` and `?` in it as escapes and options.
    store, root = FileSystem.from_uri(f"{scheme.replace('gcs', 'gs')}://{bucket}{mark}{query}")
    return Arrow(store), f"{root}{slash}{key}"
