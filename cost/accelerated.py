"""Prices of models on GPU nodes: replicas start nodes, and Karpenter's pools say of which kind."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from cost.lines import Line, Plan, Pricer, Unpriced
from cost.load import HOURS
from cost.machines import disks
from cost.resources import Resource, at, number
from cost.schedules import mean_over_week

DEPLOYMENT = "kubernetes:apps/v1:Deployment"
NODE_POOL = "kubernetes:karpenter.sh/v1:NodePool"
_NODE_CLASS = "kubernetes:karpenter.k8s.aws/v1:EC2NodeClass"
_SCALER = "kubernetes:keda.sh/v1alpha1:ScaledObject"
_GPU = "nvidia.com/gpu"
_TYPE = "node.kubernetes.io/instance-type"
_CAPACITY = "karpenter.sh/capacity-type"
_POD = "spec.template.spec"


def _deployment(resource: Resource, plan: Plan) -> Iterator[Line]:
    """Nodes for the replicas of a model; what names no instance type runs on nodes counted elsewhere.

    Models share no nodes in this count, although they may.
    """
    type_ = _instance_type(resource)
    if not type_:
        return
    each = max(plan.table.gpus(type_) // max(_gpus(resource), 1), 1)

    def nodes(replicas: float) -> float:
        return math.ceil(replicas / each)

    least, most, changes = _replicas(resource, plan)
    floor = mean_over_week([(cron, nodes(replicas)) for cron, replicas in changes], nodes(least))
    model = plan.load.of(resource.model)
    hours = replace(model, instances=nodes(model.instances)).instance_hours(floor, nodes(most))
    busy = f"load.models.{resource.model}: {model.instances:g} replicas in {model.active_hours:g} hours"
    pool = next((pool for pool in plan.of(NODE_POOL) if type_ in _types(pool)), None)
    yield plan.line(
        resource,
        f"instance.{type_}",
        f"nodes {type_}",
        idle=floor * HOURS,
        load=hours,
        why=f"{floor:.4g} nodes always, {each} replicas a node; {busy}",
        share=_share(pool, plan),
        fix="scale.min: 0, a smaller accelerator, spot nodes, or fewer active hours",
    )
    yield from disks(resource, plan, _volumes(pool, plan), floor, hours / HOURS)


def _replicas(resource: Resource, plan: Plan) -> tuple[float, float, Sequence[tuple[str, float]]]:
    """Fewest and most replicas, and what schedules make of the fewest."""
    name = resource.get("metadata.name", resource.name)
    for scaler in plan.of(_SCALER):
        if scaler.get("spec.scaleTargetRef.name") != name:
            continue
        least = number(scaler.get("spec.minReplicaCount"), "minReplicaCount")
        most = number(scaler.get("spec.maxReplicaCount"), "maxReplicaCount", 100)
        changes = []
        for trigger in scaler.items("spec.triggers"):
            if at(trigger, "type") == "cron":
                data = at(trigger, "metadata", {})
                desired = number(at(data, "desiredReplicas"), "desiredReplicas")
                changes += [(str(at(data, "end")), least), (str(at(data, "start")), max(desired, least))]
        return least, most, changes
    replicas = number(resource.get("spec.replicas"), "spec.replicas", 1)
    return replicas, replicas, ()


def _instance_type(deployment: Resource) -> str | None:
    found: str | None = deployment.get(f"{_POD}.nodeSelector", {}).get(_TYPE)
    return found


def _gpus(deployment: Resource) -> int:
    limits = [at(each, "resources.limits", {}) for each in deployment.items(f"{_POD}.containers")]
    return int(sum(number(limit.get(_GPU), _GPU) for limit in limits))


def _pool(resource: Resource, plan: Plan) -> Iterator[Line]:
    """Types that a model asks for are counted with the model; others may start up to the pool's limit."""
    wanted = {_instance_type(each) for each in plan.of(DEPLOYMENT)}
    spare = [type_ for type_ in _types(resource) if type_ not in wanted]
    if not spare:
        return
    limit = resource.get("spec.limits", {}).get(_GPU)
    if limit is None:
        raise Unpriced(f"nothing limits its nodes of {', '.join(spare)}; set spec.limits of {_GPU}")
    nodes = {type_: number(limit, _GPU) // plan.table.gpus(type_) for type_ in spare}

    def usd(type_: str) -> float:
        price = plan.table.every.get(f"instance.{type_}")
        if price is None:
            raise Unpriced(f"cost/prices/{plan.table.region}.yaml has no row for instance type {type_}")
        return nodes[type_] * (price.usd or 0)

    worst = max(spare, key=usd)
    yield plan.line(
        resource,
        f"instance.{worst}",
        f"nodes {worst} at the pool's limit",
        load=nodes[worst] * HOURS,
        why=f"no model asks for {worst}, so no load says when it runs: {nodes[worst]:g} nodes "
        f"({number(limit, _GPU):g} GPUs, {plan.table.gpus(worst)} a node) x {HOURS:g} hours",
        share=_share(resource, plan),
        fix=f"take {worst} out of the pool, or serve a model on it and state its active_hours (load.models)",
    )
    yield from disks(resource, plan, _volumes(resource, plan), 0, nodes[worst])


def _types(pool: Resource) -> Sequence[str]:
    """Instance types that a pool names.

    Raises:
        Unpriced: it leaves the choice to Karpenter.
    """
    named = _values(pool, _TYPE)
    if not named:
        raise Unpriced(f"it names no instance types; require {_TYPE}")
    return named


def _values(pool: Resource, key: str) -> Sequence[str]:
    for requirement in pool.items(f"{_POD}.requirements"):
        if at(requirement, "key") == key and at(requirement, "operator") == "In":
            values: Sequence[str] = at(requirement, "values", [])
            return values
    return ()


def _share(pool: Resource | None, plan: Plan) -> float:
    """Part of the list price for a pool's nodes: spot alone, on demand alone, or as the load says."""
    kinds = set(_values(pool, _CAPACITY)) if pool else set()
    if "spot" not in kinds:
        return 1
    return plan.load.paid_share(1 if kinds == {"spot"} else plan.load.spot_share)


def _volumes(pool: Resource | None, plan: Plan) -> Sequence[Mapping[str, Any]]:
    name = pool.get(f"{_POD}.nodeClassRef.name") if pool else None
    return [
        at(mapping, "ebs", {})
        for node_class in plan.of(_NODE_CLASS)
        if node_class.get("metadata.name") == name
        for mapping in node_class.items("spec.blockDeviceMappings")
    ]


PRICERS: Mapping[str, Pricer] = {DEPLOYMENT: _deployment, NODE_POOL: _pool}
