"""Prices of the cluster: control plane, managed nodes, volumes."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cost.lines import Line, Plan, Pricer, Unpriced
from cost.load import HOURS
from cost.resources import Resource, at, number
from cost.schedules import mean_over_week

NODE_GROUP = "aws:eks/nodeGroup:NodeGroup"
_TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"
# https://docs.aws.amazon.com/eks/latest/APIReference/API_CreateNodegroup.html (diskSize)
_EKS_DISK_GIB = 20.0
# https://docs.aws.amazon.com/ebs/latest/userguide/general-purpose.html (what gp3 has at no extra charge)
_GP3_IOPS, _GP3_THROUGHPUT = 3000, 125


def _cluster(resource: Resource, plan: Plan) -> Iterator[Line]:
    yield plan.hours(resource, "eks.hour", "control plane", fix="no model on the backend eks")


def _node_group(resource: Resource, plan: Plan) -> Iterator[Line]:
    scaling = resource.get("scalingConfig", {})
    nodes = max(number(at(scaling, size), size) for size in ("minSize", "desiredSize"))
    type_ = dearest(plan, resource.items("instanceTypes") or ["t3.medium"])
    share = plan.load.paid_share(1 if resource.get("capacityType") == "SPOT" else 0)
    yield _nodes(resource, plan, type_, nodes, share)
    volumes = [
        at(mapping, "ebs", {})
        for template in plan.siblings(resource, _TEMPLATE)
        for mapping in template.items("blockDeviceMappings")
    ]
    disk = number(resource.get("diskSize"), "diskSize", _EKS_DISK_GIB)
    default = {"volumeSize": disk, "volumeType": "gp3"}
    yield from disks(resource, plan, volumes or [default], nodes, nodes)


def _nodes(resource: Resource, plan: Plan, type_: str, nodes: float, share: float) -> Line:
    return plan.line(
        resource,
        f"instance.{type_}",
        f"nodes {type_}",
        idle=nodes * HOURS,
        why=f"{nodes:g} nodes x {HOURS:g} hours",
        share=share,
        fix="fewer or smaller nodes, or spot",
    )


def _scaling_group(resource: Resource, plan: Plan) -> Iterator[Line]:
    """Nodes of an Auto Scaling group, with the schedules that set its smallest size."""
    changes = [
        (str(each.get("recurrence", "")), number(each.get("minSize"), "minSize"))
        for each in plan.siblings(resource, "aws:autoscaling/schedule:Schedule")
    ]
    sizes = [number(resource.get(size), size) for size in ("minSize", "desiredCapacity")]
    nodes = mean_over_week(changes, max(sizes))
    overrides = resource.items("mixedInstancesPolicy.launchTemplate.overrides")
    types = [at(each, "instanceType") for each in overrides]
    types += [each.get("instanceType") for each in plan.siblings(resource, _TEMPLATE)]
    named = [type_ for type_ in types if type_]
    if not named:
        raise Unpriced("it names no instance type")
    yield _nodes(resource, plan, dearest(plan, named), nodes, 1)


def _instance(resource: Resource, plan: Plan) -> Iterator[Line]:
    yield _nodes(resource, plan, str(resource.get("instanceType")), 1, 1)
    root = resource.get("rootBlockDevice", {})
    yield from disks(resource, plan, [root, *resource.items("ebsBlockDevices")], 1, 1)


def _volume(resource: Resource, plan: Plan) -> Iterator[Line]:
    volume = {**resource.inputs, "volumeSize": resource.get("size"), "volumeType": resource.get("type")}
    yield from disks(resource, plan, [volume], 1, 1)


def dearest(plan: Plan, types: Sequence[Any]) -> str:
    """The most expensive of the types that may start; one with no figure comes last.

    Raises:
        Unpriced: the table does not know one of them.
    """
    prices = {}
    for type_ in types:
        price = plan.table.every.get(f"instance.{type_}")
        if price is None:
            raise Unpriced(f"cost/prices/{plan.table.region}.yaml has no row for instance type {type_}")
        prices[str(type_)] = price.usd or 0
    return max(prices, key=lambda type_: prices[type_])


def disks(
    resource: Resource, plan: Plan, volumes: Sequence[Mapping[str, Any]], idle: float, load: float
) -> Iterator[Line]:
    """Lines for the volumes of so many nodes (a fraction for part of the month)."""
    for kind in ("gp3", "gp2"):
        mine = [volume for volume in volumes if at(volume, "volumeType", "gp3") == kind]
        gib = sum(number(at(volume, "volumeSize"), "volumeSize", _EKS_DISK_GIB) for volume in mine)
        why = f"{gib:g} GiB for each of {load:.4g} nodes"
        if gib:
            yield plan.line(
                resource, f"ebs.{kind}", f"volumes {kind}", idle=idle * gib, load=load * gib, why=why
            )
    for what, key, most in (("iops", "iops", _GP3_IOPS), ("throughput", "throughput", _GP3_THROUGHPUT)):
        extra = sum(max(number(at(volume, key), key) - most, 0) for volume in volumes)
        if extra:
            yield plan.line(
                resource,
                f"ebs.gp3.{what}",
                f"{what} of volumes",
                idle=idle * extra,
                load=load * extra,
                why=f"{extra:g} above {most} for each of {load:.4g} nodes",
            )


def _addon(resource: Resource, plan: Plan) -> Iterator[Line]:
    if resource.get("addonName") == "amazon-cloudwatch-observability":
        yield plan.month(resource, "insights.observations", "Container Insights")


def _service(resource: Resource, plan: Plan) -> Iterator[Line]:
    if resource.get("spec.type") == "LoadBalancer":
        raise Unpriced("a controller makes a load balancer for it; make the load balancer in the program")
    yield from ()


PRICERS: Mapping[str, Pricer] = {
    "aws:eks/cluster:Cluster": _cluster,
    NODE_GROUP: _node_group,
    "aws:eks/addon:Addon": _addon,
    "kubernetes:core/v1:Service": _service,
    "aws:autoscaling/group:Group": _scaling_group,
    "aws:ec2/instance:Instance": _instance,
    "aws:ebs/volume:Volume": _volume,
}
