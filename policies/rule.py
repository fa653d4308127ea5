"""What a rule is: metadata and a pure function from resources to findings.

Nothing here, and nothing in `policies.rules`, knows the policy SDK.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal

from policies.resources import Part, Resource, Stack, Undecided

Severity = Literal["low", "medium", "high", "critical"]
Settings = Mapping[str, Any]
"""A rule's thresholds in one environment, by name, already validated."""


@dataclass(frozen=True)
class Finding:
    """What a rule says about a resource: a violation, or that it cannot tell yet."""

    message: str
    undecided: bool = False


Findings = Iterator[Finding]


ResourceCheck = Callable[[Resource, Settings], Findings]
StackCheck = Callable[[Resource, Stack, Settings], Findings]
Remedy = Callable[[Resource, Settings], Iterable[Mapping[str, Any]]]
"""Patches that make the resource keep the rule: properties to set, merged into what is there."""


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
