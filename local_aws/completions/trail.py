"""What ministack's CloudTrail lacks: a trail that delivers to its log group."""

import json
import time
from collections.abc import Mapping
from typing import Any

_SERVICES = ("cloudtrail", "iam", "kms")
"""Whose calls are told. AWS tells those of all services, and of data only where a trail asks for it."""


def complete_trail() -> None:
    """Deliver calls that change something, and calls that are refused, to the log groups of running trails:
    https://docs.aws.amazon.com/awscloudtrail/latest/userguide/send-cloudtrail-events-to-cloudwatch-logs.html

    As in ministack, every key is told as a user's; so is the checkout's own, for nobody acts as root here.
    """
    from ministack import app
    from ministack.core import iam_actions
    from ministack.services import cloudtrail

    create, refuse = cloudtrail._create_trail, iam_actions.access_denied_response

    def created(body: Mapping[str, Any]) -> Any:
        answer = create(body)
        if answer[0] == 200:  # ministack keeps them of an update alone
            kept = {"CloudWatchLogsLogGroupArn", "CloudWatchLogsRoleArn"} & body.keys()
            cloudtrail._trails[body["Name"]].update({name: body[name] for name in kept})
        return answer

    def handled(service: str, method: str, path: str, headers: Any, body: bytes, query: Any, *_: Any) -> None:
        if service in _SERVICES:
            given = app._ct_request_params(headers, body, query)
            name = given.get("Action") or app._ct_event_name(service, method, path, headers, query)
            if cloudtrail._is_readonly(method, name) == "false":
                _tell(service, name, app.extract_access_key_id(headers, query), given)

    def refused(service: str, action: str, principal: str, *rest: Any, **more: Any) -> Any:
        if service in _SERVICES and principal:
            _tell(service, action.partition(":")[2], principal, {}, errorCode="AccessDenied")
        return refuse(service, action, principal, *rest, **more)

    cloudtrail._DISPATCH["CreateTrail"] = created
    app._maybe_record_cloudtrail = handled
    iam_actions.access_denied_response = refused


def _tell(service: str, name: str, who: str, given: Mapping[str, Any], **more: str) -> None:
    from ministack.core.responses import get_account_id, get_region, new_uuid, request_scope
    from ministack.services import cloudtrail

    cloudtrail.record_event(
        service, name, who, who, [], get_region(), new_uuid(), "", request_params=given, method="POST"
    )
    event = json.loads(cloudtrail._get_event_queue()[-1]["CloudTrailEvent"]) | more
    for region, _, trail in cloudtrail._visible_trail_items():
        group = trail.get("CloudWatchLogsLogGroupArn")
        # That it was stopped is the last that a trail tells.
        if group and (trail["IsLogging"] or name == "StopLogging"):
            with request_scope(get_account_id(), region):
                _deliver(group.split(":")[6], f"{get_account_id()}_CloudTrail_{region}", event)


def _deliver(group: str, stream: str, event: Mapping[str, Any]) -> None:
    from ministack.services import cloudwatch_logs

    place = {"logGroupName": group, "logStreamName": stream}
    cloudwatch_logs._create_log_stream(place)  # one that exists stays as it is
    line = {"timestamp": int(time.time() * 1e3), "message": json.dumps(event)}
    cloudwatch_logs._put_log_events({**place, "logEvents": [line]})
