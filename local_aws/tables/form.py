"""The form of a table entry: how the embedded AWS holds one resource type.

What an entry leaves out is derived. Properties meet an operation's members by name (`local_aws.members`); a
changed property runs the operations that take it, and forces a replacement where none does, which is what the
provider's ForceNew means; the properties that read and delete need are the resource's address.

A template is a string with `{property}` in it, filled from inputs, outputs, `id`, `region` and `account`; one
that is a single placeholder gives the value itself, and nothing where there is none.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from local_aws.members import Renames
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
    on: tuple[str, ...] = ()
    """The properties that it carries; empty means all that it takes."""
    off: str = ""
    """Operation that undoes it where the property is gone or false."""
    result: str = ""
    """JMESPath, itself a template, of what the response tells; empty means all of it."""


@dataclass(frozen=True)
class Step:
    """What no single operation does: `act(run, state, old)` with `state` the inputs and outputs wanted and
    `old` the inputs as they were (empty at creation)."""

    act: Callable[[Run, Props, Props], Props | None]
    on: tuple[str, ...]


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
        facts: property -> a read operation of its own and where its result holds the property.
        delete: removes it; None where it goes with its parent or cannot go.
        made: JMESPath of the resource in what `create` returns, where it differs from `read`'s.
        renames: property -> member.
        outputs: property -> template, for what no operation returns.
        prepare: turns the inputs into ones that fit, where shapes differ by more than names.
        clear: run before `delete`, for what AWS wants gone first.
        tag, untag: the operations for tags; with no `untag`, `tag` replaces them all, and with no `tag` they
            are a property like others.
        replace, local: properties that force a replacement; properties that no operation needs to take.
        unread: properties that the embedded AWS reads back wrong, and that are taken as they were written.
        fresh: outputs that an update may change, unknown while it is previewed.
    """

    service: str
    id: str
    create: Call | None = None
    put: Call | None = None
    then: tuple[Call | Step, ...] = ()
    update: tuple[Call | Step, ...] = ()
    read: Call | None
    facts: Mapping[str, Call] = field(default_factory=dict)
    delete: Call | None = None
    made: str = ""
    renames: Renames = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    prepare: Callable[[Props], Props] | None = None
    clear: Callable[[Run, Props], None] | None = None
    tag: Call | None = Call(operation="tag_resource")
    untag: Call | None = Call(operation="untag_resource")
    replace: frozenset[str] = frozenset()
    local: frozenset[str] = frozenset()
    unread: frozenset[str] = frozenset()
    fresh: frozenset[str] = frozenset()


def call(
    operation: str, result: str = "", *, on: str = "", wrap: str = "", off: str = "", **fixed: Any
) -> Call:
    """A `Call` in one line; `on` is a list of properties with spaces between them."""
    return Call(operation=operation, fixed=fixed, wrap=wrap, on=tuple(on.split()), off=off, result=result)
