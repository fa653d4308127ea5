"""Entry point of the trial's function. Environment: MODEL_BUCKET, LOG_LEVEL (INFO)."""

import os
from functools import cache
from typing import Any

import boto3

from serving import logs, trial
from serving.errors import DeliveryRefused

logs.configure(os.environ.get("LOG_LEVEL", "INFO"))


@cache
def _s3() -> Any:
    return boto3.client("s3")


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Try the version of a delivery; what was found is added, and who published it and why."""
    delivery = event["delivery"]
    where = (_s3(), os.environ["MODEL_BUCKET"], delivery["model"], delivery["version"])
    found = trial.publication(*where)
    said = {name: delivery.get(name) or found.get(name, "") for name in ("who", "why")}
    try:
        return {**delivery, **said, **trial.try_version(*where)}
    except DeliveryRefused as error:
        return {**delivery, **said, "error": str(error)}
