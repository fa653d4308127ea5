"""Nothing watches a metric that does not exist: alarms and dashboards, against what emits."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components import metric

ROOT = Path(__file__).resolve().parents[2]
Emitted = tuple[str, str, frozenset[tuple[str, str]]]

# https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-metrics-and-dimensions.html
API = ("Count", "4XXError", "5XXError", "Latency", "IntegrationLatency")
# https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
FUNCTION = ("Invocations", "Errors", "Throttles", "Duration", "ConcurrentExecutions")
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-monitoring-using-cloudwatch.html
QUEUE = ("ApproximateAgeOfOldestMessage", "ApproximateNumberOfMessagesVisible", "NumberOfMessagesSent")
# https://docs.aws.amazon.com/sagemaker/latest/dg/monitoring-cloudwatch.html
ENDPOINT = {
    "AWS/SageMaker": ("Invocations", "Invocation4XXErrors", "Invocation5XXErrors", "ModelLatency"),
    "/aws/sagemaker/Endpoints": ("CPUUtilization", "GPUUtilization", "GPUMemoryUtilization"),
}
# https://docs.aws.amazon.com/sagemaker/latest/dg/async-inference-monitor.html
BACKLOG = ("ApproximateBacklogSizePerInstance", "HasBacklogWithoutCapacity")
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Container-Insights-metrics-enhanced-EKS.html
POD = ("pod_gpu_utilization", "pod_gpu_memory_utilization")
SERVICE = ("service_number_of_running_pods",)
# https://docs.aws.amazon.com/scheduler/latest/UserGuide/monitoring-cloudwatch.html
SCHEDULER = ("InvocationAttemptCount", "InvocationDroppedCount", "TargetErrorCount")
MODEL_SERVER, CANARY = "serving.lambda_app.handler", "serving.canary.handler"


def emitted(namespace: str, names: Any, **dimensions: str) -> Iterator[Emitted]:
    for name in names:
        yield namespace, name, frozenset(dimensions.items())


def emitters(resources: list[dict[str, Any]]) -> Iterator[Emitted]:
    """Every metric that a resource of this deployment emits."""
    by_type: dict[str, list[dict[str, Any]]] = {}
    for resource in resources:
        by_type.setdefault(resource["type"], []).append(resource["outputs"] | resource["inputs"])

    def of(type_: str) -> list[dict[str, Any]]:
        return by_type.get(type_, [])

    for api in of("aws:apigateway/restApi:RestApi"):
        for stage in of("aws:apigateway/stage:Stage"):
            place = {"ApiName": api["name"], "Stage": stage["stageName"]}
            yield from emitted("AWS/ApiGateway", API, **place)
            detailed = [each["settings"] for each in of("aws:apigateway/methodSettings:MethodSettings")]
            if any(settings.get("metricsEnabled") for settings in detailed):
                for path, methods in json.loads(api["body"])["paths"].items():
                    for method in methods:
                        route = {"Method": method.upper(), "Resource": path}
                        yield from emitted("AWS/ApiGateway", API, **place, **route)
    for function in of("aws:lambda/function:Function"):
        yield from emitted("AWS/Lambda", FUNCTION, FunctionName=function["name"])
        variables = function["environment"]["variables"]
        if function["handler"] == MODEL_SERVER:
            yield from emitted(
                metric.PLATFORM, metric.EMITTED_BY_US["request"][0], model=variables["MODEL_NAME"]
            )
        if function["handler"] == CANARY:
            for model in variables["MODELS"].split(","):
                yield from emitted(metric.PLATFORM, metric.EMITTED_BY_US["canary"][0], model=model)
    for target in of("aws:cloudwatch/eventTarget:EventTarget"):
        if target["targetId"] == "drift":
            model = json.loads(target["input"])["model"]
            yield from emitted(metric.PLATFORM, metric.EMITTED_BY_US["drift"][0], model=model)
    for schedule in of("aws:scheduler/schedule:Schedule"):
        group = schedule.get("groupName", "default")
        yield from emitted("AWS/Scheduler", SCHEDULER, ScheduleGroup=group)
    for queue in of("aws:sqs/queue:Queue"):
        yield from emitted("AWS/SQS", QUEUE, QueueName=queue["name"])
    for found in of("aws:cloudwatch/logMetricFilter:LogMetricFilter"):
        made = found["metricTransformation"]
        yield from emitted(made["namespace"], [made["name"]])
    variants = {
        config["name"]: config["productionVariants"]
        for config in of("aws:sagemaker/endpointConfiguration:EndpointConfiguration")
    }
    for endpoint in of("aws:sagemaker/endpoint:Endpoint"):
        for variant in variants[endpoint["endpointConfigName"]]:
            place = {"EndpointName": endpoint["name"], "VariantName": variant["variantName"]}
            yield from emitted("AWS/SageMaker", BACKLOG, EndpointName=endpoint["name"])
            for namespace, of_endpoint in ENDPOINT.items():
                yield from emitted(namespace, of_endpoint, **place)
    insights = [a for a in of("aws:eks/addon:Addon") if a["addonName"] == "amazon-cloudwatch-observability"]
    for addon in insights:
        for kind, names, dimension in (
            ("kubernetes:apps/v1:Deployment", POD, "PodName"),
            ("kubernetes:core/v1:Service", SERVICE, "Service"),
        ):
            for workload in of(kind):
                place = workload["metadata"]
                yield from emitted(
                    "ContainerInsights",
                    names,
                    ClusterName=addon["clusterName"],
                    Namespace=place["namespace"],
                    **{dimension: place["name"]},
                )


def watched(resources: list[dict[str, Any]]) -> Iterator[tuple[str, Emitted]]:
    """(who watches, metric) of every alarm and every row of every widget."""
    for resource in resources:
        given = resource["inputs"]
        if resource["type"] == "aws:cloudwatch/metricAlarm:MetricAlarm":
            single = [given] if given.get("metricName") else []
            for each in [
                *single,
                *(query["metric"] for query in given.get("metricQueries", ()) if "metric" in query),
            ]:
                dimensions = frozenset((each.get("dimensions") or {}).items())
                yield resource["urn"], (each["namespace"], each["metricName"], dimensions)
        if resource["type"] == "aws:cloudwatch/dashboard:Dashboard":
            for widget in json.loads(given["dashboardBody"])["widgets"]:
                for row in widget["properties"]["metrics"]:
                    texts = [part for part in row if isinstance(part, str)]
                    if texts:
                        pairs = frozenset(zip(texts[2::2], texts[3::2], strict=True))
                        title = widget["properties"]["title"]
                        yield f"{resource['urn']} {title}", (texts[0], texts[1], pairs)


def test_every_metric_that_is_watched_is_emitted(export: dict[str, Any]) -> None:
    resources = [r for r in export["deployment"]["resources"] if "inputs" in r and "outputs" in r]
    known = set(emitters(resources))
    found = list(watched(resources))
    assert len(found) >= 30
    assert [f"{who}: {what}" for who, what in found if what not in known] == []


def test_expressions_name_rows_of_their_widget(aws_resources: list[dict[str, Any]]) -> None:
    seen = 0
    for resource in aws_resources:
        if resource["type"] != "aws:cloudwatch/dashboard:Dashboard":
            continue
        for widget in json.loads(resource["inputs"]["dashboardBody"])["widgets"]:
            rows = [row[-1] for row in widget["properties"]["metrics"]]
            ids = {row["id"] for row in rows}
            assert len(ids) == len(rows)
            for row in rows:
                used = set(re.findall(r"\b[a-z]+\b", row.get("expression", "")))
                assert used <= ids, f"{resource['urn']}: {row}"
                seen += bool(used)
    assert seen >= 1


def alarms(resources: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        r["inputs"].get("name") or r["inputs"]["alarmName"]: r["inputs"]
        for r in resources
        if r["type"].split("/")[0] == "aws:cloudwatch" and r["type"].endswith("Alarm")
    }


def test_every_alarm_tells_and_names_a_runbook_page_that_exists(aws_resources: list[dict[str, Any]]) -> None:
    made = alarms(aws_resources)
    assert len(made) >= 10
    rules = " ".join(alarm.get("alarmRule", "") for alarm in made.values())
    for name, alarm in made.items():
        if all(":scalingPolicy:" in str(action) for action in alarm.get("alarmActions") or [""]):
            continue  # it is for no person: its action is the scaling
        page = re.search(r"Runbook: (\S+\.md)$", alarm["alarmDescription"])
        assert page, f"{name}: {alarm['alarmDescription']}"
        assert (ROOT / "docs/runbooks" / page[1].rsplit("/", 1)[-1]).is_file(), page[1]
        assert alarm.get("alarmActions") or f'ALARM("{name}")' in rules, f"{name} tells nobody"
        assert bool(alarm.get("alarmActions")) == bool(alarm.get("okActions")), f"{name}: its end is not told"


def test_rules_of_composite_alarms_name_alarms_that_exist(aws_resources: list[dict[str, Any]]) -> None:
    made = alarms(aws_resources)
    named = [
        found
        for alarm in made.values()
        for found in re.findall(r'ALARM\("([^"]+)"\)', alarm.get("alarmRule", ""))
    ]
    assert len(named) >= 5
    assert set(named) <= made.keys()
