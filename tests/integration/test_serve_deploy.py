"""`serve deploy serving/cpu.yaml` on a cluster, as its head says: the file as it is, on a host in namespaces."""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration import served
from tests.integration.hosts import Hosts, why_not
from tunesmith.recipe.load import load_recipe
from tunesmith.registry.registry import Registry
from tunesmith.registry.version import NewVersion
from tunesmith.serve.local import REPEAT
from tunesmith.store.home import Home

if TYPE_CHECKING:
    from tunesmith.models.resolve import ResolvedModel

ROOT = Path(__file__).parents[2]
ASK = """
import json, sys, urllib.error, urllib.request
try:
    with urllib.request.urlopen(urllib.request.Request(sys.argv[1], sys.argv[2].encode() or None,
                                {"content-type": "application/json"}), timeout=100) as answer:
        print(json.dumps({**json.load(answer), "http": answer.status}))
except urllib.error.HTTPError as error:
    print(json.dumps({"http": error.code, "said": error.read().decode()}))
except OSError as error:
    print(json.dumps({"http": 0, "said": str(error)}))
"""


@pytest.mark.cluster
@pytest.mark.slow
def test_the_config_file_for_cpus_is_deployed_and_answers(tmp_path: Path, smollm2: ResolvedModel) -> None:
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)  # also in CI: whether namespaces may be made is the container's to say
    project = tmp_path / "project"
    for name in ("serving", "jobs"):
        shutil.copytree(ROOT / name, project / name)
    home = Home(project / ".tunesmith", f"sqlite:///{project}/.tunesmith/registry.db", str(tmp_path / "artifacts"))
    shutil.copytree(smollm2.folder, home.models / smollm2.folder.name)
    recipe = load_recipe(project / "jobs" / "quickstart.yaml").recipe
    new = NewVersion(
        name=recipe.name, kind="adapter", base_model=recipe.model.source, base_revision=smollm2.revision,
        recipe_hash="r1", recipe=recipe.model_dump(mode="json"), created_by="ann", verdict="passed",
    )  # fmt: skip
    adapter = served.write_adapter(smollm2.folder, tmp_path / "adapter", 1)
    reference = Registry.open(home).register(new, adapter).reference
    with Hosts(tmp_path / "hosts", 1) as hosts:
        programs = Path(sys.executable).parent
        environment = {
            **served.where(home), "RAY_AUTH_MODE": "disabled", "RAY_SERVE_ENABLE_HA_PROXY": "1",
            "RAY_SERVE_HAPROXY_RETRY_ON": REPEAT, "RAY_USAGE_STATS_ENABLED": "0",
            "TUNESMITH_ENGINE_TOKEN": "a-secret-of-this-test", "HF_HUB_OFFLINE": "1",
        }  # fmt: skip

        def run(*command: str) -> str:
            settings = [f"{name}={value}" for name, value in environment.items()]
            return hosts.run(1, ["env", f"--chdir={project}", *settings, *command], timeout=200)

        def ask(path: str, body: Any = None) -> Any:
            said = run(sys.executable, "-c", ASK, f"http://127.0.0.1:8000{path}", json.dumps(body) if body else "")
            return json.loads(said)

        run(str(programs / "ray"), "start", "--head", "--num-cpus", "4")
        run(str(programs / "serve"), "deploy", "serving/cpu.yaml")
        deadline = time.monotonic() + 300
        while (health := ask("/healthz"))["http"] != 200 or health["unchecked"]:
            assert time.monotonic() < deadline, (health, run(str(programs / "serve"), "status"))
            time.sleep(2)
        asked = {"model": recipe.name, "messages": [{"role": "user", "content": "hi"}], "max_completion_tokens": 4}
        answer = ask("/v1/chat/completions", asked)
        assert (answer["http"], answer["model"]) == (200, reference), answer
        assert answer["usage"]["completion_tokens"] == 4
