"""What `tunesmith sweep` refuses before anything is spent."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from tunesmith.cli import cli


@pytest.mark.parametrize("price", ["cheap", "-1", "nan"])
def test_a_price_is_a_number_of_dollars(tmp_path: Path, price: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("name: tiny\nmodel: {source: model}\ndata: {train: rows.jsonl}\n")
    done = CliRunner().invoke(cli, ["sweep", str(path), "--usd-per-hour", price])
    assert done.exit_code == 2
    assert f"'{price}' is no price in US dollars" in done.output
