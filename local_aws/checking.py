"""Whether inputs fit a resource type as the SDK declares it: names, kinds, required ones."""

import difflib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from local_aws.sdk_types import ResourceType, Shape
from local_aws.values import UNKNOWN, Asset, Props, Secret

_PYTHON = {"str": str | int | float | bool, "int": int | str, "float": int | float | str, "bool": bool | str}


def decoded(setting: Any) -> Any:
    """A provider setting: the SDK sends anything but a string as JSON."""
    return json.loads(setting) if isinstance(setting, str) and setting[:1] in ("{", "[") else setting


def problems(kind: ResourceType, inputs: Props) -> Iterator[tuple[str, str]]:
    """(property path, reason) for every input that the type does not have, or that cannot be its value."""
    for name, shape in kind.inputs.items():
        if not shape.optional and inputs.get(name) is None:
            yield name, f"a {kind.token} needs this property"
    yield from _unknown(inputs, kind.inputs, kind, "")


def _unknown(
    value: Mapping[str, Any], known: Mapping[str, Shape], kind: ResourceType, path: str
) -> Iterator[tuple[str, str]]:
    for name, item in value.items():
        if name.startswith("__"):
            continue  # bookkeeping of the engine, such as __defaults
        at = f"{path}.{name}" if path else name
        if name in known:
            yield from _mismatch(item, known[name], kind, at)
        else:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(sorted(known))}"
            yield at, f"{kind.token} has no such property; {hint}"


def _mismatch(value: Any, shape: Shape, kind: ResourceType, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Secret):
        yield from _mismatch(value.value, shape, kind, path)
    elif value is None or value == UNKNOWN or isinstance(value, Asset) or shape.kind == "any":
        return
    elif shape.kind == "object":
        fields = kind.fields(shape)
        if not isinstance(value, dict):
            yield path, f"an object is needed, not {_shown(value)}"
        elif fields:
            yield from _unknown(value, fields, kind, path)
    elif shape.kind == "list" and shape.of is not None:
        if not isinstance(value, list):
            yield path, f"a list is needed, not {_shown(value)}"
            return
        for index, item in enumerate(value):
            yield from _mismatch(item, shape.of, kind, f"{path}[{index}]")
    elif shape.kind == "map" and shape.of is not None:
        if not isinstance(value, dict):
            yield path, f"a map is needed, not {_shown(value)}"
            return
        for key, item in value.items():
            yield from _mismatch(item, shape.of, kind, f"{path}.{key}")
    elif not _converts(value, shape.kind):
        yield path, f"{shape.kind} is needed, not {_shown(value)}"


def _converts(value: Any, wanted: str) -> bool:
    """Whether the provider would convert the value: "5" is a number, "true" a bool, 5 a string."""
    if not isinstance(value, _PYTHON[wanted]):
        return False
    if wanted == "bool" and isinstance(value, str):
        return value in ("true", "false")
    if wanted in ("int", "float") and isinstance(value, str | bool):
        return isinstance(value, str) and value.lstrip("-").replace(".", "", wanted == "float").isdigit()
    return True


def _shown(value: Any) -> str:
    return f"{type(value).__name__} {value!r}"[:60]
