"""The form of a table entry: how the embedded AWS holds one resource type.

What an entry leaves out is derived. Properties meet an operation's members by name (`local_aws.members`); a
changed property runs the operations that take it, and forces a replacement where none does, which is what the
provider's ForceNew means; the properties that `read` needs are the resource's address.

A template is a string with `{property}` in it, filled from inputs, outputs, `id`, `region`, `account` and
`emulator` (its URL); one that is a single placeholder gives the value itself, or nothing where there is none.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from local_aws.members import Names
from local_aws.values import Props


class Run(Protocol):
    """Calls an operation of the type's service with just these parameters."""

    def __call__(self, operation: str, **parameters: Any) -> Any: ...


@dataclass(frozen=True, kw_only=True)
class Call:
    """An operation, and what the properties alone do not tell of it."""

    operation: str
    fixed: Mapping[str, Any] = field(default_factory=dict)
    """Parameters as templates."""
    wrap: str = ""
    """Member, as a dotted path, in which the properties lie: `LifecycleConfiguration`."""
    on: frozenset[str] = frozenset()
    """The properties that it carries; empty means all that it takes."""
    off: str = ""
    """Operation that undoes it where its one property is gone or false."""
    result: str = ""
    """JMESPath, itself a template, of what the response tells; empty means all of it."""


@dataclass(frozen=True)
class Step:
    """What no single operation does: `act(run, state, old)` with `state` the inputs wanted and what AWS has
    computed, and `old` the inputs as they were (empty at creation)."""

    act: Callable[[Run, Props, Props], None]
    on: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Type:
    """One resource type.

    Attributes:
        service: boto3's name of the service.
        id: template of the Pulumi id, filled from the inputs and what `create` returns.
        create: makes it. An operation that replaces what is there (`put_…`) stands in `put` instead.
        then: run after `create`, and at an update of their properties.
        update: run at an update of their properties only.
        read: finds it; its `result` is None, or the operation fails with not-found, when it is gone.
        lookup: finds by its name what `read` finds by its id, where AWS gives the id.
        facts: property -> a read operation of its own and where its result holds the property.
        delete: removes it; None where it goes with its parent or cannot go.
        made: JMESPath of the resource in what `create` returns.
        names: how its properties are called in operations.
        outputs: property -> template, for what no operation returns.
        prepare: turns the inputs into ones that fit, where shapes differ by more than names.
        clear: run before `delete`, for what AWS wants gone first.
        tag, untag: the operations for tags; with no `untag`, `tag` replaces them all, and with no `tag` they
            are a property like others.
        replace, local: properties that force a replacement; properties that no operation needs to take.
        unread: properties that the embedded AWS reads back wrong, and that are taken as they were written.
        fresh: outputs that an update may change, unknown while it is previewed.
        orphan: error code of a creation whose owner is in the state alone; so is the resource then.
    """

    service: str
    id: str
    create: Call | None
    put: Call | None
    then: tuple[Call | Step, ...]
    update: tuple[Call | Step, ...]
    read: Call | None
    lookup: Call | None
    facts: Mapping[str, Call]
    delete: Call | None
    made: str
    names: Names
    outputs: Mapping[str, str]
    prepare: Callable[[Props], Props] | None
    clear: Callable[[Run, Props], None] | None
    tag: Call | None
    untag: Call | None
    replace: frozenset[str]
    local: frozenset[str]
    unread: frozenset[str]
    orphan: str
    fresh: frozenset[str]


def call(
    operation: str, result: str = "", *, on: str = "", wrap: str = "", off: str = "", **fixed: Any
) -> Call:
    """A `Call` in one line; `on` is a list of properties with spaces between them."""
    carried = frozenset(on.split())
    return Call(operation=operation, fixed=fixed, wrap=wrap, on=carried, off=off, result=result)


def step(act: Callable[[Run, Props, Props], None], on: str) -> Step:
    """A `Step` in one line."""
    return Step(act, frozenset(on.split()))


Operation = str | Call | Step


def held(
    kind: str,
    service: str,
    id: str,
    *,
    create: str | Call = "",
    put: str | Call = "",
    then: tuple[Operation, ...] = (),
    update: tuple[Operation, ...] = (),
    read: str | Call = "",
    lookup: str | Call = "",
    delete: str | Call = "",
    tag: str | Call = "tag_resource",
    untag: str | Call = "untag_resource",
    renames: Mapping[str, str | tuple[str, ...]] | None = None,
    replace: str = "",
    local: str = "",
    unread: str = "",
    fresh: str = "",
    orphan: str = "",
    facts: Mapping[str, Call] | None = None,
    outputs: Mapping[str, str] | None = None,
    made: str = "",
    prepare: Callable[[Props], Props] | None = None,
    clear: Callable[[Run, Props], None] | None = None,
) -> tuple[str, Type]:
    """The entry of a table; `kms:Alias` stands for the token aws:kms/alias:Alias. Operations are given by
    name alone where that says it all, properties as one string with spaces between them."""
    module, owner = kind.split(":")
    return f"aws:{module}/{owner[0].lower()}{owner[1:]}:{owner}", Type(
        service=service,
        id=id,
        create=_call(create),
        put=_call(put),
        then=tuple(call(each) if isinstance(each, str) else each for each in then),
        update=tuple(call(each) if isinstance(each, str) else each for each in update),
        read=_call(read),
        lookup=_call(lookup),
        facts=facts or {},
        delete=_call(delete),
        made=made,
        names=Names(owner.lower(), renames or {}),
        outputs=outputs or {},
        prepare=prepare,
        clear=clear,
        orphan=orphan,
        tag=_call(tag),
        untag=_call(untag),
        replace=frozenset(replace.split()),
        local=frozenset(local.split()),
        unread=frozenset(unread.split()),
        fresh=frozenset(fresh.split()),
    )


def _call(operation: str | Call) -> Call | None:
    return (call(operation) if operation else None) if isinstance(operation, str) else operation
