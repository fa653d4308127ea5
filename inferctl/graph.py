"""The resource graph of a deployment, seen as the boxes of the diagrams."""

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from inferctl.boxes import BOX_OF, BOXES, PARTS
from inferctl.flows import FLOWS, PATH, Flow

PREFIX = "inference-platform:"


def box_of(kind: str, name: str) -> str | None:
    """The box that a component opens; None for building blocks.

    Raises:
        LookupError: nobody said yet where the type belongs.
    """
    token = kind.removeprefix(PREFIX)
    if box := BOX_OF.get(f"{token} {name}", BOX_OF.get(token)):
        return box
    if token in PARTS:
        return None
    raise LookupError(f"component {token} has no box: add it to BOX_OF or PARTS in inferctl/boxes.py")


@dataclass(frozen=True, kw_only=True)
class Graph:
    """The resources of an export (`pulumi stack export`)."""

    resources: tuple[Mapping[str, Any], ...]

    @classmethod
    def of(cls, export: Mapping[str, Any]) -> "Graph":
        return cls(resources=tuple(export["deployment"].get("resources", ())))

    @cached_property
    def boxes(self) -> dict[str, list[Mapping[str, Any]]]:
        """Box -> its cloud resources, for each box that has any, in the table's order."""
        found: dict[str, list[Mapping[str, Any]]] = {}
        for resource in self.resources:
            box = self._box(resource["urn"])
            if box and resource.get("custom"):
                found.setdefault(box, []).append(resource)
        return {box: found[box] for box in BOXES if box in found}

    @cached_property
    def members(self) -> dict[str, list[str]]:
        """Box -> the models that its components are named after."""
        found: dict[str, list[str]] = {}
        for resource in self.resources:
            name = _name(resource["urn"])
            if resource["type"].startswith(PREFIX) and (box := box_of(resource["type"], name)):
                found.setdefault(box, []).append(name.removeprefix("model-"))
        return {box: sorted(names) for box, names in found.items()}

    @cached_property
    def links(self) -> frozenset[tuple[str, str]]:
        """Pairs of boxes of which a resource of one depends on a resource of the other, both ways round."""
        pairs = {
            (self._box(resource["urn"]), self._box(needed))
            for resource in self.resources
            for needed in resource.get("dependencies") or ()
        }
        known = {(one, other) for one, other in pairs if one and other and one != other}
        return frozenset(known | {(other, one) for one, other in known})

    @cached_property
    def flows(self) -> list[tuple[Flow, int]]:
        """The steps of a request that this environment has, with their numbers from 1."""
        way = [box for box in PATH if box == "client" or box in self.boxes]
        into = [
            Flow(source=one, target=other, stage=number - len(way), label="", given=True)
            for number, (one, other) in enumerate(itertools.pairwise(way))
        ]
        inside = [
            flow
            for flow in FLOWS
            if {flow.source, flow.target} <= self.boxes.keys()
            and (flow.given or (flow.source, flow.target) in self.links)
        ]
        if any(flow.source == "entry" for flow in inside):
            inside = [flow for flow in inside if (flow.source, flow.target) != ("gateway", "router")]
        drawn = into + inside
        stages = sorted({flow.stage for flow in drawn})
        return [(flow, stages.index(flow.stage) + 1) for flow in drawn]

    def of_type(self, kind: str) -> Iterator[Mapping[str, Any]]:
        """Resources of a type such as `aws:ec2/subnet:Subnet`."""
        return (resource for resource in self.resources if resource["type"] == kind)

    def title(self, box: str) -> str:
        """What stands under a box: its title and, where it has them, its models."""
        spec, names = BOXES[box], self.members.get(box, [])
        if not spec.named or not names:
            return spec.title
        shown = ", ".join(names) if len(names) <= 3 else f"{len(names)} models"
        return f"{spec.title}: {shown}"

    @cached_property
    def api(self) -> dict[str, Any]:
        """The gateway's OpenAPI document; empty where there is none or it is not known yet."""
        for resource in self.of_type("aws:apigateway/restApi:RestApi"):
            body = resource["inputs"].get("body")
            if isinstance(body, str) and body.startswith("{"):
                return dict(json.loads(body))
        return {}

    def _box(self, urn: str) -> str | None:
        """The box of the innermost component around a resource that opens one."""
        while urn:
            kind = urn.split("::")[2].rsplit("$", 1)[-1]
            if kind.startswith(PREFIX) and (box := box_of(kind, _name(urn))):
                return box
            urn = self._parents.get(urn, "")
        return None

    @cached_property
    def _parents(self) -> dict[str, str]:
        return {resource["urn"]: resource.get("parent") or "" for resource in self.resources}


def path_lines(graph: Graph) -> list[str]:
    """Where a request goes, as text: a line for each backend."""
    following: dict[str, list[str]] = {}
    for flow, _ in graph.flows:
        if flow.target not in ("authorizer", "identity") and flow.source != "authorizer":
            following.setdefault(flow.source, []).append(flow.target)

    def ways(box: str) -> Iterator[list[str]]:
        for target in following.get(box, []):
            yield from ([graph.title(box), *rest] for rest in ways(target))
        if not following.get(box):
            yield [graph.title(box)]

    return [" -> ".join(way) for way in ways("client")]


def _name(urn: str) -> str:
    return urn.split("::")[3]
