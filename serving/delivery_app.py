"""Entry points of the deliveries' functions: one step of the state machine a call.

    control            admit, settle: the queue, the history and the parameters of models; register: what the
                       model registry says of it
    lambda_worker      prepare, attempt, shift, watch, promote, roll_back: what serves the model, which is
    eks_worker         the alias of a function, the replicas on the cluster, or an endpoint
    sagemaker_worker

A step gets the delivery as it is known so far and returns it with what it found, a refusal as its `error`.
Environment: DELIVERY_TABLE (control, eks_worker), DELIVERY_MACHINE_ARN and MODEL_PARAMETERS, the path of the
parameters (control), LOG_LEVEL (INFO).
"""

import logging
import os
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import boto3

from serving import delivery_canary, delivery_control, delivery_events, delivery_registry, logs
from serving.delivery import Candidate, LambdaTarget
from serving.delivery_eks import EksTarget
from serving.delivery_ledger import Ledger
from serving.delivery_sagemaker import SageMakerTarget
from serving.errors import DeliveryRefused
from serving.rollout import WAKE_MESSAGE, Rollouts

logs.configure(os.environ.get("LOG_LEVEL", "INFO"))
logger = logging.getLogger(__name__)


@cache
def _client(service: str) -> Any:
    return boto3.client(service)


def control(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """`{"step", "execution", "delivery"}`: what the delivery is after the step."""
    if event["step"] == "register":
        return _register(event["delivery"])
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
        return delivery_control.invalid(known, execution, str(error))
    return found.admit(request, execution)


def _register(record: dict[str, Any]) -> dict[str, Any]:
    """The record of a delivery that has ended; its text says so where its package could not be told."""
    sagemaker = boto3.client("sagemaker", config=delivery_registry.CONFIG)
    fault = delivery_registry.write(sagemaker, record["package"], record)
    said = f" The model registry does not say so: {fault}" if fault else ""
    return {**record, "text": record["text"] + said}


Work = Callable[[str, dict[str, Any]], Mapping[str, Any]]
"""Does a step of a delivery and says what it adds to it. Raises DeliveryRefused."""


def _answering(work: Work) -> Callable[[dict[str, Any], Any], dict[str, Any]]:
    """An entry point: `{"step", "delivery"}` is the delivery with what the step adds, or with its `error`."""

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        step, known = event["step"], event["delivery"]
        logger.info("%s %s %s", step, known["model"], known["version"])
        try:
            return {**known, **work(step, known)}
        except DeliveryRefused as error:
            return {**known, "error": str(error)}

    return handler


def _on_lambda(step: str, known: dict[str, Any]) -> Mapping[str, Any]:
    target = LambdaTarget(_client("lambda"), known["target"]["function"], known["target"]["alias"])
    if step == "roll_back":
        return {"serves": target.roll_back()}
    candidate = _candidate(known)
    match step:
        case "prepare":
            return target.prepare(candidate)
        case "attempt":
            target.attempt(candidate, known["lambda_version"])
        case "shift":
            target.shift(known["lambda_version"], known["canary_share"])
            return {"canary_since": delivery_canary.started()}
        case "watch":
            target.attempt(candidate, known["lambda_version"])
            return {"baked": delivery_canary.watch(_client("cloudwatch"), known)}
        case "promote":
            target.promote(known["lambda_version"])
            return {"serves": known["version"]}
    return {}


def _on_eks(step: str, known: dict[str, Any]) -> Mapping[str, Any]:
    def wake() -> None:
        _client("sqs").send_message(QueueUrl=known["target"]["queue_url"], MessageBody=WAKE_MESSAGE)

    rollouts = Rollouts(_client("dynamodb"), os.environ["DELIVERY_TABLE"])
    target = EksTarget(rollouts, known["model"], known["id"], wake)
    if step == "roll_back":
        return {"serves": target.roll_back(known.get("previous"))}
    candidate = _candidate(known)
    match step:
        case "prepare":
            return target.prepare(candidate)
        case "attempt":
            target.attempt(candidate)
        case "shift":
            target.shift(candidate, known["canary_share"])
            return {"canary_since": delivery_canary.started()}
        case "watch":
            measured = target.measured(candidate)
            return {"baked": delivery_canary.watch(_client("cloudwatch"), known, measured)}
        case "promote":
            target.promote(candidate)
            return {"serves": known["version"]}
    return {}


def _on_sagemaker(step: str, known: dict[str, Any]) -> Mapping[str, Any]:
    place = known["target"]
    target = SageMakerTarget(_client("sagemaker"), place["endpoint"], place["deployment"])
    match step:
        case "prepare":
            return target.prepare(_candidate(known))
        case "shift":
            target.shift(known["config"])
            return {"canary_since": delivery_canary.started()}
        case "watch":
            return {"baked": target.watch(known["config"])}
        case "promote":
            target.watch(known["config"])
            return {"serves": known["version"]}
        case "roll_back":
            return {"serves": target.roll_back(known.get("previous_config"), known.get("config"))}
    return {}


def _candidate(known: dict[str, Any]) -> Candidate:
    return Candidate(
        id=known["id"],
        model=known["model"],
        version=known["version"],
        digest=known["digest"],
        golden=known["golden"],
        p99_ms=known["p99_ms"],
    )


lambda_worker = _answering(_on_lambda)
eks_worker = _answering(_on_eks)
sagemaker_worker = _answering(_on_sagemaker)
