"""What the calls of a type's table carry: which inputs they take, and which of those can change in place."""

import re
from collections.abc import Iterable
from typing import Any

from local_aws.operations import input_shape
from local_aws.sdk_types import ResourceType
from local_aws.tables.form import Call, Step, Type
from local_aws.values import Props

PLACEHOLDER = re.compile(r"\{(\w+)\}")
# What steers the provider and not AWS, in any type.
_LOCAL = frozenset({"forceDestroy", "region", "tags", "tagsAll", "timeouts"})


def filled(template: Any, scope: Props) -> Any:
    """A template of `local_aws.tables.form` with its placeholders filled."""
    match template:
        case str():
            whole = PLACEHOLDER.fullmatch(template)
            if whole:
                return scope.get(whole[1])
            return PLACEHOLDER.sub(lambda found: str(scope.get(found[1], "")), template)
        case dict():
            pairs = {key: filled(item, scope) for key, item in template.items()}
            return {key: item for key, item in pairs.items() if item is not None}
        case list():
            return [filled(item, scope) for item in template]
    return template


def inner(shape: Any, wrap: str) -> Any:
    """The shape of botocore under a call's `wrap`, the shape itself where it has none."""
    for name in filter(None, wrap.split(".")):
        shape = shape.members[name]
    return shape


def carries(table: Type, call: Call | Step, properties: Iterable[str]) -> frozenset[str]:
    """Those of the properties that a call takes. What `prepare` reads cannot be told, so that a put with it
    takes all, and the table says which ones a create with it takes (`replace`)."""
    if isinstance(call, Step) or call.on:
        return call.on
    if call is table.put and table.prepare:
        return frozenset(properties) - _LOCAL
    outer = input_shape(table.service, call.operation)
    taken = table.names.members(properties, outer.members) | table.names.members(
        properties, inner(outer, call.wrap).members
    )
    return frozenset(taken) | frozenset(PLACEHOLDER.findall(str(call.fixed))) & frozenset(properties)


def _address(table: Type, properties: Iterable[str]) -> frozenset[str]:
    """The properties without which the resource could not be found again."""
    finder = table.read or table.delete
    if finder is None:
        return frozenset()
    shape = input_shape(table.service, finder.operation)
    required = [name for name in shape.required_members if name not in finder.fixed] if shape else []
    members = table.names.members(properties, required)
    named = frozenset(PLACEHOLDER.findall(finder.result + str(finder.fixed)))
    return frozenset(members) | named & frozenset(properties)


def updatable(kind: ResourceType, table: Type) -> frozenset[str]:
    """The inputs that can change in place; a change of any other one replaces the resource."""
    calls = [*table.then, *table.update, *([table.put] if table.put else ())]
    taken = frozenset().union(*(carries(table, call, kind.inputs) for call in calls))
    return (taken - _address(table, kind.inputs) - table.replace) | table.local | _LOCAL - {"region"}


def unheld(kind: ResourceType, table: Type, inputs: Props) -> list[str]:
    """The inputs that no operation of the table takes: the embedded AWS does not get them."""
    create = table.create or table.put
    made = carries(table, create, kind.inputs) if create else frozenset()
    held = made | updatable(kind, table) | _address(table, kind.inputs) | table.replace | _LOCAL
    return [name for name, value in inputs.items() if value not in (None, False) and name not in held]
