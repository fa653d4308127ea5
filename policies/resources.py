"""What a rule sees: plain resources, with `UNKNOWN` where a value exists only after `up`."""

import datetime
import enum
import functools
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from policies.waivers import Waiver

STACK = "pulumi:pulumi:Stack"
"""Type of the one resource that stands for the whole stack."""


class _Unknown(enum.Enum):
    UNTIL_UP = "unknown until up"

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN = _Unknown.UNTIL_UP
"""Stands in a resource's properties where preview cannot know the value."""


class Undecided(Exception):
    """A rule came upon an unknown value. `path` says where; whoever runs the rule reports it."""

    def __init__(self, path: str) -> None:
        super().__init__(f"`{path}` is not known before up")
        self.path = path


@dataclass(frozen=True)
class Part:
    """An object within a resource's properties, and its path there (empty for all of them)."""

    value: Any
    path: str = ""

    def where(self, path: str) -> str:
        return f"{self.path}.{path}" if self.path else path

    def get(self, path: str, default: Any = None) -> Any:
        """The value at a dotted path, `default` where nothing is set.

        Raises:
            Undecided: the value, or an object on the way to it, is unknown.
        """
        return self._at(path.split("."), path, default)

    def key(self, name: str, default: Any = None) -> Any:
        """As `get`, for a name that may hold dots: a label, a tag, a Kubernetes quantity."""
        return self._at([name], name, default)

    def child(self, path: str) -> "Part":
        """The object at a path, empty where nothing is set."""
        return Part(self.get(path, {}), self.where(path))

    def _at(self, steps: Sequence[str], path: str, default: Any) -> Any:
        value = self.value
        for step in steps:
            if value is UNKNOWN:
                break
            value = value.get(step) if isinstance(value, Mapping) else None
        if value is UNKNOWN:
            raise Undecided(self.where(path))
        return default if value is None else value

    def has(self, path: str) -> bool:
        """Whether something is set at the path, even if preview cannot know what."""
        above, _, last = path.rpartition(".")
        parent = self.get(above, {}) if above else self.value
        if parent is UNKNOWN:
            raise Undecided(self.where(path))
        return parent.get(last) is not None

    def items(self, path: str) -> Sequence[Any]:
        """The list at a path: a single value is a list of one, nothing is none. Items may be unknown."""
        value = self.get(path, [])
        return value if isinstance(value, list) else [value]

    def parts(self, path: str) -> Iterator["Part"]:
        """The objects in the list at a path. Reading from one that is unknown raises `Undecided`."""
        value = self.get(path, [])
        if not isinstance(value, list):
            yield Part(value, self.where(path))
            return
        for index, item in enumerate(value):
            yield Part(item, self.where(f"{path}[{index}]"))

    def patch(self, settings: Mapping[str, Any]) -> Mapping[str, Any]:
        """The settings as a patch of the whole resource; an index of a list is an int."""
        patch: Mapping[Any, Any] = settings
        for step in reversed(re.findall(r"[^.\[\]]+", self.path)):
            patch = {int(step) if step.isdigit() else step: patch}
        return patch


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A resource of the plan. `source` gives its properties, called when they are first read."""

    type: str
    name: str
    urn: str
    source: Callable[[], Mapping[str, Any]]
    parent: str = ""
    protect: bool = False
    references: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Top-level property -> URNs of the resources that its value comes from. Stack rules only."""
    provider: Part = Part({})
    """Settings of the resource's provider."""

    @functools.cached_property
    def part(self) -> Part:
        """All properties."""
        return Part(self.source())

    @property
    def stack(self) -> str:
        return self.urn.removeprefix("urn:pulumi:").partition("::")[0]

    def where(self, path: str) -> str:
        return path

    def get(self, path: str, default: Any = None) -> Any:
        return self.part.get(path, default)

    def has(self, path: str) -> bool:
        return self.part.has(path)

    def child(self, path: str) -> Part:
        return self.part.child(path)

    def items(self, path: str) -> Sequence[Any]:
        return self.part.items(path)

    def parts(self, path: str) -> Iterator[Part]:
        return self.part.parts(path)

    def refers(self, prop: str, target: "Resource") -> bool | None:
        """Whether a property names `target`, by where its value comes from or by the value itself.

        None: it cannot tell, because the value is unknown and comes from no resource.
        """
        sources = self.references.get(prop.partition(".")[0], ())
        if target.urn in sources:
            return True
        try:
            value = self.get(prop)
        except Undecided:
            return False if sources else None
        named = value if isinstance(value, list) else [value]
        known = [each for key in _IDENTITIES if (each := target.part.value.get(key)) not in (None, UNKNOWN)]
        if any(each in named for each in known):
            return True
        return None if UNKNOWN in named and not sources else False


_IDENTITIES = ("id", "arn", "name", "bucket", "keyId", "functionName", "stageName", "url")
"""Outputs by which other resources name a resource."""


@dataclass(frozen=True, kw_only=True)
class Stack:
    """All resources of the plan, and the waivers, for rules that need more than one resource."""

    resources: Sequence[Resource]
    waivers: Sequence[Waiver] = ()
    waived: Collection[Waiver] = ()
    """Those of `waivers` that a finding of this plan needed."""
    today: datetime.date = datetime.date.min
    rules: Sequence[str] = ()
    """Ids of all rules."""

    @functools.cached_property
    def _by_type(self) -> Mapping[str, Sequence[Resource]]:
        found: dict[str, list[Resource]] = {}
        for resource in self.resources:
            found.setdefault(resource.type, []).append(resource)
        return found

    def of(self, *types: str) -> Sequence[Resource]:
        return [resource for type_ in types for resource in self._by_type.get(type_, ())]

    def companions(self, target: Resource, type_: str, prop: str) -> Sequence[Resource]:
        """Resources of a type whose property names `target`.

        Raises:
            Undecided: none does for certain, but one may: its property is unknown and of unknown origin.
        """
        links = [(resource, resource.refers(prop, target)) for resource in self.of(type_)]
        certain = [resource for resource, link in links if link]
        if not certain and any(link is None for _, link in links):
            raise Undecided(f"{prop} of {type_}")
        return certain
