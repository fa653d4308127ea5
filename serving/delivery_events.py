"""What starts a delivery: events of S3 and the model registry, operators, executions that ended too early."""

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from serving.errors import DeliveryRefused

# As in manifests; nothing else is a key that a publication writes.
_NAME = r"[a-z0-9][a-z0-9._-]{0,63}"
_MANIFEST = re.compile(rf"models/({_NAME})/({_NAME})/manifest\.json")
_PREFIX = re.compile(rf"models/({_NAME})/({_NAME})/")
_DEEPEST = 3  # recoveries of recoveries


def parse(event: Mapping[str, Any], execution: str) -> dict[str, str]:
    """The request in an event: `id`, `model`, `version`, `action`, `origin`, and where known `who`, `why` and
    `package`, the ARN of the one that was approved.

    `action`: `deliver`; `promote` and `roll_back`, by operators; `recover`, for an execution that ended
    before its delivery did, whose name is in `ended`. Raises DeliveryRefused for what is no request.
    """
    match event.get("source"):
        case "aws.s3":
            return _publication(event["detail"]["object"])
        case "aws.sagemaker":
            return _approval(event["detail"])
        case "aws.states":
            return _recovery(event)
    model, version = (str(event.get(key, "")) for key in ("model", "version"))
    if not re.fullmatch(_NAME, model) or not re.fullmatch(_NAME, version):
        raise DeliveryRefused(f"model and version must match {_NAME}")
    said = {key: str(event[key]) for key in ("who", "why") if event.get(key)}
    action = str(event.get("action", "deliver"))
    if action not in ("deliver", "promote", "roll_back"):
        raise DeliveryRefused("action must be deliver, promote or roll_back")
    return {"id": execution, "model": model, "version": version, "action": action, "origin": action, **said}


def _publication(item: Mapping[str, Any]) -> dict[str, str]:
    found = _MANIFEST.fullmatch(str(item["key"]))
    if not found:
        raise DeliveryRefused("the object is no manifest of a version: models/<name>/<version>/manifest.json")
    model, version = found.groups()
    return {
        "id": publication_id(version, str(item["etag"])),
        "model": model,
        "version": version,
        "action": "deliver",
        "origin": "publish",
    }


def publication_id(version: str, etag: str) -> str:
    """Id of the delivery that the event of a manifest starts, however often it arrives."""
    return f"{version}-{etag.strip(chr(34))[:16]}"


def _approval(detail: Mapping[str, Any]) -> dict[str, str]:
    """https://docs.aws.amazon.com/sagemaker/latest/dg/automating-sagemaker-with-eventbridge.html"""
    containers = (detail.get("InferenceSpecification") or {}).get("Containers") or [{}]
    url = str(containers[0].get("ModelDataUrl", ""))
    found = _PREFIX.match(urlsplit(url).path.lstrip("/"))
    group = str(detail.get("ModelPackageGroupName", ""))
    if not found or not group.endswith(f"-{found[1]}"):
        raise DeliveryRefused(
            f"package of group {group}: its ModelDataUrl must lie under models/<name>/<version>/ of the "
            "models bucket, and the group's name end with the model's"
        )
    return {
        "id": f"{found[2]}-package-{detail['ModelPackageVersion']}",
        "model": found[1],
        "version": found[2],
        "action": "deliver",
        "origin": "registry",
        "package": str(detail["ModelPackageArn"]),
        "who": str((detail.get("LastModifiedBy") or {}).get("UserProfileName") or "the model registry"),
        "why": str(detail.get("ApprovalDescription") or "approved in the model registry"),
    }


def _recovery(event: Mapping[str, Any]) -> dict[str, str]:
    """What the execution was about that has ended; of a recovery, what that was about."""
    ended: Mapping[str, Any] = event
    for _ in range(_DEEPEST):
        name = str(ended["detail"]["name"])
        ended = json.loads(ended["detail"]["input"])
        if ended.get("source") != "aws.states":
            how = str(event["detail"]["status"]).lower().replace("_", " ")
            return parse(ended, name) | {
                "action": "recover",
                "ended": name,
                "error": f"the delivery was {how}",
            }
    raise DeliveryRefused("a recovery failed again and again: see the executions of the state machine")
