"""What 1,000 requests of a model cost, from list prices and what CloudWatch counts.

What a request uses by itself (gateway, run time of a function) is priced by use, a machine by the hours that
it stands there, whether it is asked or not. Prices are those of `cost/prices/`; where one is missing, nothing
is shown rather than a part of the cost.
"""

from typing import Any

from components import metric
from components.metric import Metric
from components.network_policies import NAMESPACE
from components.sagemaker_hosting import VARIANT
from components.watch import ModelWatch, Site
from cost import prices

_MILLION = 1e6


def cost_rows(site: Site, watch: ModelWatch) -> list[list[Any]]:
    """Rows of a dashboard widget, in USD; none where a price or a metric is missing.

    Jobs have no requests to be divided by, and serverless endpoints no price in the table.
    """
    gateway = price(site, "api.rest")
    if gateway is None:
        return []
    if watch.backend == "lambda":
        return _of_function(site, watch, gateway / _MILLION)
    hourly = price(site, f"instance.{watch.instance}")
    if hourly is None or not watch.synchronous:
        return []
    requests = watch.infer(site, "Count").row("requests", "Sum", visible=False)
    if watch.backend == "eks":
        used = pods(site, watch).row("used", "Average", visible=False)
        machines = f"used/{watch.replicas_per_machine}"
    else:
        # Each instance reports once a minute: the number of samples in a minute is that of instances.
        cpu = metric.endpoint_instances(watch.endpoint_name(site), VARIANT, "CPUUtilization")
        used = cpu.row("used", "SampleCount", visible=False)
        machines = "used*60/PERIOD(used)"
    expression = f"1000*({machines}*{hourly:.6g}*PERIOD(requests)/3600/requests+{gateway / _MILLION:.6g})"
    return [_row(expression), used, requests]


def price(site: Site, row: str) -> float | None:
    """USD for a unit of a row of the region's table; None where there is no table, row or figure."""
    try:
        found = prices.load(site.names.region).every.get(row)
    except prices.NoPrices:
        return None
    return found.usd if found else None


def pods(site: Site, watch: ModelWatch) -> Metric:
    """How many pods of a model run in the cluster."""
    dimensions = {
        "ClusterName": site.cluster_name or "",
        "Namespace": NAMESPACE,
        "Service": f"model-{watch.model}",
    }
    return Metric(namespace="ContainerInsights", name="service_number_of_running_pods", dimensions=dimensions)


def _of_function(site: Site, watch: ModelWatch, gateway: float) -> list[list[Any]]:
    processor = "arm" if site.architecture == "arm64" else "x86"
    second, fee = price(site, f"lambda.{processor}"), price(site, "lambda.requests")
    warm = price(site, f"lambda.provisioned.{processor}") if watch.warm else 0.0
    if second is None or fee is None or warm is None:
        return []
    name = watch.function_name(site)
    used = metric.function(name, "Duration").row("used", "Sum", visible=False)
    requests = metric.function(name, "Invocations").row("requests", "Sum", visible=False)
    gib = watch.memory_mb / 1024
    kept = f"+{watch.warm * gib * warm:.6g}*PERIOD(requests)" if watch.warm else ""
    each = f"({gib * second / 1000:.6g}*used{kept})/requests+{gateway + fee / _MILLION:.6g}"
    return [_row(f"1000*({each})"), used, requests]


def _row(expression: str) -> list[Any]:
    return [{"id": "cost", "expression": expression, "label": "USD"}]
