"""How many instances a SageMaker endpoint has: target and rules of Application Auto Scaling."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

_METRICS = "AWS/SageMaker"
# Seconds. While instances start, which takes minutes, SageMaker takes no other change of the number.
_SCALE_OUT_COOLDOWN_S = 180
_SCALE_IN_COOLDOWN_S = 600


@dataclass(frozen=True, kw_only=True)
class InstanceScale:
    """How many instances an endpoint has."""

    min: int
    """Fewest; 0 is for asynchronous endpoints."""
    max: int
    target: int
    """Requests in flight (async: queued) for each instance."""


@dataclass(frozen=True, kw_only=True)
class VariantScalingArgs:
    """Arguments of `VariantScaling`."""

    tags: Mapping[str, str]
    """Tags of its resources."""
    endpoint_name: pulumi.Input[str]
    """The endpoint, which must be in service."""
    variant: str
    """Name of the production variant."""
    jobs: bool
    """Whether it works on jobs; else somebody waits for every answer."""
    scale: InstanceScale


class VariantScaling(pulumi.ComponentResource):
    """Keeps the requests in flight, or the jobs waiting, for each instance near a target.

    Only waiting jobs start the first instance of an endpoint that has none: a metric per instance says
    nothing while there is none. The last instance leaves when nothing waits any more.
    """

    def __init__(
        self, name: str, args: VariantScalingArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("inference-platform:sagemaker_scaling:VariantScaling", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        target = aws.appautoscaling.Target(
            f"{name}-target",
            service_namespace="sagemaker",
            resource_id=pulumi.Output.concat("endpoint/", args.endpoint_name, "/variant/", args.variant),
            scalable_dimension="sagemaker:variant:DesiredInstanceCount",
            min_capacity=args.scale.min,
            max_capacity=args.scale.max,
            tags=args.tags,
            opts=self._child,
        )
        if args.jobs:
            self._follow_backlog(target)
            if args.scale.min == 0:
                self._start_from_zero(target)
        else:
            self._follow_requests(target)
        self.register_outputs({})

    def _follow_requests(self, target: aws.appautoscaling.Target) -> None:
        self._target_tracking(
            target,
            "requests",
            {
                # Every ten seconds, where InvocationsPerInstance comes every minute:
                # https://docs.aws.amazon.com/sagemaker/latest/dg/endpoint-auto-scaling-add-code-define.html
                "predefined_metric_specification": {
                    "predefined_metric_type": "SageMakerVariantConcurrentRequestsPerModelHighResolution"
                },
                "target_value": self._args.scale.target,
            },
        )

    def _follow_backlog(self, target: aws.appautoscaling.Target) -> None:
        # https://docs.aws.amazon.com/sagemaker/latest/dg/async-inference-autoscale.html
        self._target_tracking(
            target,
            "backlog",
            {
                "customized_metric_specification": {
                    "namespace": _METRICS,
                    "metric_name": "ApproximateBacklogSizePerInstance",
                    "dimensions": [{"name": "EndpointName", "value": self._args.endpoint_name}],
                    "statistic": "Average",
                },
                "target_value": self._args.scale.target,
            },
        )

    def _target_tracking(
        self,
        target: aws.appautoscaling.Target,
        role: str,
        configuration: aws.appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationArgsDict,
    ) -> None:
        aws.appautoscaling.Policy(
            f"{self._name}-{role}",
            service_namespace=target.service_namespace,
            resource_id=target.resource_id,
            scalable_dimension=target.scalable_dimension,
            policy_type="TargetTrackingScaling",
            target_tracking_scaling_policy_configuration={
                **configuration,
                "scale_out_cooldown": _SCALE_OUT_COOLDOWN_S,
                "scale_in_cooldown": _SCALE_IN_COOLDOWN_S,
            },
            opts=self._child,
        )

    def _start_from_zero(self, target: aws.appautoscaling.Target) -> None:
        # https://docs.aws.amazon.com/sagemaker/latest/dg/async-inference-autoscale.html (optional part)
        policy = aws.appautoscaling.Policy(
            f"{self._name}-from-zero",
            service_namespace=target.service_namespace,
            resource_id=target.resource_id,
            scalable_dimension=target.scalable_dimension,
            policy_type="StepScaling",
            step_scaling_policy_configuration={
                "adjustment_type": "ChangeInCapacity",
                "metric_aggregation_type": "Average",
                "cooldown": 300,
                "step_adjustments": [{"metric_interval_lower_bound": "0", "scaling_adjustment": 1}],
            },
            opts=self._child,
        )
        aws.cloudwatch.MetricAlarm(
            f"{self._name}-waiting-alarm",
            alarm_description="Jobs wait and there is no instance: starts the first one",
            namespace=_METRICS,
            metric_name="HasBacklogWithoutCapacity",
            dimensions={"EndpointName": self._args.endpoint_name},
            statistic="Average",
            comparison_operator="GreaterThanOrEqualToThreshold",
            threshold=1,
            period=60,
            evaluation_periods=2,
            datapoints_to_alarm=2,
            treat_missing_data="missing",
            alarm_actions=[policy.arn],
            tags=self._args.tags,
            opts=self._child,
        )
