"""What `tunesmith review` needs besides the slim install."""

from __future__ import annotations

from collections.abc import Sequence


def need(packages: Sequence[str], what: str, extra: str = "review") -> None:
    """Refuse where one is missing. Raises TunesmithError with the mending command."""
    from importlib.util import find_spec

    from tunesmith.errors import TunesmithError

    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise TunesmithError(
            f"{what} needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed",
            fix=f'pip install "tunesmith[{extra}]"',
        )
