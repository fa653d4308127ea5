"""Resources as an estimate sees them: type, name, inputs, and where they stand."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

UNKNOWN: Final = object()
"""Stands in inputs where the value exists only after `up`."""

_STACK = "pulumi:pulumi:Stack"
_MODELS = "model"
# First words of components that are made for one model each, beside the component of all models.
_BESIDE = ("capture", "jobs", "quality")
"""Name of the component that holds those of all models, each with its queue: `model-x`, `model-x-jobs`."""


class NotKnownYet(Exception):
    """A price depends on an input that is unknown; `path` says which."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A resource of a deployment."""

    type: str
    urn: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    parent: str = ""
    """URN of the parent; the stack's or none for what has no component."""
    path: Sequence[str] = ()
    """Names from the outermost component to this resource."""

    @property
    def name(self) -> str:
        return self.urn.rpartition("::")[2]

    @property
    def component(self) -> str:
        """The outermost component's name; what belongs to a model goes by the model's."""
        if self._is_of_a_model:
            return self.path[1].removesuffix("-jobs")
        return self.path[0] if len(self.path) > 1 else "(none)"

    @property
    def model(self) -> str | None:
        """The model that a resource belongs to: its component is named `model-<model>`, among the models', or
        stands beside them for what that one model has: `quality-<model>`."""
        if self._is_of_a_model:
            return self.component.removeprefix(f"{_MODELS}-")
        part, _, model = self.component.partition("-")
        return (model or None) if part in _BESIDE else None

    @property
    def _is_of_a_model(self) -> bool:
        return len(self.path) > 2 and self.path[0] == _MODELS

    @property
    def where(self) -> str:
        """`component/.../name`, as baselines have it."""
        return "/".join(self.path) or self.name

    def get(self, path: str, default: Any = None) -> Any:
        """The input at a dotted path; `default` where nothing is set.

        Raises:
            NotKnownYet: the value, or an object on the way to it, is unknown.
        """
        return at(self.inputs, path, default)

    def items(self, path: str) -> list[Any]:
        """The list at a path; one value is a list of one, nothing is none."""
        value = self.get(path, [])
        return value if isinstance(value, list) else [value]


def at(value: Any, path: str, default: Any = None) -> Any:
    """As `Resource.get`, within any value."""
    for step in path.split("."):
        if value is UNKNOWN:
            raise NotKnownYet(path)
        value = value.get(step) if isinstance(value, Mapping) else None
    if value is UNKNOWN:
        raise NotKnownYet(path)
    return default if value is None else value


def number(value: Any, what: str, default: float = 0) -> float:
    """A count or size as a number: JSON's own, or text such as `30`, `100Gi` or `4Gi`.

    Raises:
        NotKnownYet: it is unknown.
        ValueError: it is no number.
    """
    if value is UNKNOWN:
        raise NotKnownYet(what)
    if value is None or value == "":
        return default
    if isinstance(value, int | float):
        return float(value)
    match = re.fullmatch(r"([0-9.]+)(Gi|G)?", str(value))
    if not match:
        raise ValueError(f"{what}: {value!r} is no number")
    return float(match[1])


def placed(given: Sequence[Mapping[str, Any]]) -> list[Resource]:
    """Resources with their paths, from mappings of `type`, `urn`, `inputs` and `parent`."""
    parents = {each["urn"]: each.get("parent") or "" for each in given}

    def path(urn: str) -> Iterator[str]:
        if urn in parents and f"::{_STACK}::" not in urn:
            yield from path(parents[urn])
            yield urn.rpartition("::")[2]

    return [
        Resource(
            type=each["type"],
            urn=each["urn"],
            inputs=each.get("inputs") or {},
            parent=parents[each["urn"]],
            path=tuple(path(each["urn"])),
        )
        for each in given
    ]
