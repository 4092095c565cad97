"""Training as plain PyTorch: one conversation at a time, full logits, torch's SDPA, PEFT's own layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from tests.unit.train.tiny import Document
from tunesmith.recipe.method import MethodSection
from tunesmith.recipe.train import TrainSection


def peft_model(folder: Path, method: MethodSection, seed: int) -> Any:
    """The base with PEFT's adapter, without anything of ours."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa")
    torch.manual_seed(seed)
    config = LoraConfig(
        r=method.rank, lora_alpha=method.alpha, target_modules="all-linear", task_type="CAUSAL_LM",
        use_rslora=method.rslora, use_dora=method.dora,
    )  # fmt: skip
    return get_peft_model(base, config)


def document_loss(model: Any, document: Document) -> torch.Tensor:
    """Weighted sum of -ln p of the learnt tokens."""
    logits = model(input_ids=torch.tensor([document.ids])).logits[0]
    logs = F.log_softmax(logits, dim=-1)
    picked = [
        -weight * logs[position - 1, document.ids[position]]
        for position, weight in zip(document.positions, document.weights, strict=True)
    ]
    return torch.stack(picked).sum()


def weight_of(rows: Sequence[Sequence[Document]]) -> float:
    return sum(sum(document.weights) for row in rows for document in row)


def mean_loss(model: Any, rows: Sequence[Sequence[Document]]) -> torch.Tensor:
    """Mean over the learnt tokens of all conversations."""
    losses = torch.stack([document_loss(model, document) for row in rows for document in row])
    return losses.sum() / weight_of(rows)


def train(
    model: Any, rows: Sequence[Sequence[Document]], batches: Sequence[Sequence[int]], section: TrainSection
) -> list[tuple[float, float]]:
    """Loss and gradient norm of each step. The schedule is transformers' own, fed with our warm-up."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(
        parameters, lr=1.0, betas=section.betas, weight_decay=section.weight_decay, foreach=False, fused=False
    )
    total = len(batches)
    warmup = round(section.warmup * total) if section.warmup < 1 else int(section.warmup)
    reached = []
    for step, batch in enumerate(batches):
        rate = section.learning_rate * (
            (step + 1) / (warmup + 1)
            if step < warmup
            else (1 + math.cos(math.pi * (step - warmup) / (total - warmup))) / 2
        )
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        loss = mean_loss(model, [rows[index] for index in batch])
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters, section.max_grad_norm or float("inf"))
        optimizer.step()
        reached.append((loss.item(), norm.item()))
    return reached
