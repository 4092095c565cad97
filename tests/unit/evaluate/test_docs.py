"""What docs/evaluate.md says is so."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import yaml

from tests.unit.evaluate.made_up import answers_of, rows_of
from tunesmith.evaluate.gates import GATES
from tunesmith.evaluate.metrics import METRICS
from tunesmith.evaluate.metrics.metric import MeanMetric
from tunesmith.recipe.evaluate import EvaluateSection

PAGE = (Path(__file__).parents[3] / "docs" / "evaluate.md").read_text(encoding="utf-8")


def test_every_metric_and_gate_is_in_the_page() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])}
    assert set(METRICS) | set(GATES) <= named


def test_the_recipe_in_the_page_is_valid() -> None:
    (recipe,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    section = EvaluateSection.model_validate(yaml.safe_load(recipe)["evaluate"])
    assert section.gate.margin == 0.02


def test_the_metric_in_the_page_works() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, object] = {}
    exec("\n".join(line.removeprefix("   ") for line in code.splitlines()), names)
    metric = names["EndsWithStop"]
    assert isinstance(metric, type) and issubclass(metric, MeanMetric)
    measured = metric().measure(rows_of(["x", "y"]), answers_of(["A stop. ", "none"]), EvaluateSection())
    assert measured.result.value == 0.5


def test_reading_and_printing_a_report_needs_no_heavy_library() -> None:
    code = (
        "import sys, tunesmith.evaluate.result, tunesmith.evaluate.render, tunesmith.evaluate.selection;"
        "print(sorted({'numpy', 'scipy', 'nltk', 'torch', 'jinja2', 'regex'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
