"""What vLLM serves of what PEFT trains: the same answer as vLLM's own check gives."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tunesmith.errors import ModelError
from tunesmith.models.servable import RANKS, adapter_config, rank_for, why_not

GOOD: dict[str, Any] = {"peft_type": "LORA", "r": 16, "lora_alpha": 32, "target_modules": ["q_proj", "v_proj"]}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"use_rslora": True, "bias": "none", "modules_to_save": None, "rank_pattern": {}}, None),
        ({"target_modules": "all-linear"}, None),
        ({"use_dora": True}, "DoRA"),
        ({"modules_to_save": ["lm_head"]}, "whole layers were trained with it (lm_head)"),
        ({"bias": "all"}, "biases"),
        ({"r": 128}, "its rank is 128 and the engine takes at most 64"),
        ({"rank_pattern": {"q_proj": 4}}, "ranks or scales of their own"),
        ({"target_modules": ["lm_head", "q_proj"]}, "it changes lm_head"),
        ({"peft_type": "IA3"}, "no LoRA adapter but 'IA3'"),
        ({"r": "x"}, "no LoRA adapter"),
    ],
)
def test_reasons(changes: dict[str, Any], reason: str | None) -> None:
    found = why_not({**GOOD, **changes}, max_rank=64)
    assert found is None if reason is None else found is not None and reason in found


@pytest.mark.parametrize(
    "changes", [{}, {"use_dora": True}, {"modules_to_save": ["lm_head"]}, {"bias": "all"}, {"r": 128}]
)
def test_vllm_refuses_the_same(changes: dict[str, Any]) -> None:
    pytest.importorskip("vllm", reason="vLLM is not installed")
    from vllm.config.lora import LoRAConfig
    from vllm.lora.peft_helper import PEFTHelper

    config = {**GOOD, **changes}
    helper = PEFTHelper.from_dict(config)
    try:
        helper.validate_legal(LoRAConfig(max_lora_rank=64))
        refused = False
    except ValueError:
        refused = True
    assert refused == (why_not(config, 64) is not None)


def test_ranks_are_those_that_vllm_takes() -> None:
    pytest.importorskip("vllm", reason="vLLM is not installed")
    from typing import get_args

    from vllm.config.lora import MaxLoRARanks

    assert set(RANKS) == set(get_args(MaxLoRARanks)) - {1}


@pytest.mark.parametrize(("ranks", "rank"), [([], 16), ([4], 16), ([17], 32), ([300], 320), ([9999], 512)])
def test_the_engine_gets_the_rank_it_needs(ranks: list[int], rank: int) -> None:
    assert rank_for(ranks) == rank


def test_what_is_no_configuration_is_said_to_be_none() -> None:
    for written in (None, b"", b"{", b"\xff"):
        with pytest.raises(ModelError, match="there is no adapter"):
            adapter_config(written)
    with pytest.raises(ModelError, match="is not a mapping"):
        adapter_config(b"[]")
    assert adapter_config(json.dumps(GOOD).encode()) == GOOD
