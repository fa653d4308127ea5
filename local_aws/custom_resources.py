"""Schemas of custom Kubernetes resources: their makers' where set-up got them, else small ones of our own.

A definition's schema is held strictly, as the API server's field validation does: an unknown field is an
error. What only a running API server judges is the rules in CEL (`x-kubernetes-validations`), defaults and
whether another object is there.
"""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from toolchain import crds

OWN = Path(__file__).with_name("custom_resources.yaml")


@functools.cache
def schema_of(api_version: str, kind: str) -> tuple[str, Mapping[str, Any]] | None:
    """(what it is, a JSON Schema) for a kind; None where nothing is known of it."""
    group, _, version = api_version.partition("/")
    for path in sorted(crds.folder().glob("*.yaml")):
        definition = yaml.safe_load(path.read_text(encoding="utf-8"))
        spec = definition["spec"]
        if (spec["group"], spec["names"]["kind"]) != (group, kind):
            continue
        for served in spec["versions"]:
            if served["name"] == version:
                return f"the definition of {kind} {api_version}", _root(served["schema"]["openAPIV3Schema"])
    own = yaml.safe_load(OWN.read_text(encoding="utf-8")).get(f"{api_version}/{kind}")
    return ("a minimal schema of our own", _root(own)) if own is not None else None


def _root(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The whole object: its metadata is the API server's affair, its status nobody sets."""
    properties = {
        **schema["properties"],
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    }
    properties.pop("status", None)
    required = ["apiVersion", "kind", "metadata", "spec"]
    strict: Mapping[str, Any] = _strict({**schema, "properties": properties, "required": required})
    return strict


def _strict(schema: Any) -> Any:
    """A structural schema as JSON Schema that takes no unknown field.

    https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
    """
    if not isinstance(schema, Mapping):
        return schema
    made = {key: value for key, value in schema.items() if not key.startswith("x-kubernetes-")}
    if schema.get("x-kubernetes-int-or-string"):
        made.pop("type", None)
        made.setdefault("anyOf", [{"type": "integer"}, {"type": "string"}])
    if "properties" in made:
        made["properties"] = {name: _strict(value) for name, value in made["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            made.setdefault("additionalProperties", False)
    for key in ("items", "additionalProperties"):
        if isinstance(made.get(key), Mapping):
            made[key] = _strict(made[key])
    if made.pop("nullable", False) and isinstance(made.get("type"), str):
        made["type"] = [made["type"], "null"]
    made.pop("format", None)  # int32 and the like, of which JSON Schema knows nothing
    return made
