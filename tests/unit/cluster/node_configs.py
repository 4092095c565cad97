"""What a launcher file gives to a cloud, held against that cloud's own description of its API. Offline."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def aws(config: dict[str, Any]) -> list[str]:
    """Mistakes in what RunInstances would get, by botocore's model of EC2."""
    import botocore.session
    import botocore.validate

    model = botocore.session.get_session().get_service_model("ec2").operation_model("RunInstances").input_shape
    asked = {**config, "MinCount": 1, "MaxCount": 1}
    # Ray takes the subnets out, and puts one of them in.
    asked.pop("SubnetIds", None)
    report = botocore.validate.ParamValidator().validate(asked, model)
    return [*report.generate_report().splitlines(), *_enums(asked, model, "RunInstances")]


def _enums(value: Any, shape: Any, place: str) -> Iterator[str]:
    """Words that are not among those of the model, which botocore itself does not look at."""
    if shape.type_name == "structure":
        for key, inner in value.items():
            if key in shape.members:
                yield from _enums(inner, shape.members[key], f"{place}.{key}")
    elif shape.type_name == "list":
        for number, inner in enumerate(value):
            yield from _enums(inner, shape.member, f"{place}[{number}]")
    elif getattr(shape, "enum", None) and value not in shape.enum:
        yield f"{place}: {value!r} is not one of {len(shape.enum)} known"


def gcp(config: dict[str, Any]) -> list[str]:
    """Mistakes in what instances.insert would get, by the discovery document of Compute Engine."""
    return gcp_schema_mistakes(config, "Instance")


def gcp_schema_mistakes(value: Any, name: str) -> list[str]:
    """Mistakes in a value that should be one of Compute Engine's schemas."""
    import googleapiclient

    folder = Path(googleapiclient.__file__).parent / "discovery_cache" / "documents"
    schemas = json.loads((folder / "compute.v1.json").read_text(encoding="utf-8"))["schemas"]
    return list(_by_schema(value, schemas[name], schemas, name))


def _by_schema(value: Any, schema: dict[str, Any], schemas: dict[str, Any], place: str) -> Iterator[str]:
    schema = schemas[schema["$ref"]] if "$ref" in schema else schema
    kind = schema.get("type")
    types = {"object": dict, "array": list, "boolean": bool, "integer": int, "string": (str, int)}
    if kind in types and (not isinstance(value, types[kind]) or (kind == "integer" and isinstance(value, bool))):
        yield f"{place}: not {kind}"
    elif kind == "object":
        for key, inner in value.items():
            part = schema.get("properties", {}).get(key) or schema.get("additionalProperties")
            if part is None:
                yield f"{place}: no field {key}"
            else:
                yield from _by_schema(inner, part, schemas, f"{place}.{key}")
    elif kind == "array":
        for number, inner in enumerate(value):
            yield from _by_schema(inner, schema["items"], schemas, f"{place}[{number}]")
    elif kind == "string" and isinstance(value, int) and schema.get("format") not in ("int64", "uint64"):
        yield f"{place}: not string"
    elif "enum" in schema and value not in schema["enum"]:
        yield f"{place}: {value!r} is not one of {schema['enum']}"


def azure(config: dict[str, Any]) -> list[str]:
    """Mistakes in the parameters of Ray's own deployment template."""
    import ray.autoscaler._private as private

    template = Path(private.__path__[0]) / "_azure" / "azure-vm-template.json"
    parameters = json.loads(template.read_text(encoding="utf-8"))["parameters"]
    # Ray reads this one itself.
    given = {key: value for key, value in config["azure_arm_parameters"].items() if key != "availability_zone"}
    types = {"string": str, "securestring": str, "int": int, "bool": bool, "object": dict, "array": list}
    unknown = [f"no parameter {key}" for key in given if key not in parameters]
    wrong = [
        f"{key}: not {parameters[key]['type']}"
        for key, value in given.items()
        if key in parameters and not isinstance(value, types[parameters[key]["type"]])
    ]
    # What Ray fills in, from the provider section and the keys.
    rays = {"vmName", "adminUsername", "publicKey", "vmTags", "vmCount", "provisionPublicIp", "msi", "nsg", "subnet"}
    needed = {key for key, value in parameters.items() if "defaultValue" not in value} - rays
    return [*unknown, *wrong, *(f"{key} is missing" for key in sorted(needed - given.keys()))]


CHECKS = {"aws": aws, "gcp": gcp, "azure": azure}
"""Provider of a launcher file -> its check of one node_config."""
