"""The metrics that alarms and dashboards watch, each with the one form in which it is emitted.

A metric with a wrong dimension is no error anywhere: its alarm just stays silent. So every name and every set
of dimensions stands here once, with who emits it. `serving/` emits those of `PLATFORM`; it cannot import
this, and a test holds what it writes to what is said here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PLATFORM = "InferencePlatform"
"""Namespace of what the platform's own code emits, in the embedded metric format."""
AUDIT = "InferencePlatform/Audit"
"""Namespace of what metric filters make of the trail's log."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric with its dimensions."""

    namespace: str
    name: str
    dimensions: Mapping[str, str]

    def row(self, metric_id: str, stat: str, label: str | None = None, *, visible: bool = True) -> list[Any]:
        """A row of a dashboard widget's `metrics`.

        https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
        """
        pairs = [part for pair in self.dimensions.items() for part in pair]
        options = {"id": metric_id, "stat": stat, "visible": visible}
        return [self.namespace, self.name, *pairs, {**options, "label": label} if label else options]


def api(api_name: str, stage: str, name: str) -> Metric:
    """Of the whole stage: `Count`, `4XXError`, `5XXError`, `Latency` (ms), `IntegrationLatency` (ms).

    The average of an error metric is the share of the requests that ended so:
    https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-metrics-and-dimensions.html
    """
    return Metric(namespace="AWS/ApiGateway", name=name, dimensions={"ApiName": api_name, "Stage": stage})


def route(api_name: str, stage: str, method: str, resource: str, name: str) -> Metric:
    """The same of one route; emitted where the stage's method settings have `metrics_enabled`."""
    dimensions = {"ApiName": api_name, "Stage": stage, "Method": method, "Resource": resource}
    return Metric(namespace="AWS/ApiGateway", name=name, dimensions=dimensions)


def function(function_name: str, name: str) -> Metric:
    """`Invocations`, `Errors`, `Throttles`, `Duration` (ms), `ConcurrentExecutions` of a Lambda function.

    https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
    """
    return Metric(namespace="AWS/Lambda", name=name, dimensions={"FunctionName": function_name})


def queue(queue_name: str, name: str) -> Metric:
    """`ApproximateAgeOfOldestMessage` (s), `ApproximateNumberOfMessagesVisible`, … of an SQS queue.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-monitoring-using-cloudwatch.html
    """
    return Metric(namespace="AWS/SQS", name=name, dimensions={"QueueName": queue_name})


def endpoint(endpoint_name: str, variant: str, name: str) -> Metric:
    """Requests to a SageMaker endpoint's variant: `Invocations`, `ModelLatency` (us), …

    https://docs.aws.amazon.com/sagemaker/latest/dg/monitoring-cloudwatch.html
    """
    dimensions = {"EndpointName": endpoint_name, "VariantName": variant}
    return Metric(namespace="AWS/SageMaker", name=name, dimensions=dimensions)


def endpoint_instances(endpoint_name: str, variant: str, name: str) -> Metric:
    """Instances of a SageMaker endpoint's variant: `GPUUtilization`, `GPUMemoryUtilization`, … (percent)."""
    dimensions = {"EndpointName": endpoint_name, "VariantName": variant}
    return Metric(namespace="/aws/sagemaker/Endpoints", name=name, dimensions=dimensions)


def pod(cluster_name: str, namespace: str, workload: str, name: str) -> Metric:
    """`pod_gpu_utilization`, `pod_gpu_memory_utilization` (percent) of a workload's pods.

    The add-on amazon-cloudwatch-observability brings the DCGM exporter; `PodName` is the workload's name:
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Container-Insights-metrics-enhanced-EKS.html
    """
    dimensions = {"ClusterName": cluster_name, "Namespace": namespace, "PodName": workload}
    return Metric(namespace="ContainerInsights", name=name, dimensions=dimensions)


def schedules(name: str) -> Metric:
    """`InvocationDroppedCount` and the like of the account's schedules outside of groups of their own."""
    return Metric(namespace="AWS/Scheduler", name=name, dimensions={"ScheduleGroup": "default"})


def served(model: str, name: str) -> Metric:
    """Requests that a model's function answered: `duration_ms`, `rows`, `errors` (4xx), `faults` (5xx)."""
    return Metric(namespace=PLATFORM, name=name, dimensions={"model": model})


def used(tenant: str, model: str, name: str) -> Metric:
    """What a tenant used of a model, through the API on every backend: sums of `requests`, `rows`, `tokens`,
    `compute_ms`."""
    return Metric(namespace=PLATFORM, name=name, dimensions={"tenant": tenant, "model": model})


def canary(model: str, name: str) -> Metric:
    """What the canary saw through the API: `canary_faults` (1 or 0), `canary_ms`."""
    return Metric(namespace=PLATFORM, name=name, dimensions={"model": model})


def drift(model: str) -> Metric:
    """How far a model's inputs are from those it was trained on: population stability index."""
    return Metric(namespace=PLATFORM, name="drift_psi", dimensions={"model": model})


def audit(name: str) -> Metric:
    """Events of one kind in the trail's log, as its metric filter counts them."""
    return Metric(namespace=AUDIT, name=name, dimensions={})


EMITTED_BY_US = {
    "request": ({"duration_ms", "rows", "errors", "faults"}, ({"model"}, {"model", "version"})),
    "usage": ({"requests", "rows", "tokens", "compute_ms"}, ({"tenant", "model"},)),
    "canary": ({"canary_faults", "canary_ms"}, ({"model"},)),
    "drift": ({"drift_psi", "drift_rows"}, ({"model"},)),
}
"""Message of the log line that carries them -> (metrics, sets of dimensions), all in namespace `PLATFORM`.

Those of `usage` stand in the line of a request, too, and the cluster's router puts their sums."""
