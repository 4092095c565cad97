"""Keep the libraries underneath from drawing their own progress bars over ours."""

from __future__ import annotations

import logging as standard_logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Silence transformers' progress bars and advisory warnings inside the block; errors still raise.

    PEFT imports bitsandbytes wherever it is installed, and that warns of a 4-bit kernel nobody asked for: import peft
    inside such a block.
    """
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    bitsandbytes = standard_logging.getLogger("bitsandbytes")
    bitsandbytes_level = bitsandbytes.level
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    bitsandbytes.setLevel(standard_logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(level)
        bitsandbytes.setLevel(bitsandbytes_level)
        if bars:
            logging.enable_progress_bar()
