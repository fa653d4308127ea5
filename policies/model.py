"""What a rule is and what it sees: plain resources, with `UNKNOWN` where a value exists only after `up`.

A rule is metadata and a pure function. Nothing here, and nothing in `policies.rules`, knows the policy SDK.
"""

import datetime
import enum
import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal

from policies.waivers import Waiver

Severity = Literal["low", "medium", "high", "critical"]
Settings = Mapping[str, Any]
"""A rule's thresholds in one environment, by name, already validated."""

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
class Finding:
    """What a rule says about a resource: a violation, or that it cannot tell yet."""

    message: str
    undecided: bool = False


Findings = Iterator[Finding]


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
        value = self.value
        for step in path.split("."):
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
        for index, value in enumerate(self.items(path)):
            yield Part(value, self.where(f"{path}[{index}]"))


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
        return value is not None and value in [target.part.value.get(key) for key in _IDENTITIES]


_IDENTITIES = ("id", "arn", "name", "bucket", "keyId", "functionName", "stageName", "url")
"""Outputs by which other resources name a resource."""


@dataclass(frozen=True, kw_only=True)
class Stack:
    """All resources of the plan, and the waivers, for rules that need more than one resource."""

    resources: Sequence[Resource]
    waivers: Sequence[Waiver] = ()
    waived: frozenset[int] = frozenset()
    """Places in `waivers` of those that a finding of this plan needed."""
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


ResourceCheck = Callable[[Resource, Settings], Findings]
StackCheck = Callable[[Resource, Stack, Settings], Findings]
Remedy = Callable[[Resource, Settings], Mapping[str, Any]]
"""Properties to set so that the resource keeps the rule; nested objects are merged into what is there."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A resource in a rule's documented example."""

    type: str
    props: Mapping[str, Any]
    name: str = "example"
    refers_to: Mapping[str, str] = field(default_factory=dict)
    """Property -> name of the sample that its value comes from."""
    protect: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class _Metadata:
    """Metadata of a rule."""

    id: str
    title: str
    """One sentence in the present tense that holds where the rule is kept."""
    severity: Severity
    why: str
    fix: str
    types: Sequence[str]
    """Type tokens whose resources it judges; `*` stands for any text."""
    settings: Mapping[str, Any]
    """Threshold -> its type, as pydantic understands it."""
    good: Sequence[Sample]
    bad: Sequence[Sample]

    def judges(self, type_: str) -> bool:
        return any(type_ == token or ("*" in token and fnmatchcase(type_, token)) for token in self.types)


@dataclass(frozen=True, kw_only=True, eq=False)
class ResourceRule(_Metadata):
    """Judges a resource by its inputs alone, when the program registers it."""

    check: ResourceCheck
    remedy: Remedy | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class StackRule(_Metadata):
    """Judges a resource among all others of the stack, by their outputs, at the end of a plan."""

    check: StackCheck


Rule = ResourceRule | StackRule


def resource_rule(
    *,
    id: str,
    title: str,
    severity: Severity,
    why: str,
    fix: str,
    types: Sequence[str],
    good: Mapping[str, Any] | Sequence[Sample],
    bad: Mapping[str, Any] | Sequence[Sample],
    settings: Mapping[str, Any] | None = None,
    remedy: Remedy | None = None,
) -> Callable[[ResourceCheck], ResourceRule]:
    """Make a rule of a function. An example is the properties of a resource of the first type, or samples."""

    def samples(example: Mapping[str, Any] | Sequence[Sample]) -> Sequence[Sample]:
        return [Sample(type=types[0], props=example)] if isinstance(example, Mapping) else example

    return lambda check: ResourceRule(
        id=id,
        title=title,
        severity=severity,
        why=why,
        fix=fix,
        types=types,
        settings=settings or {},
        good=samples(good),
        bad=samples(bad),
        check=check,
        remedy=remedy,
    )


def stack_rule(
    *,
    id: str,
    title: str,
    severity: Severity,
    why: str,
    fix: str,
    types: Sequence[str],
    good: Sequence[Sample],
    bad: Sequence[Sample],
    settings: Mapping[str, Any] | None = None,
) -> Callable[[StackCheck], StackRule]:
    """Make a rule of a function; the examples are whole stacks."""
    return lambda check: StackRule(
        id=id,
        title=title,
        severity=severity,
        why=why,
        fix=fix,
        types=types,
        settings=settings or {},
        good=good,
        bad=bad,
        check=check,
    )


def run(findings: Findings) -> Findings:
    """All that a rule finds; an unknown value that it comes upon ends it as undecided."""
    try:
        yield from findings
    except Undecided as undecided:
        yield unknown(undecided)


def expect(part: Part | Resource, path: str, ok: Callable[[Any], bool], must_be: str) -> Findings:
    """One finding unless the value at `path` is as it must be."""
    try:
        value = part.get(path)
    except Undecided as undecided:
        yield unknown(undecided)
        return
    if not ok(value):
        yield Finding(f"`{part.where(path)}` is {shown(value)}; it must be {must_be}")


def shown(value: Any) -> str:
    """A value for a message: short, and `not set` for none."""
    if value is None:
        return "not set"
    text = json.dumps(value, default=repr)
    return text if len(text) <= 60 else f"{text[:57]}..."


def is_true(value: Any) -> bool:
    return value is True


def is_set(value: Any) -> bool:
    return value not in (None, "", [], {})


def unknown(undecided: Undecided) -> Finding:
    """The finding for an unknown value, for a rule that goes on with the next."""
    return Finding(f"`{undecided.path}` is not known yet", undecided=True)


def between(least: float, most: float) -> Callable[[Any], bool]:
    """Whether a number is set and within the bounds, both included."""
    return lambda value: isinstance(value, int | float) and least <= value <= most
