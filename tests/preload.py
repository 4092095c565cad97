"""What takes seconds to import. Nothing here may start a thread: a fork would lose it."""

from __future__ import annotations

import deepspeed  # noqa: F401
import peft  # noqa: F401
import transformers.models.llama.modeling_llama
import transformers.utils.logging

import tunesmith.train.loop  # noqa: F401

transformers.utils.logging.disable_progress_bar()
