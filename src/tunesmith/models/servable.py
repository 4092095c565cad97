"""What vLLM can serve of what PEFT can train, said when a version is made and not at its first request."""

from __future__ import annotations

import json
from typing import Any

from tunesmith.errors import ModelError

RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""Largest ranks that an engine can be given (vLLM 0.29.0, `vllm.config.lora.MaxLoRARanks`, without 1)."""

CONFIG = "adapter_config.json"
OUTSIDE = ("lm_head", "embed_tokens")


def why_not(config: dict[str, Any], max_rank: int = RANKS[-1]) -> str | None:
    """Why vLLM 0.29.0 would not serve an adapter, or would serve another one than was trained; None where it serves it.

    `config` is PEFT's `adapter_config.json`. Checked is what `vllm.lora.peft_helper` refuses, and what it passes over
    in silence: ranks and scales of single layers, adapters of the embedding and the head.
    """
    rank = config.get("r")
    if config.get("peft_type", "LORA") != "LORA" or not isinstance(rank, int) or rank < 1:
        return f"it is no LoRA adapter but {config.get('peft_type')!a}"
    if config.get("use_dora"):
        return "it was trained with DoRA, which vLLM does not serve; train with method.dora: false, or export it merged"
    if config.get("modules_to_save"):
        return f"whole layers were trained with it ({', '.join(config['modules_to_save'])}); export it merged"
    if config.get("bias", "none") != "none":
        return "biases were trained with it; export it merged"
    if config.get("rank_pattern") or config.get("alpha_pattern"):
        return "its layers have ranks or scales of their own, which vLLM passes over; export it merged"
    targets = config.get("target_modules") or []
    outside = [name for name in OUTSIDE if not isinstance(targets, str) and any(name in one for one in targets)]
    if outside:
        return f"it changes {' and '.join(outside)}, which vLLM passes over; export it merged"
    if rank > max_rank:
        return f"its rank is {rank} and the engine takes at most {max_rank}; raise serve.engine.max_rank"
    return None


def adapter_config(written: bytes | None) -> dict[str, Any]:
    """PEFT's configuration of an adapter, as `adapter_config.json` has it. Raises ModelError for what is none."""
    try:
        config = json.loads(written or b"")
    except ValueError as error:
        raise ModelError(f"there is no adapter: {CONFIG} is missing or not JSON", where=CONFIG) from error
    if not isinstance(config, dict):
        raise ModelError("this is not a mapping", where=CONFIG)
    return config


def rank_for(ranks: list[int], pairs: bool = False) -> int:
    """The smallest rank an engine can be given that takes all of these, or any two together; at least 16."""
    wanted = max([16, *ranks]) * (2 if pairs else 1)
    return next((rank for rank in RANKS if rank >= wanted), RANKS[-1])
