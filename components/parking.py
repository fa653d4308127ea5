"""What can be turned down and up again, when, and the calls that do it.

EventBridge Scheduler and Step Functions make the calls themselves, by the same names of services and
operations: nothing runs for the sake of parking, but for the one function that reaches into the cluster.
https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-targets-universal.html
https://docs.aws.amazon.com/step-functions/latest/dg/supported-services-awssdk.html
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pulumi

from components import iam
from components.function import LIVE
from components.sagemaker_hosting import VARIANT
from components.watch import ModelWatch, Site
from naming import Names

_INVOKE = "lambda:invoke"
FUNCTION = "parking"
"""Role of the function that parks models in the cluster (`components/model_parking.py`)."""


@dataclass(frozen=True, kw_only=True)
class WorkingHours:
    """Monday to Friday, in the time zone's own hours."""

    timezone: str
    """IANA name; the Scheduler follows its summer time."""
    wake: str
    """`HH:MM` at which capacity comes back."""
    park: str
    """`HH:MM` at which it goes; later than `wake`."""

    def expression(self, at: str) -> str:
        """Cron expression of the working days at that time of day.

        https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html#cron-based
        """
        hour, minute = at.split(":")
        return f"cron({int(minute)} {int(hour)} ? * MON-FRI *)"

    def awake(self, local: datetime) -> bool:
        """Whether capacity is up at this local time."""
        return local.weekday() < 5 and self.wake <= local.strftime("%H:%M") < self.park


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call of an AWS API; functions are invoked by their ARN."""

    api: str
    """`<service>:<operation>` as the Scheduler and Step Functions name them, in camel case."""
    parameters: Mapping[str, Any]

    @property
    def target(self) -> str:
        """ARN of the Scheduler's target."""
        if self.api == _INVOKE:
            return str(self.parameters["FunctionName"])
        return f"arn:aws:scheduler:::aws-sdk:{self.api}"

    @property
    def input(self) -> pulumi.Output[str]:
        """What the Scheduler gives to the target."""
        given = self.parameters["Payload"] if self.api == _INVOKE else self.parameters
        return pulumi.Output.json_dumps(given, sort_keys=True)

    @property
    def task(self) -> Mapping[str, Any]:
        """The same as a task of Step Functions."""
        service = self.api if self.api == _INVOKE else f"aws-sdk:{self.api}"
        return {"Type": "Task", "Resource": f"arn:aws:states:::{service}", "Parameters": self.parameters}


@dataclass(frozen=True, kw_only=True)
class Idle:
    """What is done about capacity that is paid for and not used, without waiting for the night."""

    alarm: str
    """Name of the alarm that says so."""
    call: Call
    """Brings it to the least from which it still comes back by itself or with the morning."""


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """Something that can be parked: the calls, and what their role must be allowed for them."""

    name: str
    """What it is; a part of the schedules' names."""
    park: Call
    wake: Call
    statement: iam.Statement
    idle: Idle | None = None
    """None where nothing tells that it is idle."""


def parked(site: Site, watch: ModelWatch) -> Iterator[Capacity]:
    """What of a model is billed by the hour although nobody asks it."""
    alarm = f"{site.names.prefix}-{watch.model}-gpu-idle" if watch.gpu else None
    if watch.backend == "lambda" and watch.warm:
        yield provisioned_concurrency(site.names, watch.function_name(site), LIVE, watch.warm)
    if watch.backend == "sagemaker" and watch.instance:
        # A real-time endpoint keeps an instance.
        floor = 0 if watch.mode == "async" else 1
        if watch.least > floor:
            yield endpoint_instances(
                site.names,
                watch.endpoint_name(site),
                VARIANT,
                least=watch.least,
                most=watch.most,
                floor=floor,
                alarm=alarm,
            )
    if watch.backend == "eks":
        yield replicas(site.names, watch.model, alarm=alarm)


def provisioned_concurrency(names: Names, function_name: str, alias: str, environments: int) -> Capacity:
    """Environments of a function that are kept warm, billed by the hour. Without them it starts cold."""
    subject = {"FunctionName": function_name, "Qualifier": alias}
    return Capacity(
        name=f"{function_name.removeprefix(f'{names.prefix}-')}-concurrency",
        park=Call(api="lambda:deleteProvisionedConcurrencyConfig", parameters=subject),
        wake=Call(
            api="lambda:putProvisionedConcurrencyConfig",
            parameters={**subject, "ProvisionedConcurrentExecutions": environments},
        ),
        statement=iam.allow(
            "ProvisionedConcurrency",
            ["lambda:DeleteProvisionedConcurrencyConfig", "lambda:PutProvisionedConcurrencyConfig"],
            [names.arn("lambda", f"function:{function_name}:{alias}")],
        ),
    )


def endpoint_instances(
    names: Names,
    endpoint_name: str,
    variant: str,
    *,
    least: int,
    most: int,
    floor: int,
    alarm: str | None = None,
) -> Capacity:
    """Instances of a SageMaker endpoint: parked at `floor` (1 for real-time, 0 for async).

    Idle ones go down to it, too, but come back with requests.
    """
    subject = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{endpoint_name}/variant/{variant}",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }

    def register(**bounds: int) -> Call:
        return Call(api="applicationautoscaling:registerScalableTarget", parameters={**subject, **bounds})

    return Capacity(
        name=f"{endpoint_name.removeprefix(f'{names.prefix}-')}-instances",
        park=register(MinCapacity=floor, MaxCapacity=floor),
        wake=register(MinCapacity=least, MaxCapacity=most),
        # The most that there may be stays what it is, by day and by night.
        idle=Idle(alarm=alarm, call=register(MinCapacity=floor)) if alarm else None,
        statement=iam.allow(
            "Instances",
            ["application-autoscaling:RegisterScalableTarget"],
            [names.arn("application-autoscaling", "scalable-target/*")],
            {"StringEquals": {"application-autoscaling:service-namespace": "sagemaker"}},
        ),
    )


def replicas(names: Names, model: str, *, alarm: str | None = None) -> Capacity:
    """Replicas of a model in the cluster: KEDA holds it at none, and Karpenter removes its nodes.

    Jobs wait for the morning, and requests are told that the model is cold.
    """
    function = names.arn("lambda", f"function:{names.function(FUNCTION)}:{LIVE}")

    def invoke(verb: str) -> Call:
        payload = {"verb": verb, "model": model}
        return Call(api=_INVOKE, parameters={"FunctionName": function, "Payload": payload})

    return Capacity(
        name=f"model-{model}-replicas",
        park=invoke("park"),
        wake=invoke("wake"),
        idle=Idle(alarm=alarm, call=invoke("park")) if alarm else None,
        statement=iam.allow("Replicas", ["lambda:InvokeFunction"], [function]),
    )


def node_group(
    names: Names,
    cluster_name: pulumi.Input[str],
    node_group_name: pulumi.Input[str],
    *,
    role: str,
    nodes: int,
    most: int,
) -> Capacity:
    """Nodes that always run. Never those of the system pods: Karpenter on them removes the other nodes."""
    subject = {"ClusterName": cluster_name, "NodegroupName": node_group_name}

    def sized(wanted: int) -> Call:
        scaling = {"MinSize": wanted, "DesiredSize": wanted, "MaxSize": most}
        return Call(api="eks:updateNodegroupConfig", parameters={**subject, "ScalingConfig": scaling})

    arn = pulumi.Output.concat(names.arn("eks", "nodegroup/"), cluster_name, "/", node_group_name, "/*")
    return Capacity(
        name=f"{role}-nodes",
        park=sized(0),
        wake=sized(nodes),
        statement={**iam.allow("Nodes", ["eks:UpdateNodegroupConfig"], []), "Resource": [arn]},
    )


def statements(capacities: Sequence[Capacity]) -> list[iam.Statement]:
    """What the role of those who call is allowed: the calls that park and wake, each on what it is for."""
    return [
        {**capacity.statement, "Sid": f"{capacity.statement['Sid']}{place}"}
        for place, capacity in enumerate(capacities, start=1)
    ]
