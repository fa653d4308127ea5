"""Compute capacity, seen as the instance types that may start.

It is asked for by node groups, Auto Scaling groups, launch templates, instances and Karpenter node pools.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from policies.resources import UNKNOWN, Part, Resource, Undecided
from policies.rule import Finding, Findings, unknown

NODE_GROUP = "aws:eks/nodeGroup:NodeGroup"
LAUNCH_TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"
INSTANCE = "aws:ec2/instance:Instance"
SCALING_GROUP = "aws:autoscaling/group:Group"
NODE_POOL = "kubernetes:karpenter.sh/v1:NodePool"
NODE_CLASS = "kubernetes:karpenter.k8s.aws/v1:EC2NodeClass"
CAPACITY = (NODE_GROUP, SCALING_GROUP, LAUNCH_TEMPLATE, INSTANCE, NODE_POOL)

ANY = "*"
"""An instance type that is left to AWS or Karpenter to choose."""

POD_SPEC = "spec.template.spec"

_ACCELERATED = re.compile(r"(g|gr|p|inf|trn|dl|vt|f)(\d|\*)")
_GRAVITON = re.compile(r"a1$|[a-z]+\d+[a-z]*g")
_HAS_GRAVITON = re.compile(r"([cmrtix]|im|is|hpc)\d")


def family(instance_type: str) -> str:
    """`g6` of `g6.xlarge` and of `ml.g6.xlarge`."""
    return instance_type.removeprefix("ml.").partition(".")[0]


def is_accelerated(instance_type: str) -> bool:
    """Whether it has, or may turn out to have, a GPU or another accelerator."""
    return instance_type == ANY or bool(_ACCELERATED.match(family(instance_type)))


def is_graviton(instance_type: str) -> bool:
    return bool(_GRAVITON.match(family(instance_type)))


def has_graviton_sibling(instance_type: str) -> bool:
    """Whether it is x86 of a family that exists with arm64 as well."""
    return bool(_HAS_GRAVITON.match(family(instance_type))) and not is_graviton(instance_type)


def instance_types(resource: Resource) -> Iterator[tuple[str, Any]]:
    """(property, instance type) for each type that the resource may start; a type may be unknown.

    A node pool that names families gives `g6.*`, one that names categories `g*`. What leaves the choice
    open gives `ANY`.
    """
    if resource.type == NODE_GROUP:
        default = [] if resource.has("launchTemplate") else ["t3.medium"]  # EKS's own default
        for value in resource.items("instanceTypes") or default:
            yield "instanceTypes", value
    elif resource.type == SCALING_GROUP:
        overrides = "mixedInstancesPolicy.launchTemplate.overrides"
        for override in resource.parts(overrides):
            yield from _named_or_required(override)
    elif resource.type == NODE_POOL:
        yield from _pool_types(resource)
    elif resource.type == LAUNCH_TEMPLATE:
        yield from _named_or_required(resource.part)
    elif resource.has("instanceType"):
        yield "instanceType", resource.part.value["instanceType"]


def _named_or_required(part: Part) -> Iterator[tuple[str, Any]]:
    if part.has("instanceRequirements"):
        path = "instanceRequirements.allowedInstanceTypes"
        for pattern in part.items(path) or [ANY]:
            yield part.where(path), pattern
    elif part.has("instanceType"):
        yield part.where("instanceType"), part.value["instanceType"]


def _pool_types(pool: Resource) -> Iterator[tuple[str, Any]]:
    """The narrowest requirement counts: types, else families, else categories, else anything."""
    for key, form in (
        ("node.kubernetes.io/instance-type", "{}"),
        ("karpenter.k8s.aws/instance-family", "{}.*"),
        ("karpenter.k8s.aws/instance-category", "{}*"),
    ):
        values = requirement(pool, key)
        if values is not None:
            for value in values:
                yield f"{POD_SPEC}.requirements", value if value is UNKNOWN else form.format(value)
            return
    yield f"{POD_SPEC}.requirements", ANY


def requirement(pool: Resource, key: str) -> Sequence[Any] | None:
    """Values that a node pool admits for a label; None where it does not bind it."""
    for part in pool.parts(f"{POD_SPEC}.requirements"):
        if part.get("key") == key and part.get("operator") == "In":
            return part.items("values")
    return None


def accelerated(resource: Resource) -> bool:
    """Whether the resource may start accelerated instances.

    Raises:
        Undecided: a type is unknown and none of the known ones is accelerated.
    """
    types = list(instance_types(resource))
    if any(value is not UNKNOWN and is_accelerated(value) for _, value in types):
        return True
    for path, value in types:
        if value is UNKNOWN:
            raise Undecided(path)
    return False


def taints(resource: Resource) -> Sequence[tuple[Any, Any]]:
    """(key, effect) of the taints that its nodes carry, effects in Kubernetes' spelling."""
    path = "taints" if resource.type == NODE_GROUP else f"{POD_SPEC}.taints"
    effects = {
        "NO_SCHEDULE": "NoSchedule",
        "NO_EXECUTE": "NoExecute",
        "PREFER_NO_SCHEDULE": "PreferNoSchedule",
    }
    return [
        (part.get("key"), effects.get(part.get("effect"), part.get("effect")))
        for part in resource.parts(path)
    ]


def expect_types(resource: Resource, ok: Callable[[str], bool], must_be: str) -> Findings:
    """A finding for each instance type that is not as it must be, or is unknown."""
    for path, value in instance_types(resource):
        if value is UNKNOWN:
            yield unknown(Undecided(path))
        elif not ok(value):
            name = "any instance type" if value == ANY else value
            yield Finding(f"`{path}` admits {name}; it must be {must_be}")
