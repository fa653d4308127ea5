"""Entry points of the deliveries' functions: one step of the state machine a call.

    control   admit, settle             the queue, the history and the parameters of models
    worker    prepare, attempt, shift,  what serves the model: a function's alias, and by sagemaker_worker
              watch, promote, roll_back  an endpoint

A step gets the delivery as it is known so far and returns it with what it found, a refusal as its `error`.
Environment: DELIVERY_TABLE,
DELIVERY_MACHINE_ARN, MODEL_PARAMETERS (path of the parameters), LOG_LEVEL (INFO).
"""

import json
import logging
import os
from functools import cache
from typing import Any

import boto3

from serving import delivery_canary, delivery_control, delivery_events, logs
from serving.delivery import Candidate, LambdaTarget
from serving.delivery_ledger import Ledger
from serving.delivery_sagemaker import SageMakerTarget
from serving.errors import DeliveryRefused

logs.configure(os.environ.get("LOG_LEVEL", "INFO"))
logger = logging.getLogger(__name__)


@cache
def _client(service: str) -> Any:
    return boto3.client(service)


def control(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """`{"step", "execution", "delivery"}`: what the delivery is after the step."""
    machine = os.environ["DELIVERY_MACHINE_ARN"]
    found = delivery_control.Control(
        ledger=Ledger(_client("dynamodb"), os.environ["DELIVERY_TABLE"]),
        parameters=delivery_control.Parameters(_client("ssm"), os.environ["MODEL_PARAMETERS"]),
        alive=delivery_control.alive(_client("stepfunctions"), machine),
    )
    execution = event["execution"].rsplit(":", 1)[-1]
    known = event["delivery"]
    if event["step"] == "settle":
        return found.settle(known, execution)
    try:
        request = known if "turn" in known else delivery_events.parse(known, execution)
    except DeliveryRefused as error:
        return {"turn": "invalid", "error": str(error)}
    return found.admit(request, execution)


def worker(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """`{"step", "delivery"}`: the delivery with what the step adds, for a model on Lambda."""
    try:
        return _work(event["step"], event["delivery"])
    except DeliveryRefused as error:
        return {**event["delivery"], "error": str(error)}


def sagemaker_worker(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """`{"step", "delivery"}`: the delivery with what the step adds, for a model on a SageMaker endpoint."""
    known: dict[str, Any] = event["delivery"]
    client, place = _client("sagemaker"), known["target"]
    target = SageMakerTarget(client, place["endpoint"], place["deployment"])
    try:
        match event["step"]:
            case "prepare":
                return {**known, **target.prepare(_candidate(known))}
            case "shift":
                target.shift(known["config"])
                return {**known, "canary_since": delivery_canary.started()}
            case "watch":
                return {**known, "baked": target.watch(known["config"])}
            case "promote":
                target.watch(known["config"])
                return {**known, "serves": known["version"]}
            case "roll_back":
                serves = target.roll_back(known.get("previous_config"), known.get("config"))
                return {**known, "serves": serves}
    except DeliveryRefused as error:
        return {**known, "error": str(error)}
    return known


def _candidate(known: dict[str, Any]) -> Candidate:
    return Candidate(
        id=known["id"],
        model=known["model"],
        version=known["version"],
        digest=known["digest"],
        golden=known["golden"],
        p99_ms=known["p99_ms"],
    )


def _work(step: str, known: dict[str, Any]) -> dict[str, Any]:
    target = LambdaTarget(_client("lambda"), known["target"]["function"], known["target"]["alias"])
    logger.info("%s %s %s", step, known["model"], known["version"])
    if step == "roll_back":
        return {**known, "serves": target.roll_back()}
    candidate = _candidate(known)
    match step:
        case "prepare":
            return {**known, **target.prepare(candidate)}
        case "attempt":
            target.attempt(candidate, known["lambda_version"])
        case "shift":
            target.shift(known["lambda_version"], known["canary_share"])
            return {**known, "canary_since": delivery_canary.started()}
        case "watch":
            target.attempt(candidate, known["lambda_version"])
            return {**known, "baked": delivery_canary.watch(_client("cloudwatch"), known)}
        case "promote":
            target.promote(known["lambda_version"])
            return {**known, "serves": known["version"]}
        case _:
            raise ValueError(f"no step {json.dumps(step)}")
    return known
