"""What docs/plan-memory.md says is so."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[4] / "docs" / "plan-memory.md"


def test_the_example_runs_without_torch_and_adds_up() -> None:
    [block] = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    code = f"{block}\nimport sys\nassert not {{'torch', 'ray', 'transformers'}} & set(sys.modules)"
    lines = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    sizes = [float(line.split(" GiB on the device")[0]) for line in lines if " GiB on the device" in line]
    total = float(lines[-1].split(" GiB on the GPU")[0])
    assert abs(sum(sizes) - total) < 0.15
    assert 7 < total < 16  # a QLoRA of 8B is what one small GPU is bought for
