"""What ministack lacks of AWS and the platform needs, put into it when its process starts.

Each part says what is missing and where AWS documents it; an upgrade of ministack may make it useless.
"""

import json
import random
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any
from urllib.error import HTTPError

# Of an answer that is passed on; the gateway's own server sets them anew.
_OF_ONE_HOP = {"connection", "content-length", "date", "keep-alive", "server", "transfer-encoding"}


def complete() -> None:
    """All of it."""
    complete_alarms()
    complete_lambda()
    complete_permissions()
    complete_proxies()


def complete_alarms() -> None:
    """Put each change of an alarm's state on the default bus, with all but metrics and the reason before:
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch-and-eventbridge.html
    """
    from ministack.services import cloudwatch, eventbridge

    act = cloudwatch._dispatch_alarm_actions

    def with_event(alarm: Any, old_state: str, new_state: str, reason: str) -> None:
        act(alarm, old_state, new_state, reason)
        at = datetime.fromtimestamp(alarm["StateUpdatedTimestamp"], UTC).isoformat(timespec="milliseconds")
        detail = {
            "alarmName": alarm["AlarmName"],
            "configuration": {"description": alarm["AlarmDescription"]},
            "previousState": {"value": old_state},
            "state": {"value": new_state, "reason": reason, "timestamp": at.replace("+00:00", "+0000")},
        }
        named = {"Source": "aws.cloudwatch", "DetailType": "CloudWatch Alarm State Change"}
        event = named | {"Resources": [alarm["AlarmArn"]], "Detail": json.dumps(detail)}
        eventbridge._put_events({"Entries": [event]}, allow_aws_source=True)

    cloudwatch._dispatch_alarm_actions = with_event


def complete_permissions() -> None:
    """Let a permission to describe metric alarms name them, as on AWS; ministack knows them by `*` alone:
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html
    """
    from ministack.core import iam_actions

    told = iam_actions.extract_resource_arn

    def with_alarms(service: str, *request: Any) -> str:
        *asked, region, account = request
        if iam_actions.extract_iam_action(service, *asked) == "cloudwatch:DescribeAlarms":
            return f"arn:aws:cloudwatch:{region}:{account}:alarm:*"
        return str(told(service, *request))

    iam_actions.extract_resource_arn = with_alarms


def complete_proxies() -> None:
    """Let an HTTP proxy pass on the headers of its backend, and tell one that is down from one that is slow:
    https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html
    ministack keeps the media type alone, not even that of an error, and has one answer for all failures.
    """
    from ministack.services import apigateway_v1

    ask, proxy = apigateway_v1._urlopen_async, apigateway_v1._invoke_http_proxy_v1
    heard: ContextVar[dict[str, str]] = ContextVar("heard")
    failure: ContextVar[str] = ContextVar("failure")

    async def asked(*request: Any) -> tuple[int, dict[str, str], bytes]:
        try:
            status, headers, body = await ask(*request)
        except HTTPError as error:
            status, headers, body = error.code, dict(error.headers), error.read()
        except TimeoutError:
            failure.set("INTEGRATION_TIMEOUT")
            raise
        heard.set({name.lower(): value for name, value in headers.items() if name.lower() not in _OF_ONE_HOP})
        return status, headers, body

    async def proxied(*request: Any) -> Any:
        heard.set({})
        failure.set("INTEGRATION_FAILURE")
        answer = await proxy(*request)
        if not isinstance(answer, tuple):
            return apigateway_v1._gw_error(failure.get(), "the backend gave no answer")
        status, headers, body = answer
        return status, {"content-type": headers["Content-Type"], **heard.get()}, body

    apigateway_v1._urlopen_async, apigateway_v1._invoke_http_proxy_v1 = asked, proxied


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
