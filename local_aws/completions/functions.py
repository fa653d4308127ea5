"""What ministack's Lambda lacks: weights of aliases, metrics in log lines, and of whoever invokes."""

import random
from typing import Any

from .metrics import record, record_embedded


def complete_lambda() -> None:
    """Give ministack's Lambda what a canary needs and it lacks: weights of aliases, metrics in log lines.

    Weights hold for requests that come through the API. Lambda's own metrics are made of every invocation;
    ministack leaves out those of gateways, queues and events:
    https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
    """
    from ministack.services import lambda_svc

    find, write_logs = lambda_svc._effective_func_record_for_qualifier, lambda_svc._emit_lambda_logs

    def weighted(function: Any, qualifier: str | None) -> Any:
        alias = (function or {}).get("aliases", {}).get(qualifier, {})
        drawn = random.random()  # noqa: S311 - a share of the requests, no secret
        for version, share in (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights", {}).items():
            if drawn < share:
                return find(function, version)
            drawn -= share
        return find(function, qualifier)

    def with_metrics(
        function: Any, request_id: str, text: str, error: bool, duration_ms: int, *rest: Any, **more: Any
    ) -> Any:
        values = {"Invocations": 1, "Errors": int(error), "Throttles": 0, "Duration": duration_ms}
        for name, value in values.items():
            record(
                "AWS/Lambda", name, value, FunctionName=(function.get("config") or function)["FunctionName"]
            )
        for line in text.splitlines():
            record_embedded(line)
        return write_logs(function, request_id, text, error, duration_ms, *rest, **more)

    def throttled(name: str, duration_ms: float, error: bool, throttle: bool) -> None:
        if throttle and not duration_ms:  # whoever invoked directly says it again, with the time it took
            record("AWS/Lambda", "Throttles", 1, FunctionName=name)

    lambda_svc._effective_func_record_for_qualifier = weighted
    lambda_svc._emit_lambda_logs = with_metrics
    lambda_svc._emit_lambda_metrics = throttled
