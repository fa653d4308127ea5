"""Pulumi's properties and an AWS operation's members are the same things under other names.

Names are matched by their letters alone, in singular or plural (`kmsKeyArn`, `KMSKeyArn`; `rule`, `Rules`),
recursively along the operation's botocore shape one way and along the SDK's type the other. At the top level
a resource's own `name`, `arn` and `id` may carry its type (`RoleName`), and a property that refers to
something may lack what it refers to it by (`role`, `RoleName`). What differs beyond that is a rename.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from local_aws.sdk_types import ResourceType, Shape
from local_aws.values import Props, plain, same

_IDENTITY = ("id", "name", "arn")


@dataclass(frozen=True)
class Names:
    """The names of one resource type.

    Attributes:
        owner: what the type is called, in lower case.
        renames: path of a property (`passwordPolicy.minimumLength`) -> member, or the members of several
            operations; empty where no member takes it.
    """

    owner: str
    renames: Mapping[str, str | tuple[str, ...]]

    def members(
        self, properties: Iterable[str], members: Iterable[str], path: str = "", guess: bool = True
    ) -> dict[str, str]:
        """Property -> member, for the properties of the object at `path` that have one.

        With `guess`, a member that no property names is taken by the one that refers to it; an answer is read
        without (a bucket's `BucketArn` is not its `bucket`).
        """
        known = {_letters(name): name for name in members}
        found: dict[str, str] = {}
        for name in properties:
            at = f"{path}.{name}" if path else name
            forms = self._renamed(at) if at in self.renames else self._forms(name, own=not path)
            if member := next((known[form] for form in forms if form in known), None):
                found[name] = member
        free = known.keys() - {_letters(member) for member in found.values()}
        for name in properties if guess and not path else ():
            ends = [_letters(name) + end for end in _IDENTITY if _letters(name) not in _IDENTITY]
            if (
                name not in found
                and name not in self.renames
                and (form := next((e for e in ends if e in free), ""))
            ):
                found[name] = known[form]
        return found

    def _renamed(self, path: str) -> list[str]:
        renamed = self.renames[path]
        return [_letters(name) for name in ((renamed,) if isinstance(renamed, str) else renamed)]

    def _forms(self, name: str, own: bool) -> list[str]:
        letters = _letters(name)
        forms = [letters, f"{letters}s", letters.removesuffix("s"), letters.removesuffix("ies") + "y"]
        if own:
            forms += [self.owner + letters] if letters in _IDENTITY else [f"{letters}document"]
        return forms


class DoesNotFit(ValueError):
    """A value that an operation's member cannot take."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")


def to_members(value: Any, shape: Any, names: Names, path: str = "") -> Any:
    """A property's value as the member of an operation's input shape; properties that no member takes, and
    those that are None, are left out."""
    match shape.type_name:
        case "structure":
            value = value[0] if isinstance(value, list) and value else value
            if not isinstance(value, Mapping):
                raise DoesNotFit(path, f"an object is needed, not {value!r}")
            members = names.members([key for key in value if value[key] is not None], shape.members, path)
            return {
                member: to_members(value[key], shape.members[member], names, f"{path}.{key}" if path else key)
                for key, member in members.items()
            }
        case "list":
            pair = _pair(getattr(shape.member, "members", ()))
            if isinstance(value, Mapping) and pair:
                return [{pair[0]: key, pair[1]: str(item)} for key, item in value.items()]
            items = value if isinstance(value, list) else [value]
            return [to_members(item, shape.member, names, path) for item in items]
        case "map":
            if not isinstance(value, Mapping):
                raise DoesNotFit(path, f"a map is needed, not {value!r}")
            return {key: to_members(item, shape.value, names, path) for key, item in value.items()}
    try:
        match shape.type_name:
            case "integer" | "long":
                return int(value)
            case "float" | "double":
                return float(value)
            case "boolean":
                return {"true": True, "false": False}[str(value).lower()]
            case "string":
                return str(value).lower() if isinstance(value, bool) else str(value)
    except (KeyError, TypeError, ValueError):
        raise DoesNotFit(path, f"{value!r} is no {shape.type_name}") from None
    return value


def from_members(actual: Mapping[str, Any], kind: ResourceType, names: Names) -> Props:
    """The outputs of a type as far as an operation's result tells them."""
    return _fields(actual, kind.outputs, kind, names, "")


def _fields(
    actual: Mapping[str, Any], shapes: Mapping[str, Shape], kind: ResourceType, names: Names, path: str
) -> Props:
    members = names.members(shapes, actual, path, guess=False)
    return {
        name: _property(actual[member], shapes[name], kind, names, f"{path}.{name}" if path else name)
        for name, member in members.items()
        if actual[member] is not None
    }


def _property(value: Any, shape: Shape, kind: ResourceType, names: Names, path: str) -> Any:
    match shape.kind:
        case "object" | "str" if isinstance(value, list) and len(value) == 1:
            return _property(value[0], shape, kind, names, path)
        case "object" if isinstance(value, Mapping):
            return _fields(value, kind.fields(shape), kind, names, path)
        case "list" if shape.of is not None:
            items = value if isinstance(value, list) else [value]
            return [_property(item, shape.of, kind, names, path) for item in items]
        case "map" if isinstance(value, list):
            pair = _pair(value[0]) if value else None
            return {item[pair[0]]: item.get(pair[1]) for item in value} if pair else {}
        case "str" if isinstance(value, dict | list):
            return json.dumps(value)
        case "str" if isinstance(value, datetime):
            return value.isoformat()
        case "str":
            return str(value).lower() if isinstance(value, bool) else str(value)
        case "int" | "float" if isinstance(value, str):
            return float(value)
        case "bool":
            return value == "true" if isinstance(value, str) else value is not False
    return value


def settled(asked: Any, actual: Any) -> Any:
    """What was asked for where AWS holds just that (in its own order, with its own defaults around it); what
    AWS holds where it does not."""
    return asked if actual is None or _covers(plain(asked), actual) else actual


def _covers(asked: Any, actual: Any) -> bool:
    if asked is None or same(asked, actual):
        return True
    if isinstance(asked, dict) and isinstance(actual, dict):
        return all(_covers(value, actual[key]) for key, value in asked.items() if key in actual)
    if isinstance(asked, list) and isinstance(actual, list) and len(asked) == len(actual):
        return all(any(_covers(item, other) for other in actual) for item in asked)
    return False


def _letters(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()


def _pair(members: Iterable[str]) -> tuple[str, str] | None:
    """The members of a tag or a dimension: `Key` and `Value`, `TagKey` and `TagValue`, `Name` and `Value`."""
    known = {name.lower().removeprefix("tag"): name for name in members}
    key, value = known.get("key", known.get("name")), known.get("value")
    return (key, value) if key and value else None
