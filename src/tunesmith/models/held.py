"""A frozen base model that stays in a process from one run to the next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Key = tuple[str, ...]
"""What a base is known by: its folder, the type of its weights, the device, how it is quantised."""


class HeldBase:
    """Holds the base that the last run was made of; adapters are put on it and taken off again.

    Only frozen weights are held: whoever trains the weights themselves reads them anew.
    """

    def __init__(self) -> None:
        self.key: Key | None = None
        self.model: Any = None
        self.adapted: Any = None

    def take(self, key: Key, load: Callable[[], Any]) -> Any:
        """The base of this name as it was loaded, without any adapter; read by `load` if it is another one."""
        if self.adapted is not None:
            self._strip()
        if self.key != key:
            self.model = None  # two of them may not fit into memory
            self.model, self.key = load(), key
        return self.model

    def lend(self, adapted: Any) -> Any:
        """Note the PEFT model that was put around the base, to be taken off before the next run; returns it."""
        self.adapted = adapted
        return adapted

    def _strip(self) -> None:
        base = self.adapted.unload()
        self.adapted = None
        if base.is_gradient_checkpointing:
            base.gradient_checkpointing_disable()
        base.disable_input_require_grads()
        if hasattr(base, "peft_config"):
            del base.peft_config
        self.model = base.eval().requires_grad_(False)
