"""What a process needs before it holds anything of a model, and what allocators waste."""

from __future__ import annotations

from tunesmith.plan.memory.activations import layer_bytes
from tunesmith.plan.memory.held import cut_of, flat_values, share
from tunesmith.plan.memory.setting import Setting
from tunesmith.plan.memory.term import Term

CPU_PROCESS = 620 << 20
"""Resident bytes of a Ray worker that has loaded torch, transformers and PEFT, CPU builds: rounded up from 470 MiB that
were seen. DeepSpeed adds its own."""

DEEPSPEED = 110 << 20
"""Resident bytes of importing DeepSpeed; an assumption."""

GPU_PROCESS = 3 << 30
"""Host bytes of a process with a CUDA context; an assumption, not measured."""

CUDA_CONTEXT = 640 << 20
"""Bytes on the GPU of a CUDA context with cuBLAS's workspace and the kernels in use; an assumption."""

NCCL = 384 << 20
"""Bytes on the GPU of NCCL's channels, where there are other workers; an assumption."""

SLACK = 0.05
"""Share of what comes and goes that PyTorch's caching allocator holds besides; an assumption."""


HEAP = 1.3
"""On a CPU, what glibc's malloc keeps of freed tensors, as a share of all that a pass over the layers makes. Fitted to
eleven runs of one model by `benchmarks/plan_accuracy.py`, which tells how far off it is for another."""


def framework(setting: Setting) -> list[Term]:
    """The terms that are there from the start."""
    deepspeed = DEEPSPEED if setting.strategy.startswith("zero") else 0
    if not setting.on_gpu:
        return [Term("Python, torch, transformers, Ray", CPU_PROCESS + deepspeed, "a constant, rounded up", "host")]
    others = NCCL if setting.workers > 1 else 0
    return [
        Term("CUDA context, cuBLAS, NCCL", CUDA_CONTEXT + others, "a constant, assumed", "device"),
        Term("Python, torch, transformers, Ray", GPU_PROCESS, "a constant, assumed", "host"),
    ]


def heap(setting: Setting) -> Term:
    """What malloc has not given back: of layers' activations, checkpointed or not, and of unpacked weights."""
    made = sum(layer_bytes(setting, layer) for layer in range(setting.shape.num_layers))
    made += sum(tensor.values for tensor in setting.tensors if tensor.quantised) * setting.compute
    return Term("freed but kept by malloc", round(HEAP * made), f"{HEAP} x what a pass over the layers makes", "host")


def slack(setting: Setting, passing: int) -> Term:
    """What the allocator of a GPU holds besides `passing` bytes that come and go."""
    if setting.habits.slack_bytes is not None:
        return Term("allocator's slack", setting.habits.slack_bytes, "as measured elsewhere", "device")
    return Term("allocator's slack", round(SLACK * passing), f"{SLACK:.0%} of what comes and goes, assumed", "device")


def checkpoint(setting: Setting) -> Term:
    """This worker's part of a checkpoint, copied to memory while it is written behind the training's back."""
    if setting.strategy in ("fsdp", "zero3"):
        values = sum(share(tensor, cut_of(setting.strategy), setting.workers) for tensor in setting.trained)
    elif setting.strategy == "ddp":
        values = -(-setting.trained_values // setting.workers)
    else:
        values = flat_values(setting) // setting.workers
    each = 4 + (2 if setting.recipe.train.optimizer != "adamw" else 8)
    return Term("copy for a checkpoint", values * each, f"{values:,} values x {each} bytes", "host")
