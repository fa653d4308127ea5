"""Schemas of custom Kubernetes resources: their makers' where set-up got them, else small ones of our own.

A definition's schema is held strictly, as the API server's field validation does: an unknown field is an
error. What only a running API server judges is the rules in CEL (`x-kubernetes-validations`), defaults and
whether another object is there: `local_aws.api_server`.
"""

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from toolchain import crds

OWN = Path(__file__).with_name("custom_resources.yaml")


@functools.cache
def schema_of(api_version: str, kind: str) -> tuple[str, Mapping[str, Any]] | None:
    """(what it is, a JSON Schema) for a kind; None where nothing is known of it."""
    group, _, version = api_version.partition("/")
    for definition in _makers():
        spec = definition["spec"]
        if (spec["group"], spec["names"]["kind"]) != (group, kind):
            continue
        for served in spec["versions"]:
            if served["name"] == version:
                return f"the definition of {kind} {api_version}", _root(served["schema"]["openAPIV3Schema"])
    own = _own().get(f"{api_version}/{kind}")
    return ("a minimal schema of our own", _root(own)) if own is not None else None


def definitions() -> Iterator[Mapping[str, Any]]:
    """A definition of every kind, for an API server: its makers', else one around the schema of our own.

    Set-up must have got the makers'; the kinds that are left to us then belong to a namespace.
    """
    makers = list(_makers())
    yield from makers
    known = {(each["spec"]["group"], each["spec"]["names"]["kind"]) for each in makers}
    for name, schema in _own().items():
        group, version, kind = name.split("/")
        if (group, kind) in known:
            continue
        plural = f"{kind.lower()}s"
        served = {"name": version, "served": True, "storage": True}
        yield {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.{group}"},
            "spec": {
                "group": group,
                "scope": "Namespaced",
                "names": {"kind": kind, "plural": plural},
                "versions": [{**served, "schema": {"openAPIV3Schema": _open(schema)}}],
            },
        }


def _makers() -> Iterator[Mapping[str, Any]]:
    for path in sorted(crds.folder().glob("*.yaml")):
        yield yaml.safe_load(path.read_text(encoding="utf-8"))


def _own() -> Mapping[str, Mapping[str, Any]]:
    schemas: Mapping[str, Mapping[str, Any]] = yaml.safe_load(OWN.read_text(encoding="utf-8"))
    return schemas


def _open(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """A minimal schema that says what it leaves open: an API server takes no field that it does not know."""
    made = dict(schema)
    if "properties" in made:
        made["properties"] = {name: _open(value) for name, value in made["properties"].items()}
    elif made.get("type") == "object" and "additionalProperties" not in made:
        made["x-kubernetes-preserve-unknown-fields"] = True
    if isinstance(made.get("items"), Mapping):
        made["items"] = _open(made["items"])
    return made


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
