"""What came of an engine operation: counts, errors, findings of the policies, and each change."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from inferctl.baseline import paths
from inferctl.findings import PolicyFinding

CHANGING = ("create", "update", "delete", "replace", "create-replacement", "delete-replaced", "import")


@dataclass(frozen=True, kw_only=True)
class Change:
    """What happens to one resource."""

    operation: str
    """`create`, `update`, `replace` or `delete`."""
    path: str
    """Names from the outermost component to the resource, joined by `/`."""
    type: str
    properties: tuple[str, ...] = ()
    """Inputs that differ; of a replacement, those that force it."""


@dataclass(kw_only=True)
class Outcome:
    """What an engine operation did, or would do."""

    changes: Mapping[str, int] = field(default_factory=dict)
    """Operation (`create`, `same`, ...) -> number of resources."""
    seconds: float = 0.0
    errors: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    advisories: list[str] = field(default_factory=list)
    findings: list[PolicyFinding] = field(default_factory=list)
    """What `violations` and `advisories` say, in parts."""
    planned: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """URN -> state that each resource has, or would have, with its inputs."""
    steps: list[Change] = field(default_factory=list)
    """What changes, resource by resource."""
    parked: list[Change] = field(default_factory=list)
    """What a refresh found parked by the stack's own schedules; not among `steps`."""

    @property
    def changed(self) -> int:
        """Resources that were, or would be, created, changed or deleted."""
        return sum(count for operation, count in self.changes.items() if operation in CHANGING)

    def summary(self) -> str:
        return (
            ", ".join(f"{count} {operation}" for operation, count in sorted(self.changes.items()))
            or "nothing"
        )


def is_drift(refreshed: Mapping[str, Any], others: Sequence[str]) -> bool:
    """Whether a refreshed resource is not what the program asked for.

    `refreshed`: the engine's `metadata`; `others`: paths of inputs that the program leaves to others. Outputs
    alone, such as a version that counts up, are AWS's.
    """
    differing = refreshed.get("detailedDiff") or refreshed.get("diffs") or ()
    left = tuple(path for path in differing if not any(f"{path}.".startswith(f"{each}.") for each in others))
    return refreshed["op"] != "update" or bool(left)


def changes(steps: Iterable[Mapping[str, Any]]) -> list[Change]:
    """What changes, from the engine's events about all resources (`metadata` of `resourcePreEvent`).

    A replacement has three steps, of which the one in the middle stands for all.
    """
    known = [(step, step.get("new") or step.get("old") or {}) for step in steps]
    path = paths([{"urn": step["urn"], "parent": state.get("parent")} for step, state in known])
    return [
        Change(
            operation=step["op"],
            path=path[step["urn"]],
            type=step["type"],
            properties=tuple(
                sorted((step.get("keys") if step["op"] == "replace" else step.get("diffs")) or ())
            ),
        )
        for step, state in known
        if step["op"] in ("create", "update", "replace", "delete")
        and state.get("custom")
        and not step["type"].startswith("pulumi:")
    ]
