"""The cluster's nodes: which instances may start, how many at most, at what price, and for which pods."""

import math
from typing import Annotated

from pydantic import Field

from policies.capacity import (
    CAPACITY,
    NODE_GROUP,
    NODE_POOL,
    POD_SPEC,
    SCALING_GROUP,
    accelerated,
    expect_types,
    is_accelerated,
    requirement,
    taints,
)
from policies.resources import STACK, Resource, Stack
from policies.rule import Finding, Findings, Sample, Settings, expect, resource_rule, stack_rule

SCALED_OBJECT = "kubernetes:keda.sh/v1alpha1:ScaledObject"
DEVICE_TAINTS = ("nvidia.com/gpu", "aws.amazon.com/neuron")
Count = Annotated[int, Field(ge=0)]


@resource_rule(
    id="gpu-instance-allow-list",
    title="Only accelerated instances that the environment has chosen may start",
    severity="high",
    why="A p5.48xlarge costs 55 USD an hour, 68 times a g6.xlarge; a typing error must not start one.",
    fix="use one of the environment's accelerated types, or have the list changed",
    types=CAPACITY,
    settings={"instanceTypes": list[str]},
    good={"instanceTypes": ["g6.xlarge"]},
    bad={"instanceTypes": ["p5.48xlarge"]},
)
def gpu_instance_allow_list(resource: Resource, settings: Settings) -> Findings:
    chosen = settings["instanceTypes"]
    yield from expect_types(
        resource, lambda each: not is_accelerated(each) or each in chosen, f"one of {', '.join(chosen)}"
    )


_NODES = Sample(
    type=NODE_GROUP, name="gpu", props={"instanceTypes": ["g6.xlarge"], "scalingConfig": {"maxSize": 2}}
)


def _nodes(most: int) -> Sample:
    props = {"instanceTypes": ["g6.xlarge"], "scalingConfig": {"minSize": 0, "maxSize": most}}
    return Sample(type=NODE_GROUP, name="gpu", props=props)


@stack_rule(
    id="max-node-count",
    title="The number of nodes has a limit, for each group and for all accelerated nodes together",
    severity="high",
    why="Autoscaling follows the queue: a loop or an attack fills it, and only the limit stops the bill.",
    fix="lower the group's maxSize or the node pool's limits, or have the environment's cap changed",
    types=[NODE_GROUP, SCALING_GROUP, NODE_POOL, STACK],
    settings={"maxNodes": Count, "maxAccelerated": Count, "maxCpus": Count},
    good=[_nodes(2)],
    bad=[_nodes(1000)],
)
def max_node_count(resource: Resource, stack: Stack, settings: Settings) -> Findings:
    """A node pool is limited by its GPUs where it has some, by its CPUs where not."""
    if resource.type == STACK:
        groups = [each for each in stack.of(NODE_GROUP, SCALING_GROUP, NODE_POOL) if accelerated(each)]
        total = sum(_most(each) for each in groups)
        if total > settings["maxAccelerated"]:
            names = ", ".join(each.name for each in groups)
            cap = f"the environment allows {settings['maxAccelerated']}"
            yield Finding(f"{names} may start {total:g} accelerated nodes together; {cap}")
        return
    most, cap = _most(resource), settings["maxNodes"]
    if resource.type == NODE_POOL:
        cap = settings["maxAccelerated" if accelerated(resource) else "maxCpus"]
    if most > cap:
        has = "no limit" if most == math.inf else f"a limit of {most:g}"
        yield Finding(f"`{_limit_path(resource)}` sets {has}; the environment allows {cap}")


def _limit_path(group: Resource) -> str:
    paths = {NODE_GROUP: "scalingConfig.maxSize", SCALING_GROUP: "maxSize", NODE_POOL: "spec.limits"}
    return paths[group.type]


def _most(group: Resource) -> float:
    """Nodes, or for a node pool GPUs or CPUs, that the group may start; infinite where nothing limits it."""
    if group.type != NODE_POOL:
        limit = group.get(_limit_path(group))
    else:
        limit = group.child("spec.limits").key("nvidia.com/gpu" if accelerated(group) else "cpu")
    return float(limit) if str(limit).isdecimal() else math.inf


@resource_rule(
    id="gpu-nodegroup-scale-to-zero",
    title="Accelerated capacity goes away when nobody uses it",
    severity="high",
    why="An idle g6.xlarge costs 588 USD a month.",
    fix="let the least size be 0, and let a node pool consolidate",
    types=[NODE_GROUP, SCALING_GROUP, NODE_POOL, SCALED_OBJECT],
    good={"instanceTypes": ["g6.xlarge"], "scalingConfig": {"minSize": 0, "desiredSize": 0}},
    bad={"instanceTypes": ["g6.xlarge"], "scalingConfig": {"minSize": 1, "desiredSize": 1}},
)
def scale_to_zero(resource: Resource, settings: Settings) -> Findings:
    def zero(size: object) -> bool:
        return size == 0

    if resource.type == SCALED_OBJECT:
        # KEDA's own default is 0: https://keda.sh/docs/latest/reference/scaledobject-spec/
        yield from expect(resource, "spec.minReplicaCount", lambda least: not least, "0")
    elif resource.type == NODE_POOL:
        after = "spec.disruption.consolidateAfter"
        yield from expect(resource, after, lambda wait: wait != "Never", "a time after which idle nodes go")
    elif accelerated(resource):
        if resource.type == NODE_GROUP:
            yield from expect(resource, "scalingConfig.minSize", zero, "0")
            yield from expect(resource, "scalingConfig.desiredSize", zero, "0")
        else:
            yield from expect(resource, "minSize", zero, "0")
            yield from expect(resource, "desiredCapacity", lambda size: not size, "0")


@resource_rule(
    id="spot-in-nonprod",
    title="Nodes outside production run on spot capacity",
    severity="medium",
    why="Spot costs up to 70 % less, and outside production an interruption costs nothing.",
    fix="set capacity_type=SPOT with two or more instance types; let a node pool admit spot",
    types=[NODE_GROUP, NODE_POOL],
    good={"capacityType": "SPOT", "instanceTypes": ["g6.xlarge", "g5.xlarge"]},
    bad={"capacityType": "ON_DEMAND", "instanceTypes": ["g6.xlarge"]},
)
def spot_in_nonprod(resource: Resource, settings: Settings) -> Findings:
    """System nodes, which run what scales the others, are tainted for critical add-ons and stay on demand."""
    if any(key == "CriticalAddonsOnly" for key, _ in taints(resource)):
        return
    if resource.type == NODE_POOL:
        admitted = requirement(resource, "karpenter.sh/capacity-type")
        if admitted is not None and "spot" not in admitted:
            yield Finding(f"`{POD_SPEC}.requirements` does not admit spot capacity")
    else:
        yield from expect(resource, "capacityType", lambda kind: kind == "SPOT", "SPOT")
        types = "instanceTypes"
        yield from expect(
            resource, types, lambda each: len(each or ()) >= 2, "two types, in case one is scarce"
        )


@resource_rule(
    id="gpu-nodes-tainted",
    title="Accelerated nodes admit only pods that ask for the accelerator",
    severity="medium",
    why="Without a taint, any pod lands on a node that costs ten times as much and keeps it alive.",
    fix="give the nodes the taint nvidia.com/gpu:NoSchedule (or aws.amazon.com/neuron)",
    types=[NODE_GROUP, NODE_POOL],
    good={"instanceTypes": ["g6.xlarge"], "taints": [{"key": "nvidia.com/gpu", "effect": "NO_SCHEDULE"}]},
    bad={"instanceTypes": ["g6.xlarge"], "taints": []},
)
def gpu_nodes_tainted(resource: Resource, settings: Settings) -> Findings:
    if accelerated(resource):
        found = taints(resource)
        if not any(key in DEVICE_TAINTS and effect == "NoSchedule" for key, effect in found):
            yield Finding(f"no taint {' or '.join(DEVICE_TAINTS)} with effect NoSchedule")


RULES = (gpu_instance_allow_list, max_node_count, scale_to_zero, spot_in_nonprod, gpu_nodes_tainted)
