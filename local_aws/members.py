"""Pulumi's properties and an AWS operation's members are the same things under other names.

Names are matched by their letters alone, in singular or plural (`kmsKeyArn`, `KMSKeyArn`; `rule`, `Rules`),
recursively along the operation's botocore shape one way and along the SDK's type the other. What differs
beyond that is a rename of the resource type's table.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from local_aws.sdk_types import ResourceType, Shape
from local_aws.values import Props, same

Renames = Mapping[str, str | tuple[str, ...]]
"""Path of a property (`passwordPolicy.minimumLength`) -> member, or the members of several operations."""


class DoesNotFit(ValueError):
    """A value that an operation's member cannot take; `path` is the property's."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")


def member_of(path: str, shape: Any, renames: Renames) -> str | None:
    """The member of a structure shape that takes the property at `path`."""
    renamed = renames.get(path, ())
    for name in (renamed,) if isinstance(renamed, str) else renamed:
        if name in shape.members:
            return name
    if path in renames:
        return None
    wanted = _letters(path.rsplit(".", 1)[-1])
    names = {_letters(name): name for name in shape.members}
    return next((names[form] for form in _numbers(wanted) if form in names), None)


def to_members(value: Any, shape: Any, renames: Renames, path: str = "") -> Any:
    """A property's value as the member of an operation's input shape; properties that no member takes, and
    those that are None, are left out."""
    match shape.type_name:
        case "structure":
            value = value[0] if isinstance(value, list) and value else value
            if not isinstance(value, Mapping):
                raise DoesNotFit(path, f"an object is needed, not {value!r}")
            paths = {key: f"{path}.{key}" if path else key for key in value}
            members = {key: member_of(paths[key], shape, renames) for key in value}
            return {
                member: to_members(value[key], shape.members[member], renames, paths[key])
                for key, member in members.items()
                if member is not None and value[key] is not None
            }
        case "list":
            if isinstance(value, Mapping) and _pair(getattr(shape.member, "members", {})):
                key, text = _pair(shape.member.members) or ("", "")
                return [{key: name, text: str(item)} for name, item in value.items()]
            items = value if isinstance(value, list) else [value]
            return [to_members(item, shape.member, renames, path) for item in items]
        case "map":
            if not isinstance(value, Mapping):
                raise DoesNotFit(path, f"a map is needed, not {value!r}")
            return {key: to_members(item, shape.value, renames, path) for key, item in value.items()}
    return _scalar(value, shape.type_name, path)


def _scalar(value: Any, type_name: str, path: str) -> Any:
    try:
        match type_name:
            case "integer" | "long":
                return int(value)
            case "float" | "double":
                return float(value)
            case "boolean":
                return {"true": True, "false": False}[str(value).lower()]
            case "string":
                return str(value).lower() if isinstance(value, bool) else str(value)
    except (KeyError, TypeError, ValueError):
        raise DoesNotFit(path, f"{value!r} is no {type_name}") from None
    return value


def from_members(actual: Mapping[str, Any], kind: ResourceType, renames: Renames) -> Props:
    """The outputs of a type as far as an operation's result tells them."""
    found = {path: _found(actual, path, renames) for path in kind.outputs}
    return {
        name: _property(value, kind.outputs[name], kind, renames, name)
        for name, value in found.items()
        if value is not None
    }


def _found(actual: Mapping[str, Any], path: str, renames: Renames) -> Any:
    renamed = renames.get(path, ())
    if path in renames:
        members = (renamed,) if isinstance(renamed, str) else renamed
        return next((actual[name] for name in members if name in actual), None)
    names = {_letters(name): name for name in actual}
    forms = _numbers(_letters(path.rsplit(".", 1)[-1]))
    return next((actual[names[form]] for form in forms if form in names), None)


def _property(value: Any, shape: Shape, kind: ResourceType, renames: Renames, path: str) -> Any:
    match shape.kind:
        case "object" if isinstance(value, list):
            return _property(value[0], shape, kind, renames, path) if value else None
        case "object" if isinstance(value, Mapping):
            fields = kind.fields(shape)
            found = {name: _found(value, f"{path}.{name}", renames) for name in fields}
            return {
                name: _property(item, fields[name], kind, renames, f"{path}.{name}")
                for name, item in found.items()
                if item is not None
            }
        case "list" if shape.of is not None:
            items = value if isinstance(value, list | tuple) else [value]
            return [_property(item, shape.of, kind, renames, path) for item in items]
        case "map" if isinstance(value, list):
            key, text = _pair(value[0]) or ("", "") if value else ("", "")
            return {item[key]: item.get(text) for item in value}
        case "map" if isinstance(value, Mapping):
            return {str(key): item for key, item in value.items()}
        case "str" if isinstance(value, list) and len(value) == 1:
            return _property(value[0], shape, kind, renames, path)
        case "str" if isinstance(value, dict | list):
            return json.dumps(value)
        case "str" if isinstance(value, datetime):
            return value.isoformat()
        case "str":
            return str(value).lower() if isinstance(value, bool) else str(value)
        case "int" | "float" | "bool" if isinstance(value, str):
            return value == "true" if shape.kind == "bool" else float(value)
        case "bool":
            return bool(value) or value == {}  # an empty object is how S3 says that EventBridge is on
    return value


def settled(asked: Any, actual: Any) -> Any:
    """What was asked for where AWS holds just that (in its own order, with its own defaults around it); what
    AWS holds where it does not."""
    return asked if actual is None or _covers(asked, actual) else actual


def _covers(asked: Any, actual: Any) -> bool:
    if asked is None or same(asked, actual):
        return True
    if isinstance(asked, dict) and isinstance(actual, dict):
        return all(_covers(value, actual[key]) for key, value in asked.items() if key in actual)
    if isinstance(asked, list) and isinstance(actual, list) and len(asked) == len(actual):
        return all(any(_covers(item, other) for other in actual) for item in asked)
    return asked in ({}, [], "", False) and actual is None


def _letters(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()


def _numbers(letters: str) -> tuple[str, ...]:
    """A name and its other grammatical numbers."""
    return (letters, f"{letters}s", letters.removesuffix("s"), letters.removesuffix("ies") + "y")


def _pair(members: Any) -> tuple[str, str] | None:
    """The members of a tag or a dimension: `Key` and `Value`, `TagKey` and `TagValue`, `Name` and `Value`."""
    names = list(members)
    key = next((name for name in names if name.lower() in ("key", "tagkey", "name")), None)
    value = next((name for name in names if name.lower() in ("value", "tagvalue")), None)
    return (key, value) if key and value else None
