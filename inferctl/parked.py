"""What the stack's own schedules set: capacity that sleeps is not capacity that somebody has changed."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_SCHEDULE = "aws:scheduler/schedule:Schedule"
_CALL = "arn:aws:scheduler:::aws-sdk:"


@dataclass(frozen=True, kw_only=True)
class _Parked:
    """A type of resource that a scheduled call changes."""

    type: str
    named: Mapping[str, str]
    """Inputs that tell which one, by the parameters of the call."""
    sets: Mapping[str, str]
    """Paths of inputs that it sets, by paths of its parameters; none where it takes the resource away."""


_PARKED = {
    "applicationautoscaling:registerScalableTarget": _Parked(
        type="aws:appautoscaling/target:Target",
        named={"ResourceId": "resourceId"},
        sets={"MinCapacity": "minCapacity", "MaxCapacity": "maxCapacity"},
    ),
    "eks:updateNodegroupConfig": _Parked(
        type="aws:eks/nodeGroup:NodeGroup",
        named={"ClusterName": "clusterName", "NodegroupName": "nodeGroupName"},
        sets={
            "ScalingConfig.MinSize": "scalingConfig.minSize",
            "ScalingConfig.DesiredSize": "scalingConfig.desiredSize",
            "ScalingConfig.MaxSize": "scalingConfig.maxSize",
        },
    ),
    "lambda:deleteProvisionedConcurrencyConfig": _Parked(
        type="aws:lambda/provisionedConcurrencyConfig:ProvisionedConcurrencyConfig",
        named={"FunctionName": "functionName", "Qualifier": "qualifier"},
        sets={},
    ),
}
"""Call of a schedule -> what it changes. A model in the cluster is held by an annotation, no input."""

Settings = Mapping[str, frozenset[Any]]
"""Path of an input -> the values that schedules set; none where they take the resource away."""


def scheduled(resources: Iterable[Mapping[str, Any]]) -> dict[str, Settings]:
    """URN -> what schedules of the stack do to that resource; `resources` are the state's."""
    known = list(resources)
    found: dict[str, dict[str, frozenset[Any]]] = {}
    for schedule in known:
        target = schedule.get("inputs", {}).get("target", {}) if schedule["type"] == _SCHEDULE else {}
        kind = _PARKED.get(str(target.get("arn")).removeprefix(_CALL))
        if not kind:
            continue
        given = dict(_leaves(json.loads(target["input"])))
        for resource in known:
            outputs = resource.get("outputs", {})
            if resource["type"] == kind.type and all(
                outputs.get(name) == given[parameter] for parameter, name in kind.named.items()
            ):
                settings = found.setdefault(resource["urn"], {})
                for parameter, path in kind.sets.items():
                    if parameter in given:
                        settings[path] = settings.get(path, frozenset()) | {given[parameter]}
    return dict(found)


def is_parked(refreshed: Mapping[str, Any], settings: Settings | None) -> bool:
    """Whether a refreshed resource that is not as asked for is as its schedules leave it.

    `refreshed`: the engine's `metadata`.
    """
    if settings is None:
        return False
    if refreshed["op"] != "update":
        return refreshed["op"] == "delete" and not settings
    asked, held = (dict(_leaves(refreshed[state]["inputs"])) for state in ("old", "new"))
    differing = [path for path in asked.keys() | held.keys() if asked.get(path) != held.get(path)]
    return all(held.get(path) in settings.get(path, ()) for path in differing)


def _leaves(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(path, value) of all that is no mapping."""
    for name, inner in value.items():
        if isinstance(inner, Mapping):
            yield from _leaves(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", inner
