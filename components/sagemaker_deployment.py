"""How a SageMaker endpoint goes over to another configuration, and what makes it go back."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pulumi
import pulumi_aws as aws

from components.sagemaker_hosting import VARIANT, Hosting, RealTime

# Seconds for instances to be found and started and for the model to be loaded, before any traffic shifts.
_PROVISIONING_S = 3600
# The longest timeout that the provider lets through; the API allows twice that.
_LONGEST_S = 14_400
# How many times faster than its objective allows a model may use up its error budget.
_BURN_RATE = 10


@dataclass(frozen=True, kw_only=True)
class TrafficShift:
    """How requests move from the old instances to the new ones."""

    kind: Literal["canary", "linear"] = "canary"
    """`canary`: `percent` first, then the rest; `linear`: in steps of `percent`."""
    percent: int = 20
    """Share of the first step, or of each step (10 to 50)."""
    bake_s: int = 600
    """How long the alarms are watched after each step, seconds."""
    termination_wait_s: int = 300
    """How long the old instances stay after the last step, seconds: so long a way back is quick."""


@dataclass(frozen=True, kw_only=True)
class RollbackAlarmsArgs:
    """Arguments of `RollbackAlarms`."""

    tags: Mapping[str, str]
    """Tags of the alarms."""
    endpoint_name: str
    """Name of the endpoint, which need not exist yet."""
    p99_ms: int | None
    """99th percentile of the model's latency, milliseconds; None where nobody waits for the answer."""
    availability: float
    """Percent of requests that are to be answered without a 5xx."""
    actions: Sequence[pulumi.Input[str]] = ()
    """Topics to tell; a deployment rolls back without any."""


class RollbackAlarms(pulumi.ComponentResource):
    """Alarms on errors and latency of an endpoint's variant, over old and new instances together.

    They have names of their own choice, because an endpoint's list of alarms can only be changed by making
    another endpoint.
    """

    alarm_names: Sequence[str]
    """Known before anything exists; whoever names them must wait for this component."""

    def __init__(
        self, name: str, args: RollbackAlarmsArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("inference-platform:sagemaker_deployment:RollbackAlarms", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        # https://docs.aws.amazon.com/sagemaker/latest/dg/monitoring-cloudwatch.html
        allowed = _BURN_RATE * (100 - args.availability) / 100
        names = [
            self._alarm(
                "errors",
                f"More than {allowed:.2%} of the requests end with a 5xx. Runbook: docs/runbooks/slo-burn.md",
                metric_name="Invocation5XXErrors",
                statistic="Average",  # each request counts 1 or 0
                threshold=allowed,
            )
        ]
        if args.p99_ms is not None:
            names.append(
                self._alarm(
                    "latency",
                    f"One request in a hundred takes the model longer than {args.p99_ms} ms. "
                    "Runbook: docs/runbooks/p99.md",
                    metric_name="ModelLatency",
                    extended_statistic="p99",
                    evaluate_low_sample_count_percentiles="ignore",
                    threshold=args.p99_ms * 1000,  # microseconds
                )
            )
        self.alarm_names = names
        self.register_outputs({"alarm_names": self.alarm_names})

    def _alarm(self, role: str, description: str, **metric: Any) -> str:
        args = self._args
        alarm_name = f"{args.endpoint_name}-{role}"
        aws.cloudwatch.MetricAlarm(
            f"{self._name}-{role}",
            name=alarm_name,
            alarm_description=description,
            namespace="AWS/SageMaker",
            dimensions={"EndpointName": args.endpoint_name, "VariantName": VARIANT},
            comparison_operator="GreaterThanThreshold",
            period=60,
            evaluation_periods=3,
            datapoints_to_alarm=2,
            treat_missing_data="notBreaching",
            alarm_actions=args.actions,
            ok_actions=args.actions,
            tags=args.tags,
            opts=self._child,
            **metric,
        )
        return alarm_name


def deployment_config(
    hosting: Hosting, shift: TrafficShift, alarm_names: Sequence[str]
) -> aws.sagemaker.EndpointDeploymentConfigArgsDict:
    """A blue/green deployment that the alarms undo.

    A step is half of the instances at most. Where there are not always two and somebody who waits for them,
    all requests move at once, and the alarms are watched after that.

    Raises:
        ValueError: the share of a step or the time of all steps is beyond what SageMaker allows.
    """
    if not 10 <= shift.percent <= 50:
        raise ValueError(f"percent {shift.percent}: a step takes 10 to 50 percent of the instances")
    # https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_TrafficRoutingConfig.html
    routing: aws.sagemaker.EndpointDeploymentConfigBlueGreenUpdatePolicyTrafficRoutingConfigurationArgsDict
    routing = {"type": "ALL_AT_ONCE", "wait_interval_in_seconds": shift.bake_s}
    divisible = isinstance(hosting, RealTime) and hosting.scale.min >= 2
    steps = 1
    if divisible and shift.kind == "canary":
        routing["type"], steps = "CANARY", 2
        routing["canary_size"] = {"type": "CAPACITY_PERCENT", "value": shift.percent}
    elif divisible:
        routing["type"], steps = "LINEAR", math.ceil(100 / shift.percent)
        routing["linear_step_size"] = {"type": "CAPACITY_PERCENT", "value": shift.percent}
    waiting_s = steps * shift.bake_s + shift.termination_wait_s
    if waiting_s + _PROVISIONING_S > _LONGEST_S:
        raise ValueError(
            f"{steps} steps of {shift.bake_s} s and {shift.termination_wait_s} s at the end take "
            f"{waiting_s} s; shorten them to {_LONGEST_S - _PROVISIONING_S} s or less"
        )
    return {
        "blue_green_update_policy": {
            "traffic_routing_configuration": routing,
            "termination_wait_in_seconds": shift.termination_wait_s,
            "maximum_execution_timeout_in_seconds": waiting_s + _PROVISIONING_S,
        },
        "auto_rollback_configuration": {"alarms": [{"alarm_name": name} for name in alarm_names]},
    }


def update_request(endpoint_name: str, config_name: str, deployment: Mapping[str, Any]) -> dict[str, Any]:
    """The UpdateEndpoint call that brings a configuration about and keeps the number of instances.

    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_UpdateEndpoint.html
    """
    return {
        "EndpointName": endpoint_name,
        "EndpointConfigName": config_name,
        "DeploymentConfig": _api(deployment),
        "RetainAllVariantProperties": True,
    }


def _api(value: Any) -> Any:
    """A value of the provider's with the API's names: `alarm_name` is AlarmName."""
    if isinstance(value, Mapping):
        return {"".join(map(str.capitalize, key.split("_"))): _api(item) for key, item in value.items()}
    return [_api(item) for item in value] if isinstance(value, list) else value
