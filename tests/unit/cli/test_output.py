"""What `--json` prints."""

from __future__ import annotations

import json
import subprocess
import sys


def test_only_the_answer_is_on_standard_output_with_json() -> None:
    code = (
        "import os, sys; from tunesmith.cli import output; output.keep_stdout_for_json();"
        "print('a library says'); os.write(1, b'so does C++\\n'); output.print_json({'a': 1})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {"a": 1}
    assert "a library says" in done.stderr and "so does C++" in done.stderr
