"""What ministack's Lambda lacks: weights of aliases, metrics in log lines."""

import json
import random
from typing import Any


def complete_lambda() -> None:
    """Give ministack's Lambda what a canary needs and it lacks: weights of aliases, metrics in log lines.

    Weights hold for requests that come through the API. Metrics follow the embedded metric format:
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
    """
    from ministack.services import cloudwatch, lambda_svc

    find, write_logs = lambda_svc._effective_func_record_for_qualifier, lambda_svc._emit_lambda_logs

    def weighted(function: Any, qualifier: str | None) -> Any:
        alias = (function or {}).get("aliases", {}).get(qualifier, {})
        drawn = random.random()  # noqa: S311 - a share of the requests, no secret
        for version, share in (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights", {}).items():
            if drawn < share:
                return find(function, version)
            drawn -= share
        return find(function, qualifier)

    def with_metrics(function: Any, request_id: str, text: str, *rest: Any, **more: Any) -> Any:
        for line in text.splitlines():
            if '"CloudWatchMetrics"' in line:
                try:
                    record_metrics(json.loads(line))
                except (ValueError, KeyError, TypeError):
                    continue  # CloudWatch drops what it cannot read, too
        return write_logs(function, request_id, text, *rest, **more)

    def record_metrics(document: Any) -> None:
        for group in document["_aws"]["CloudWatchMetrics"]:
            for names in group["Dimensions"]:
                dimensions = {name: str(document[name]) for name in names}
                for metric in group["Metrics"]:
                    value, unit = float(document[metric["Name"]]), metric.get("Unit", "None")
                    cloudwatch.record_metric(group["Namespace"], metric["Name"], value, unit, dimensions)

    lambda_svc._effective_func_record_for_qualifier = weighted
    lambda_svc._emit_lambda_logs = with_metrics
