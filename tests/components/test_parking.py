"""When capacity is parked and woken, by which calls, and what tells that it is idle. Time is moved."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import boto3
import pytest
from botocore import xform_name

from components.idle_parking import failed_pattern, idle_machine, idle_pattern
from components.parking import Call, Capacity, WorkingHours, endpoint_instances, node_group, parked, replicas
from components.watch import ModelWatch, Site
from cost.schedules import hours_of
from environments.operations import Parking
from tests.components.conftest import Deployed
from tests.components.platform_args import ACCOUNT, NAMES, REGION
from tests.components.recorded import Recorded, Resource

SITE = Site(names=NAMES, stage="live", cluster_name="cluster")
SCHEDULE = "aws:scheduler/schedule:Schedule"
UTC = ZoneInfo("UTC")
# Weeks in which the clocks of Berlin change: on 29 March and on 25 October 2026.
SPRING, AUTUMN = datetime(2026, 3, 23), datetime(2026, 10, 19)


@dataclass(frozen=True)
class Fired:
    """A schedule at one of its moments."""

    at: datetime
    verb: str
    capacity: str


def fired(schedule: Resource, start: datetime, days: int) -> Iterator[Fired]:
    """When a schedule calls, in UTC, from midnight of `start` in its own time zone."""
    expression = schedule.inputs["scheduleExpression"]
    zone = ZoneInfo(schedule.inputs["scheduleExpressionTimezone"])
    minute = int(expression.removeprefix("cron(").split()[0])
    verb, capacity = schedule.inputs["description"].split(" ", 1)
    for hour in hours_of(expression):  # of a week that begins on Sunday
        for week in range(-1, days // 7 + 1):
            sunday = start - timedelta(days=start.isoweekday() % 7) + timedelta(weeks=week)
            local = (sunday + timedelta(hours=hour, minutes=minute)).replace(tzinfo=zone)
            if start <= local.replace(tzinfo=None) < start + timedelta(days=days):
                yield Fired(local.astimezone(UTC), verb.removesuffix("s"), capacity)


@pytest.mark.parametrize("start", [SPRING, AUTUMN], ids=["spring", "autumn"])
@pytest.mark.parametrize("env", ["local", "stage", "everything"])
def test_capacity_is_up_in_working_hours_only(env: str, start: datetime, deployment_of: Deployed) -> None:
    """Two weeks of every schedule that is deployed, in UTC, with the clocks changed in between."""
    schedules = parking_schedules(deployment_of(env))
    zone = ZoneInfo("Europe/Berlin")
    hours = WorkingHours(**Parking().model_dump())
    calls = sorted((each for one in schedules for each in fired(one, start, 14)), key=lambda each: each.at)
    assert len({each.at.hour for each in calls if each.verb == "wake"}) == 2, "07:00 moves by an hour in UTC"
    for capacity in {each.capacity for each in calls}:
        up = False
        moment = start.replace(tzinfo=zone).astimezone(UTC)
        for _ in range(14 * 48):
            for call in calls:
                if call.capacity == capacity and call.at == moment:
                    up = call.verb == "wake"
            assert up == hours.awake(moment.astimezone(zone)), (capacity, moment)
            moment += timedelta(minutes=30)


def parking_schedules(made: Recorded) -> list[Resource]:
    found = [each for each in made.all(SCHEDULE) if each.name.startswith("costs-")]
    assert found
    return found


def test_hours_that_end_before_they_begin_are_refused() -> None:
    with pytest.raises(ValueError, match=r"wake 20:00 must be before park 07:00"):
        Parking(wake="20:00", park="07:00")


def watched(backend: Any, **facts: Any) -> ModelWatch:
    return ModelWatch(model="m", backend=backend, **facts)


REAL_TIME = {"mode": "real-time", "instance": "ml.g5.xlarge", "gpu": True}
ASYNC = {"mode": "async", "instance": "ml.g5.xlarge", "gpu": True}


@pytest.mark.parametrize(
    ("watch", "names", "alarm"),
    [
        pytest.param(watched("lambda"), [], None, id="a function costs nothing while nobody asks"),
        pytest.param(watched("lambda", warm=2), ["model-m-concurrency"], None, id="kept warm"),
        pytest.param(watched("sagemaker", mode="serverless"), [], None, id="serverless"),
        pytest.param(watched("sagemaker", least=1, most=4, **REAL_TIME), [], None, id="already at the floor"),
        pytest.param(watched("sagemaker", least=0, most=4, **ASYNC), [], None, id="already at none"),
        pytest.param(
            watched("sagemaker", least=2, most=4, **REAL_TIME), ["-instances"], "m-gpu-idle", id="real-time"
        ),
        pytest.param(
            watched("sagemaker", least=1, most=4, **ASYNC), ["-instances"], "m-gpu-idle", id="async"
        ),
        pytest.param(watched("eks", gpu=True), ["model-m-replicas"], "m-gpu-idle", id="cluster"),
    ],
)
def test_what_is_billed_by_the_hour_is_parked(watch: ModelWatch, names: list[str], alarm: str | None) -> None:
    found = list(parked(SITE, watch))
    assert [each.name for each in found if any(each.name.endswith(name) for name in names)] == [
        each.name for each in found
    ]
    assert len(found) == len(names)
    for each in found:
        assert (each.idle.alarm if each.idle else None) == (f"{NAMES.prefix}-{alarm}" if alarm else None)


INSTANCES = endpoint_instances(
    NAMES, "inference-platform-dev-fraud", "main", least=2, most=4, floor=1, alarm="fraud-gpu-idle"
)
REPLICAS = replicas(NAMES, "minilm", alarm="minilm-gpu-idle")
CAPACITIES = [
    next(parked(SITE, watched("lambda", warm=2))),
    INSTANCES,
    REPLICAS,
    node_group(NAMES, "cluster", "gpu-baseline", role="gpu-baseline", nodes=2, most=3),
]


@pytest.mark.parametrize("capacity", CAPACITIES, ids=[each.name for each in CAPACITIES])
def test_parking_calls_apis_that_are_there_and_allowed(capacity: Capacity) -> None:
    names = {"applicationautoscaling": "application-autoscaling"}
    calls = [capacity.park, capacity.wake, *([capacity.idle.call] if capacity.idle else ())]
    for call in calls:
        service, operation = call.api.split(":")
        client = boto3.client(names.get(service, service), region_name=REGION)
        known = client.meta.method_to_api_mapping[xform_name(operation[0].upper() + operation[1:])]
        shape = client.meta.service_model.operation_model(known).input_shape
        # The Scheduler writes members with a capital, whatever the service does.
        members = {name[0].upper() + name[1:]: name for name in shape.members}
        assert call.parameters.keys() <= members.keys()
        assert {name[0].upper() + name[1:] for name in shape.required_members} <= call.parameters.keys()
        action = (
            "lambda:InvokeFunction"
            if call.api == "lambda:invoke"
            else f"{names.get(service, service)}:{known}"
        )
        assert action in capacity.statement["Action"]


def test_idle_instances_come_back_with_requests_and_parked_ones_do_not() -> None:
    assert INSTANCES.idle
    bounds = [
        {name: call.parameters.get(name) for name in ("MinCapacity", "MaxCapacity")}
        for call in (INSTANCES.park, INSTANCES.idle.call, INSTANCES.wake)
    ]
    assert bounds == [
        {"MinCapacity": 1, "MaxCapacity": 1},
        {"MinCapacity": 1, "MaxCapacity": None},
        {"MinCapacity": 2, "MaxCapacity": 4},
    ]


def test_the_machine_makes_the_call_of_the_alarm_that_rings() -> None:
    idle = [each.idle for each in (INSTANCES, REPLICAS) if each.idle]
    states = idle_machine(idle)["States"]
    [to_instances, to_replicas] = states["Which"]["Choices"]
    assert (to_instances["StringEquals"], to_replicas["StringEquals"]) == (
        "fraud-gpu-idle",
        "minilm-gpu-idle",
    )
    instances, model = states[to_instances["Next"]], states[to_replicas["Next"]]
    assert instances["Resource"] == "arn:aws:states:::aws-sdk:applicationautoscaling:registerScalableTarget"
    assert instances["Parameters"]["ResourceId"] == "endpoint/inference-platform-dev-fraud/variant/main"
    assert model["Resource"] == "arn:aws:states:::lambda:invoke"
    assert model["Parameters"] == {
        "FunctionName": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:inference-platform-dev-parking:live",
        "Payload": {"verb": "park", "model": "minilm"},
    }
    assert idle_pattern(idle)["detail"]["alarmName"] == ["fraud-gpu-idle", "minilm-gpu-idle"]


def test_the_scheduler_gives_a_function_its_event_alone() -> None:
    call = Call(api="lambda:invoke", parameters={"FunctionName": "arn", "Payload": {"verb": "park"}})
    assert call.target == "arn"
    other = replace(call, api="eks:updateNodegroupConfig")
    assert other.target == "arn:aws:scheduler:::aws-sdk:eks:updateNodegroupConfig"


def test_alarms_that_park_are_alarms_that_there_are(whole_program: Recorded) -> None:
    known = {each.inputs.get("name") for each in whole_program.all("aws:cloudwatch/metricAlarm:MetricAlarm")}
    rules = [each for each in whole_program.all("aws:cloudwatch/eventRule:EventRule") if "-rung" in each.name]
    for rule in rules:
        assert set(json.loads(rule.inputs["eventPattern"])["detail"]["alarmName"]) <= known


@pytest.mark.parametrize(
    ("env", "parks"), [("stage", True), ("local", True), ("dev", False), ("prod", False)]
)
def test_idle_gpus_are_parked_where_there_are_any_but_never_in_production(
    env: str, parks: bool, deployment_of: Deployed
) -> None:
    """Dev has no GPU. Production has, and nothing there is ever parked."""
    made = deployment_of(env)
    rules = [
        each for each in made.all("aws:cloudwatch/eventRule:EventRule") if each.name == "costs-idle-rung"
    ]
    assert bool(rules) == parks
    if env == "prod":
        assert not [each for each in made.all(SCHEDULE) if each.name.startswith("costs-")]


def test_the_cluster_lets_the_function_patch_the_scalers_of_its_models_only(deployment_of: Deployed) -> None:
    made = deployment_of("stage")
    role = made.named("parking-patch-scalers")
    [rule] = role.inputs["rules"]
    assert (rule["apiGroups"], rule["resources"], rule["verbs"]) == (
        ["keda.sh"],
        ["scaledobjects"],
        ["patch"],
    )
    scalers = [
        each.inputs["metadata"]["name"] for each in made.all("kubernetes:keda.sh/v1alpha1:ScaledObject")
    ]
    # Workers of jobs come and go with their queue, whatever the hour.
    assert set(rule["resourceNames"]) == {name for name in scalers if not name.startswith("jobs-")}
    [subject] = made.named("parking-patch-scalers-binding").inputs["subjects"]
    assert made.named("parking-access-entry").inputs["kubernetesGroups"] == [subject["name"]]
    assert made.named("parking-function-function").inputs["vpcConfig"]["subnetIds"]


def test_parking_that_fails_is_told(deployment_of: Deployed) -> None:
    """Schedules that give up ring an alarm; executions and runs of the function that fail are events."""
    made = deployment_of("stage")
    topic = made.named("alerts-topic").inputs["name"]
    alarm = made.named("costs-parking-failed").inputs
    groups = {each.inputs.get("groupName", "default") for each in parking_schedules(made)}
    assert (alarm["namespace"], alarm["metricName"]) == ("AWS/Scheduler", "InvocationDroppedCount")
    assert {alarm["dimensions"]["ScheduleGroup"]} == groups
    assert [arn.rpartition(":")[2] for arn in alarm["alarmActions"]] == [topic]
    machine = made.named("costs-idle-machine").inputs["name"]
    pattern = json.loads(made.named("costs-idle-failed").inputs["eventPattern"])
    [arn] = pattern["detail"]["stateMachineArn"]
    assert arn.rpartition(":")[2] == machine
    assert pattern == failed_pattern(arn)
    assert {"FAILED", "TIMED_OUT"} <= set(pattern["detail"]["status"])
    assert made.named("costs-idle-failed-topic").inputs["arn"].rpartition(":")[2] == topic
    failures = made.named("parking-failures").inputs
    assert failures["functionName"] == made.named("parking-function-function").inputs["name"]
    assert failures["destinationConfig"]["onFailure"]["destination"].endswith(":event-bus/default")
