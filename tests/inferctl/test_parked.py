"""What `verify` says of capacity that the stack's own schedules have turned down: parked, not changed."""

import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from components.parking import (
    Call,
    Capacity,
    endpoint_instances,
    node_group,
    provisioned_concurrency,
    replicas,
)
from inferctl.outcome import Change, Outcome
from inferctl.parked import is_parked, scheduled
from inferctl.session import Session
from inferctl.verify import drift
from naming import Names
from toolchain.progress import Step

NAMES = Names(platform="inference-platform", environment="stage", account_id="1" * 12, region="us-east-1")
INSTANCES = endpoint_instances(NAMES, "fraud", "main", least=2, most=4, floor=1, alarm="fraud-gpu-idle")
NODES = node_group(NAMES, "cluster", "gpu", role="gpu-baseline", nodes=1, most=2)
WARM = provisioned_concurrency(NAMES, "digits", "live", 2)
TARGET = {
    "urn": "target",
    "type": "aws:appautoscaling/target:Target",
    "inputs": {"resourceId": "endpoint/fraud/variant/main", "minCapacity": 2, "maxCapacity": 4},
}
GROUP = {
    "urn": "group",
    "type": "aws:eks/nodeGroup:NodeGroup",
    "inputs": {
        "clusterName": "cluster",
        "nodeGroupName": "gpu",
        "scalingConfig": {"minSize": 1, "desiredSize": 1, "maxSize": 2},
    },
}
CONCURRENCY = {
    "urn": "concurrency",
    "type": "aws:lambda/provisionedConcurrencyConfig:ProvisionedConcurrencyConfig",
    "inputs": {"functionName": "digits", "qualifier": "live", "provisionedConcurrentExecutions": 2},
}
OTHERS = [
    {**TARGET, "urn": "other target", "inputs": {"resourceId": "endpoint/x/variant/main", "minCapacity": 2}},
    {**GROUP, "urn": "system", "inputs": {"clusterName": "cluster", "nodeGroupName": "system"}},
]


def schedule(call: Call) -> Mapping[str, Any]:
    """As the state holds the schedule of a call."""
    target = {"arn": call.target, "input": json.dumps(call.parameters)}
    return {"urn": call.api, "type": "aws:scheduler/schedule:Schedule", "inputs": {"target": target}}


def state(*capacities: Capacity) -> list[Mapping[str, Any]]:
    """What there is, and the schedules of these capacities."""
    resources = [{**each, "outputs": each["inputs"]} for each in (TARGET, GROUP, CONCURRENCY, *OTHERS)]
    return [*resources, *(schedule(call) for each in capacities for call in (each.park, each.wake))]


def refreshed(resource: Mapping[str, Any], **changes: Any) -> Mapping[str, Any]:
    """What the engine tells of a resource whose inputs are not what they were."""
    return {"op": "update", "old": resource, "new": {**resource, "inputs": {**resource["inputs"], **changes}}}


SLEEPING = {"minSize": 0, "desiredSize": 0, "maxSize": 2}


@pytest.mark.parametrize(
    ("resource", "changes", "asleep"),
    [
        pytest.param(TARGET, {"minCapacity": 1, "maxCapacity": 1}, True, id="instances, by the night"),
        pytest.param(TARGET, {"minCapacity": 1}, True, id="instances, by the alarm on idle GPUs"),
        pytest.param(TARGET, {"minCapacity": 0}, False, id="instances, by hand"),
        pytest.param(TARGET, {"minCapacity": 1, "maxCapacity": 9}, False, id="instances, partly by hand"),
        pytest.param(
            TARGET, {"minCapacity": 1, "tags": {"a": "b"}}, False, id="instances, and another input"
        ),
        pytest.param(GROUP, {"scalingConfig": SLEEPING}, True, id="nodes"),
        pytest.param(GROUP, {"scalingConfig": {**SLEEPING, "maxSize": 9}}, False, id="nodes, by hand"),
        pytest.param(OTHERS[0], {"minCapacity": 1, "maxCapacity": 1}, False, id="other instances"),
        pytest.param(OTHERS[1], {"scalingConfig": SLEEPING}, False, id="nodes of the system"),
    ],
)
def test_parked_is_what_the_schedules_set_and_nothing_else(
    resource: Mapping[str, Any], changes: dict[str, Any], asleep: bool
) -> None:
    schedules = scheduled(state(INSTANCES, NODES, WARM))
    assert is_parked(refreshed(resource, **changes), schedules.get(resource["urn"])) is asleep
    assert not is_parked(refreshed(resource, **changes), scheduled(state()).get(resource["urn"]))


def test_only_what_parking_takes_away_may_be_gone() -> None:
    schedules = scheduled(state(INSTANCES, NODES, WARM))
    gone = {
        each["urn"]
        for each in (TARGET, GROUP, CONCURRENCY)
        if is_parked({"op": "delete"}, schedules[str(each["urn"])])
    }
    assert gone == {"concurrency"}


@pytest.mark.parametrize(
    "capacity", [INSTANCES, NODES, WARM, replicas(NAMES, "minilm")], ids=lambda c: c.name
)
def test_every_call_that_parks_is_known(capacity: Capacity) -> None:
    """But that of the function: KEDA's annotation is no input of the program."""
    assert bool(scheduled(state(capacity))) == (capacity.park.api != "lambda:invoke")


def test_verify_says_what_is_parked_and_finds_no_fault() -> None:
    change = Change(operation="update", path="model-fraud/target", type="aws:appautoscaling/target:Target")
    engine = SimpleNamespace(drift=lambda _: Outcome(parked=[change]), preview=lambda _: Outcome())
    session = SimpleNamespace(engine=engine, env=SimpleNamespace(name="stage"))
    said = list(drift(cast(Session, session), cast(Step, None)))
    assert [each.verdict for each in said] == ["ok"] * 3
    assert said[0].what == "parked until the next working morning: model-fraud/target"
