"""The training loop against TRL's SFTTrainer: same model, rows, hardware, adapter, rates and number of steps.

    python benchmarks/train_throughput.py [--quick] [--steps N]

Three trainings, each in a process of its own, one after the other, on the rows of `jobs/quickstart.yaml`: this loop,
TRL with its defaults, TRL with `packing=True`. TRL is given the same tokens with the same labels (`input_ids`,
`labels`), in the order in which this loop takes them, so that all three learn the same examples once. Precision,
gradient checkpointing and the rest are what each chooses by itself. Figure of merit: learnt tokens per second of
training, from the end of the first optimizer step to the end of the last, without loading, evaluation and saving. The
adapters are then evaluated by one piece of code, in float32, on the same validation rows: a speed only counts at the
same loss.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RECIPE = ROOT / "jobs" / "quickstart.yaml"
STEPS, QUICK_STEPS = 20, 3
TRL_BATCH = 4
"""Examples that TRL takes through the model at once; fewer are padded less, more make larger products."""


def main() -> None:
    """Run the three, one after the other, and print what came out."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_STEPS} optimizer steps instead of {STEPS}")
    parser.add_argument("--steps", type=int, help="optimizer steps of each training")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    if arguments.worker:
        kind, path = arguments.worker
        task = json.loads(Path(path).read_text())
        Path(path).with_suffix(f".{kind}.out").write_text(json.dumps(WORKERS[kind](task)))
        return
    with tempfile.TemporaryDirectory(prefix="tunesmith-bench-") as scratch:
        report(compare(Path(scratch), arguments.steps or (QUICK_STEPS if arguments.quick else STEPS)))


def compare(scratch: Path, steps: int) -> dict[str, Any]:
    """Every worker's results by its name."""
    task = {"scratch": str(scratch), "steps": steps, "threads": len(os.sched_getaffinity(0))}
    path = scratch / "task.json"
    results = {}
    for kind in WORKERS:
        path.write_text(json.dumps(task))
        print(f"{kind} ...", file=sys.stderr, flush=True)
        began, load = time.perf_counter(), os.getloadavg()[0]
        log = scratch / f"{kind}.log"
        with log.open("w") as file:
            code = subprocess.call([sys.executable, __file__, "--worker", kind, str(path)], stdout=file, stderr=file)
        if code:
            sys.exit(f"{kind} failed:\n{log.read_text()[-3000:]}")
        results[kind] = json.loads(path.with_suffix(f".{kind}.out").read_text())
        results[kind] |= {"total_seconds": time.perf_counter() - began, "load": load}
        task.update(results[kind].pop("hand_on", {}))
    return results


def prepare_rows(task: dict[str, Any]) -> dict[str, Any]:
    """Model and dataset version of the recipe, and the examples of the first steps in the loop's order."""
    import numpy as np

    from tunesmith.data.prepare import prepare
    from tunesmith.recipe.load import load_recipe
    from tunesmith.store.home import find_home
    from tunesmith.train.batches import plan_batches
    from tunesmith.train.ingredients import ingredients

    steps = task["steps"]
    overrides = [f"train.max_steps={steps}", f"train.eval_every={steps}", "train.checkpoint_every=1000000"]
    loaded = load_recipe(RECIPE, overrides)
    home = find_home()
    found = ingredients(loaded, home)
    dataset = prepare(found.preparation, home.datasets)
    rows = dataset.rows("train")
    plan = plan_batches(rows.num_tokens, loaded.recipe.train)
    examples = []
    for step in range(plan.total_steps):
        for row in (rows[index] for index in plan.rows(step)):
            labels = np.full(len(row.input_ids), -100)
            labels[row.label_positions] = row.input_ids[row.label_positions]
            cuts = np.cumsum(row.document_lengths)[:-1]
            pieces = zip(np.split(row.input_ids, cuts), np.split(labels, cuts), strict=True)
            examples += [{"input_ids": ids.tolist(), "labels": label.tolist()} for ids, label in pieces]
    (Path(task["scratch"]) / "examples.json").write_text(json.dumps(examples))
    hand_on = {
        "recipe": loaded.recipe.model_dump(mode="json"),
        "steps": plan.total_steps,
        "model": str(found.model.folder),
        "dataset": str(dataset.folder),
        "rows_per_step": loaded.recipe.train.batch_size,
        "examples": len(examples),
    }
    lengths = [len(example["input_ids"]) for example in examples]
    return {"hand_on": hand_on, "examples": len(examples), "steps": plan.total_steps, "tokens": sum(lengths)}


def train_ours(task: dict[str, Any]) -> dict[str, Any]:
    """This loop in one process."""
    from tunesmith.train.job import TrainJob
    from tunesmith.train.loop import Loop
    from tunesmith.train.sinks import read_events

    run = Path(task["scratch"]) / "ours"
    run.mkdir()
    job = TrainJob(task["recipe"], str(run), task["dataset"], task["model"], "base", {}, task["threads"])
    loop = Loop(job)
    loop.run()
    steps = [event for event in read_events(run) if event["event"] == "step"]
    total = {key: sum(event[key] for event in steps[1:]) for key in ("tokens", "label_tokens", "seconds")}
    flops = sum(_flops(loop, loop.plan.rows(number)) for number in range(1, len(steps)))
    return {
        **_figures(total["tokens"], total["label_tokens"], total["seconds"], len(steps)),
        "first_step_seconds": steps[0]["seconds"],
        "flops_per_second": flops / total["seconds"],
        "dtype": f"{str(loop.dtype).removeprefix('torch.')} base, float32 adapter, packed rows of "
        f"{loop.section.sequence_length}",
        "profile": _profile(loop),
        "adapter": str(run / "adapter"),
    }


def train_trl(task: dict[str, Any], packing: bool = False) -> dict[str, Any]:
    """TRL's SFTTrainer on the same tokens; batches are as near to this loop's as they get."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoTokenizer, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    from tunesmith.recipe.train import TrainSection
    from tunesmith.train.optimizer import num_warmup_steps

    torch.set_num_threads(task["threads"])
    examples = json.loads((Path(task["scratch"]) / "examples.json").read_text())
    train = TrainSection.model_validate({**task["recipe"]["train"], "batch_tokens": None})
    seen = {"tokens": 0, "labels": 0}
    marks: list[tuple[float, int, int]] = []

    class Counting(SFTTrainer):
        def training_step(self, model: Any, inputs: Any, *rest: Any, **named: Any) -> Any:
            labels = inputs["labels"]
            mask = inputs.get("attention_mask")
            seen["tokens"] += int(mask.sum()) if mask is not None else labels.numel()
            seen["labels"] += int((labels != -100).sum())
            return super().training_step(model, inputs, *rest, **named)

        def _get_train_sampler(self, *_: Any) -> Any:
            return torch.utils.data.SequentialSampler(self.train_dataset)

    class Clock(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            marks.append((time.perf_counter(), seen["tokens"], seen["labels"]))

    accumulate = task["rows_per_step"] if packing else max(1, round(len(examples) / task["steps"] / TRL_BATCH))
    config = SFTConfig(
        output_dir=str(Path(task["scratch"]) / f"trl-{packing}"),
        max_length=train.sequence_length,
        packing=packing,
        per_device_train_batch_size=1 if packing else TRL_BATCH,
        gradient_accumulation_steps=accumulate,
        num_train_epochs=1,
        learning_rate=train.learning_rate,
        lr_scheduler_type=train.schedule,
        warmup_steps=num_warmup_steps(task["steps"], train),
        weight_decay=train.weight_decay,
        max_grad_norm=train.max_grad_norm,
        seed=train.seed,
        save_strategy="no",
        eval_strategy="no",
        report_to=[],
        use_cpu=not torch.cuda.is_available(),
        disable_tqdm=True,
    )
    method = task["recipe"]["method"]
    adapter = LoraConfig(
        r=method["rank"], lora_alpha=method["alpha"], target_modules="all-linear", task_type="CAUSAL_LM"
    )
    trainer = Counting(
        task["model"],
        config,
        train_dataset=Dataset.from_list(examples),
        processing_class=AutoTokenizer.from_pretrained(task["model"]),
        peft_config=adapter,
        callbacks=[Clock()],
    )
    trainer.train()
    folder = Path(task["scratch"]) / f"adapter-trl-{packing}"
    trainer.model.save_pretrained(folder)
    (begin, tokens, labels), (end, all_tokens, all_labels) = marks[0], marks[-1]
    parameter = next(p for name, p in trainer.model.named_parameters() if "lora_" not in name)
    attention = trainer.model.config._attn_implementation
    return {
        **_figures(all_tokens - tokens, all_labels - labels, end - begin, len(marks)),
        "dtype": f"{str(parameter.dtype).removeprefix('torch.')} base, "
        f"{'bfloat16 autocast' if config.bf16 else 'no autocast'}, {attention} attention, gradient checkpointing "
        f"{'on' if config.gradient_checkpointing else 'off'}, {1 if packing else TRL_BATCH} x {accumulate} a step",
        "adapter": str(folder),
    }


def train_trl_packed(task: dict[str, Any]) -> dict[str, Any]:
    """The same with rows of several examples, as TRL packs them (best fit, decreasing)."""
    return train_trl(task, packing=True)


def evaluate(task: dict[str, Any]) -> dict[str, Any]:
    """Loss of every adapter on the validation rows, in float32, by the same code; and of the base alone."""
    import torch

    from tunesmith.data.dataset import open_dataset
    from tunesmith.models.attention import PACKED, register
    from tunesmith.models.load import choose_device, load_base
    from tunesmith.models.lora import load_adapter
    from tunesmith.recipe.model import ModelSection
    from tunesmith.train.batches import micro_batches
    from tunesmith.train.forward import MicroBatch, loss_sum

    torch.set_num_threads(task["threads"])
    register()
    rows, device = open_dataset(Path(task["dataset"])).rows("validation"), choose_device()
    losses = {}
    scratch = Path(task["scratch"])
    folders = {"ours": "ours/adapter", "trl": "adapter-trl-False", "trl-packed": "adapter-trl-True"}
    for name, folder in {"base": None, **folders}.items():
        section = ModelSection(source="base", dtype="float32")
        model: Any = load_base(Path(task["model"]), section, device, attention=PACKED)
        if folder is not None:
            model = load_adapter(model, scratch / folder)
        total, weight = 0.0, 0.0
        with torch.inference_mode():
            for group in micro_batches(list(range(len(rows))), rows.num_tokens, 2048):
                batch = MicroBatch.of([rows[index] for index in group], device, torch.float32)
                total += float(loss_sum(model, batch))
                weight += batch.label_weight
        losses[name] = total / weight
    return {"losses": losses}


def peak(task: dict[str, Any]) -> dict[str, Any]:
    """The highest rate of large products in each type, FLOP/s: the best of 20 of 4096 x 4096 and of 2048 x 2048."""
    import torch
    import torch.nn.functional as F

    from tunesmith.models.load import choose_device

    torch.set_num_threads(task["threads"])
    device = choose_device()
    rates = {}
    for dtype in (torch.bfloat16, torch.float32):
        best = 0.0
        for size in (2048, 4096):
            x, weight = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
            for _ in range(20):
                began = time.perf_counter()
                F.linear(x, weight)
                if device.type == "cuda":
                    torch.cuda.synchronize()
                best = max(best, 2 * size**3 / (time.perf_counter() - began))
        rates[str(dtype).removeprefix("torch.")] = best
    return {"peak": rates}


WORKERS = {
    "prepare": prepare_rows,
    "ours": train_ours,
    "trl": train_trl,
    "trl-packed": train_trl_packed,
    "evaluate": evaluate,
    "peak": peak,
}


def _figures(tokens: float, label_tokens: float, seconds: float, steps: int) -> dict[str, float]:
    return {
        "steps": steps,
        "seconds": seconds,
        "tokens_per_second": tokens / seconds,
        "label_tokens_per_second": label_tokens / seconds,
    }


def _flops(loop: Any, rows: list[int]) -> float:
    """Products that a step needs: with a frozen base, 2N forward and 2N for the gradient of the activations a token.

    N without embeddings and head; the head (as many again) for learnt positions only; adapters 2A forward and 4A
    backward; causal attention inside documents 2 L^2 d forward and twice that backward, for each layer.
    """
    config = loop.adapted.config.get_text_config()
    head = config.vocab_size * config.hidden_size
    frozen = sum(module.base_layer.weight.numel() for module in loop.adapted.modules() if hasattr(module, "base_layer"))
    adapters = sum(p.numel() for p in loop.parameters.values())
    width = config.num_attention_heads * getattr(config, "head_dim", config.hidden_size // config.num_attention_heads)
    chosen = [loop.train_rows[row] for row in rows]
    tokens = sum(len(row.input_ids) for row in chosen)
    labels = sum(len(row.label_positions) for row in chosen)
    squares = sum(float((row.document_lengths.astype(float) ** 2).sum()) for row in chosen)
    attention = 6 * squares * width * config.num_hidden_layers
    return tokens * (4 * frozen + 6 * adapters) + labels * 4 * head + attention


OPERATIONS = {
    "matrix products": ("aten::mm", "aten::addmm", "aten::addmm_", "aten::linear", "aten::matmul"),
    "attention": ("aten::bmm", "aten::baddbmm", "aten::_softmax", "aten::_softmax_backward_data", "aten::index_select",
                  "aten::index_add_", "aten::_scaled_dot_product", "aten::cat"),
    "optimizer and clipping": ("aten::_fused_adamw_", "aten::_foreach", "aten::linalg_vector_norm", "aten::stack"),
    "loss": ("aten::_log_softmax", "aten::nll_loss", "aten::_log_softmax_backward_data", "aten::dot"),
}  # fmt: skip


def _profile(loop: Any) -> dict[str, float]:
    """Share of each kind of work in one step more, by the profiler's own time of each operation."""
    from torch.profiler import ProfilerActivity, profile

    rows = loop.plan.rows(0)
    began = time.perf_counter()
    loop._batch(loop.train_rows, rows)
    data_seconds = time.perf_counter() - began
    with profile(activities=[ProfilerActivity.CPU]) as recorded:
        began = time.perf_counter()
        loop._step(1)
        seconds = time.perf_counter() - began
    shares = dict.fromkeys(OPERATIONS, 0.0) | {"elementwise and copies": 0.0}
    for event in recorded.key_averages():
        if event.key.startswith("aten::"):
            kind = next(
                (kind for kind, names in OPERATIONS.items() if any(_is(event.key, name) for name in names)),
                "elementwise and copies",
            )
            shares[kind] += event.self_cpu_time_total / 1e6 / seconds
    shares["making batches"] = data_seconds / seconds
    shares["Python and dispatch"] = max(0.0, 1 - sum(shares.values()))
    return shares


def _is(name: str, prefix: str) -> bool:
    return name == prefix or (prefix.endswith(("_foreach", "nll_loss", "product")) and name.startswith(prefix))


def report(results: dict[str, Any]) -> None:
    """Machine, versions, table, where the time goes, and the line of JSON."""
    ours, trl, packed = results["ours"], results["trl"], results["trl-packed"]
    losses, rates = results["evaluate"]["losses"], results["peak"]["peak"]
    print(f"machine: {_machine()}")
    print("versions: " + ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "peft", "trl")))
    rows = results["prepare"]
    print(f"rows: {rows['examples']} examples, {rows['tokens']} tokens, {rows['steps']} optimizer steps\n")
    print(f"{'':12} {'label tokens/s':>15} {'tokens/s':>9} {'seconds':>8} {'steps':>6} {'loss':>11} {'load':>5}")
    for name, figures in (("ours", ours), ("trl", trl), ("trl-packed", packed)):
        print(
            f"{name:12} {figures['label_tokens_per_second']:15.1f} {figures['tokens_per_second']:9.1f} "
            f"{figures['seconds']:8.1f} {figures['steps']:6} {losses[name]:11.4f} {figures['load']:5.1f}  "
            f"{figures['dtype']}"
        )
    print(f"{'base':12} {'':15} {'':9} {'':8} {'':6} {losses['base']:11.4f}")
    dtype = ours["dtype"].split()[0]
    print("\nwhere our time goes: " + ", ".join(f"{kind} {part:.0%}" for kind, part in ours["profile"].items()))
    print(f"products needed: {ours['flops_per_second'] / 1e9:.0f} GFLOP/s of {rates[dtype] / 1e9:.0f} in {dtype}")
    for name in ("trl", "trl-packed"):
        gap = abs(losses[name] / losses["ours"] - 1)
        print(f"validation loss of {name} differs by {gap:.2%}{'' if gap <= 0.01 else ': MORE THAN 1 %'}")
    line = {
        "ratio_trl_default": ours["label_tokens_per_second"] / trl["label_tokens_per_second"],
        "ratio_trl_packed": ours["label_tokens_per_second"] / packed["label_tokens_per_second"],
        "tokens_per_second": ours["tokens_per_second"],
        "label_tokens_per_second": ours["label_tokens_per_second"],
        "share_of_matmul_peak": ours["flops_per_second"] / rates[dtype],
        "validation_loss": {name: losses[name] for name in ("ours", "trl", "trl-packed")},
    }
    print(json.dumps(line))


def _machine() -> str:
    cpu = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        "unknown CPU",
    )
    return f"{len(os.sched_getaffinity(0))} cores of {cpu}; `load` is that of the machine when a training began"


if __name__ == "__main__":
    main()
