"""Dashboards of the platform and of each model, as the JSON that CloudWatch takes.

A widget shows only what its model has: no graph of a metric that nobody emits.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from components import metric
from components.metric import Metric
from components.request_cost import cost_rows, pods
from components.sagemaker_hosting import VARIANT
from components.watch import ModelWatch, Site

Json = dict[str, Any]
_WIDTH, _HEIGHT, _COLUMNS = 8, 6, 3
PERCENTILES = ("p50", "p95", "p99")


def platform_dashboard(site: Site, authorizer: str, watches: Sequence[ModelWatch]) -> str:
    """One page for all: traffic, errors, latency, who refuses, and each model's traffic."""

    def api(name: str) -> Metric:
        return metric.api(site.api_name, site.stage, name)

    synchronous = [watch for watch in watches if watch.synchronous]
    widgets = [
        _graph(site, "Requests", [api("Count").row("requests", "Sum")]),
        _graph(
            site,
            "Errors",
            [api("4XXError").row("refused", "Sum", "4xx"), api("5XXError").row("failed", "Sum", "5xx")],
        ),
        _graph(site, "Latency, ms", [api("Latency").row(stat, stat, stat) for stat in PERCENTILES]),
        _graph(
            site,
            "Requests by model",
            [
                watch.infer(site, "Count").row(f"m{i}", "Sum", watch.model)
                for i, watch in enumerate(synchronous)
            ],
        ),
        _graph(
            site,
            "Errors by model",
            [
                watch.infer(site, "5XXError").row(f"m{i}", "Sum", watch.model)
                for i, watch in enumerate(synchronous)
            ],
        ),
        _graph(
            site,
            "Authorizer",
            [
                metric.function(authorizer, name).row(name.lower(), "Sum", name)
                for name in ("Invocations", "Errors", "Throttles")
            ],
        ),
    ]
    return _body(widgets)


def model_dashboard(site: Site, watch: ModelWatch) -> str:
    """One page for a model."""
    return _body(list(_model_widgets(site, watch)))


def _model_widgets(site: Site, watch: ModelWatch) -> Iterator[Json]:
    if watch.synchronous:
        yield _graph(site, "Traffic", [watch.infer(site, "Count").row("requests", "Sum", "requests")])
        yield _graph(
            site,
            "Errors",
            [
                watch.infer(site, "4XXError").row("refused", "Sum", "4xx"),
                watch.infer(site, "5XXError").row("failed", "Sum", "5xx"),
            ],
        )
        yield _graph(
            site,
            "Latency, ms",
            [watch.infer(site, "Latency").row(stat, stat, stat) for stat in PERCENTILES],
            mark=(watch.p99_ms, "p99 objective"),
        )
    yield from _backend_widgets(site, watch)
    if gpu := dict(watch.gpu_metrics(site)):
        yield _graph(
            site, "GPU, %", [found.row(role, "Average", f"GPU {role}") for role, found in gpu.items()]
        )
    if watch.jobs:
        yield _graph(
            site,
            "Age of the oldest job, s",
            [watch.jobs_queue(site, "ApproximateAgeOfOldestMessage").row("age", "Maximum", "oldest job")],
        )
        yield _graph(
            site,
            "Jobs",
            [
                watch.jobs_queue(site, "ApproximateNumberOfMessagesVisible").row(
                    "waiting", "Maximum", "waiting"
                ),
                watch.dead_letters(site, "ApproximateNumberOfMessagesVisible").row(
                    "dead", "Maximum", "failed"
                ),
            ],
        )
    if cost := cost_rows(site, watch):
        yield _graph(site, "Cost of 1,000 requests, USD", cost)
    if watch.drift is not None:
        yield _graph(
            site, "Drift of the inputs (PSI)", [metric.drift(watch.model).row("psi", "Maximum", "PSI")]
        )
    if watch.canary:
        yield _graph(
            site,
            "Canary",
            [
                metric.canary(watch.model, "canary_ms").row("took", "Maximum", "ms"),
                metric.canary(watch.model, "canary_faults").row("faults", "Sum", "faults"),
            ],
        )


def _backend_widgets(site: Site, watch: ModelWatch) -> Iterator[Json]:
    match watch.backend:
        case "lambda":
            name = watch.function_name(site)
            yield _graph(site, "Throttles", [metric.function(name, "Throttles").row("throttles", "Sum")])
            yield _graph(
                site,
                "Concurrency",
                [metric.function(name, "ConcurrentExecutions").row("concurrency", "Maximum", "at once")],
                mark=(watch.concurrency, "reserved"),
            )
            yield _graph(
                site,
                "Time in the model server, ms",
                [metric.served(watch.model, "duration_ms").row(stat, stat, stat) for stat in PERCENTILES],
            )
        case "sagemaker":
            name = watch.endpoint_name(site)
            yield _graph(
                site,
                "Requests of the endpoint",
                [
                    metric.endpoint(name, VARIANT, "Invocations").row("requests", "Sum", "requests"),
                    metric.endpoint(name, VARIANT, "Invocation5XXErrors").row("failed", "Sum", "5xx"),
                ],
            )
        case "eks":
            if site.cluster_name:
                running = pods(site, watch).row("pods", "Maximum", "running")
                yield _graph(site, "Replicas", [running])


def _graph(
    site: Site, title: str, rows: Sequence[Sequence[Any]], mark: tuple[float, str] | None = None
) -> Json:
    properties: Json = {
        "title": title,
        "view": "timeSeries",
        "region": site.names.region,
        "period": 60,
        "metrics": list(rows),
        "yAxis": {"left": {"min": 0}},
    }
    if mark is not None and mark[0]:
        properties["annotations"] = {"horizontal": [{"value": mark[0], "label": mark[1]}]}
    return {"type": "metric", "properties": properties}


def _body(widgets: Sequence[Json]) -> str:
    """Widgets side by side, three a row; those without a metric are left out."""
    placed = [
        {
            **widget,
            "x": place % _COLUMNS * _WIDTH,
            "y": place // _COLUMNS * _HEIGHT,
            "width": _WIDTH,
            "height": _HEIGHT,
        }
        for place, widget in enumerate(each for each in widgets if each["properties"]["metrics"])
    ]
    return json.dumps({"widgets": placed}, sort_keys=True)
