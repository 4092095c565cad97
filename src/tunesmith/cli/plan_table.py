"""A plan for people, in 80 columns: the recipe as it stands, ways to make it fit, alternatives, methods."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tunesmith.cli.explain_table import size
from tunesmith.plan.money import usd

if TYPE_CHECKING:
    from rich.table import Table

    from tunesmith.plan.plan import Plan
    from tunesmith.plan.prompt import PromptOrTune
    from tunesmith.plan.search import Option

MARKS = {"FITS": "fits", "TIGHT": "TIGHT", "OOM": "OOM"}
SHORT_STRATEGY = {"none": "", "optimizer": "+offload opt.", "all": "+offload"}


def plan_tables(plan: Plan, top: int, refused: bool) -> Iterator[Any]:
    """Strings and rich tables, in the order of reading."""
    yield f"{plan.name}: {plan.source}, {plan.parameters:,} parameters ({plan.shape_from})"
    yield f"{plan.tokens:,.0f} tokens to learn from, all epochs ({plan.rows_from})\n"
    yield from _written(plan.written)
    if plan.remedies:
        yield "\nTo make it fit:"
        for line in remedy_lines(plan):
            yield f"  {line}"
    if plan.ranked:
        yield f"\n{plan.written.settings.method} elsewhere, {'cheapest' if plan.by == 'usd' else 'fastest'} first:"
        yield _ranked(plan, top)
        yield "\n".join(_price_notes(plan.ranked[:top]))
    yield (
        "\nThe same rows by each method, where it is cheapest:" if plan.by == "usd" else "\nEach method at its fastest:"
    )
    yield _methods(plan)
    if plan.prompt is not None:
        yield "\nPrompt or fine-tune:"
        yield from _prompt(plan.prompt)
    if refused:
        yield "\nRefused:"
        for one in plan.refusals:
            yield f"  {one.machine}{_times(one.count)}, {one.method}: {one.reason}"
    elif plan.refusals:
        yield f"\n{len(plan.refusals)} layouts do not fit: --refused says why"


def remedy_lines(plan: Plan) -> list[str]:
    """One way to make it fit a line, with what the run then costs."""
    return [f"{way.what}: {hours(way.hours * 3600)}, {usd(way.usd)} ({MARKS[way.verdict]})" for way in plan.remedies]


def hours(seconds: float) -> str:
    """A time as people say it."""
    if seconds == float("inf"):
        return "never"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


def _written(option: Option) -> Iterator[Any]:
    place = f"{option.machine}{_times(option.count)}, {option.accelerator or 'no GPU'}"
    yield f"As written, on {place}: {option.settings.method}, {_strategy(option)}, {option.workers} worker(s)"
    table = _table(("a worker holds", "left"), ("bytes", "right"), ("where", "left"))
    for term in sorted(option.memory, key=lambda one: -one.bytes):
        if term.bytes >= 1 << 20:
            table.add_row(term.what, size(term.bytes), {"device": "GPU", "host": "memory"}.get(term.where, term.where))
    yield table
    if option.device_limit:
        yield f"  GPU {size(option.device_bytes)} of {size(option.device_limit)}; all workers of a machine:"
    yield f"  memory {size(option.host_bytes)} of {size(option.host_limit)}: {MARKS[option.verdict]}"
    lost = f", of which {hours(option.interruption_seconds)} for interruptions" if option.interruption_seconds else ""
    yield f"  {hours(option.total_seconds)}{lost}; {option.steps:,} steps, {option.tokens_per_second:,.0f} tokens/s"
    parts = (f"{name.replace('_', '-')} {hours(value)}" for name, value in option.seconds.items() if value >= 1)
    yield f"  ({', '.join(parts)})"
    yield f"  rates {option.rates}"
    yield f"  {usd(option.usd)} at {usd(option.price.usd_per_hour)} an hour{_each(option)}, {option.market}"
    yield f"  price of {option.price.date.isoformat()}: {option.price.source}"


def _ranked(plan: Plan, top: int) -> Table:
    left, right = ("machine", "market", "layout"), ("memory", "time", "USD")
    table = _table(*((name, "left") for name in left), *((name, "right") for name in right))
    for one in plan.ranked[:top]:
        share = f"{one.share_of_memory:.0%}{'!' if one.verdict == 'TIGHT' else ''}"
        table.add_row(
            f"{one.machine}{_times(one.count)}",
            one.market,
            _strategy(one),
            share,
            hours(one.total_seconds),
            usd(one.usd),
        )
    return table


def _methods(plan: Plan) -> Table:
    table = _table(("method", "left"), ("machine", "left"), ("market", "left"), ("time", "right"), ("USD", "right"))
    for name, one in plan.methods.items():
        if one is None:
            table.add_row(name, "fits on none of these", "", "", "")
        else:
            table.add_row(name, f"{one.machine}{_times(one.count)}", one.market, hours(one.total_seconds), usd(one.usd))
    return table


def _price_notes(options: tuple[Option, ...]) -> list[str]:
    """Each source of a price once."""
    notes = Counter(f"  {one.price.date.isoformat()}: {one.price.source}" for one in options)
    return ["Prices:", *notes]


def _prompt(found: PromptOrTune) -> Iterator[str]:
    yield f"  {found.requests_per_month:,} requests a month: {usd(found.prompt_usd)} by prompt,"
    yield f"  {usd(found.tuned_usd)} by the tuned model ({found.served_by}), once {usd(found.training_usd)} to train"
    if found.break_even_months is None:
        yield "  the tuned model saves nothing at this demand"
    else:
        yield f"  paid for after {found.break_even_months:.2g} months or {found.break_even_requests:,} requests"
    if found.year_requests_per_month is not None:
        yield f"  worth it within a year from {found.year_requests_per_month:,} requests a month on"


def _strategy(option: Option) -> str:
    settings = option.settings
    again = " +checkpointing" if settings.gradient_checkpointing else ""
    return f"{settings.strategy}{SHORT_STRATEGY[settings.offload] and ' ' + SHORT_STRATEGY[settings.offload]}{again}"


def _times(count: int) -> str:
    return f" x{count}" if count > 1 else ""


def _each(option: Option) -> str:
    return f" for each of {option.count}" if option.count > 1 else ""


def _table(*columns: tuple[str, Any]) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name, justify in columns:
        table.add_column(name, justify=justify, overflow="fold")
    return table
