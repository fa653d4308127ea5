"""Admission and record of deliveries: who is next, what is pinned, what is live, what became of it."""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from serving.delivery_ledger import Alive, Ledger, now

NOTHING = "none"
"""Value of a parameter that holds nothing: Parameter Store takes no empty text."""

_ASKED = ("version", "origin", "who", "why", "digest", "previous", "started", "package")
"""Of a delivery, what its record keeps."""

logger = logging.getLogger(__name__)


class Parameters:
    """What Parameter Store knows of models, below `<path>/<model>/`.

    `delivery` (JSON, by the stack): backend, worker, target, objective, canary. `live` (JSON, by deliveries):
    version, digest, since. `pin` (JSON, by operators): version, who, why; it keeps all others out.
    """

    def __init__(self, client: Any, path: str) -> None:
        self._client, self._path = client, path

    def get(self, model: str, name: str) -> dict[str, Any] | None:
        """A parameter's content; None where there is none."""
        try:
            found = self._client.get_parameter(Name=f"{self._path}/{model}/{name}")["Parameter"]["Value"]
        except ClientError as error:
            if error.response["Error"]["Code"] == "ParameterNotFound":
                return None
            raise
        return None if found == NOTHING else json.loads(found)

    def put(self, model: str, name: str, content: Mapping[str, Any] | None) -> None:
        """Replace a parameter's content."""
        value = NOTHING if content is None else json.dumps(content, sort_keys=True)
        self._client.put_parameter(
            Name=f"{self._path}/{model}/{name}", Value=value, Type="String", Overwrite=True
        )


def alive(stepfunctions: Any, machine_arn: str) -> Alive:
    """Whether an execution of the machine is running, by its name."""
    prefix = machine_arn.replace(":stateMachine:", ":execution:")

    def ask(execution: str) -> bool:
        try:
            found = stepfunctions.describe_execution(executionArn=f"{prefix}:{execution}")
        except ClientError as error:
            if error.response["Error"]["Code"] == "ExecutionDoesNotExist":
                return False
            raise
        return bool(found["status"] in ("RUNNING", "PENDING_REDRIVE"))

    return ask


@dataclass(frozen=True, kw_only=True)
class Control:
    """The steps `admit` and `settle`."""

    ledger: Ledger
    parameters: Parameters
    alive: Callable[[str], bool]

    def admit(self, request: Mapping[str, Any], execution: str) -> dict[str, Any]:
        """The delivery with its `turn`: `wait`, `go`, `recover`, `ignore` for one that has ended before, or
        `refuse` for a model that is not in the catalogue or is pinned to another version. `tell`, with its
        record, for one that ended before its execution could tell of it."""
        delivery = {"error": "", "who": "", "why": "", **request, "execution": execution}
        model = delivery["model"]
        delivery.setdefault("started", now())
        if record := self.ledger.outcome(model, delivery["id"]):
            logger.info("delivery %s of %s has ended before", delivery["id"], model)
            self._leave(delivery, execution)
            if delivery["action"] == "recover":
                return {**_told(model, record), "turn": "tell"}
            return {**delivery, "turn": "ignore"}
        settings = self.parameters.get(model, "delivery")
        if settings is None:
            return _refused(delivery, f"no model {model} in the catalogue of this environment")
        if not settings["worker"]:
            return _refused(delivery, f"deliveries do not move {model}: {settings['unmoved']}")
        if not self.ledger.take_turn(model, execution, self.alive):
            return {**delivery, "turn": "wait"}
        delivery |= settings
        if delivery["action"] == "recover":
            return {**delivery, "turn": "recover"}
        pin = self.parameters.get(model, "pin")
        if pin and pin["version"] != delivery["version"]:
            pinned = f"{model} is pinned to {pin['version']} by {pin['who']}: {pin['why']}; unpin it first"
            return _refused(delivery, pinned)
        live = self.parameters.get(model, "live")
        # What is broken goes back at once, and where nothing is live there is nobody to protect.
        # An endpoint shifts its requests itself, whatever we ask for.
        at_once = live is None or delivery["action"] == "roll_back"
        if at_once and delivery["backend"] != "sagemaker":
            delivery["canary_s"] = 0
        return {**delivery, "turn": "go"}

    def settle(self, delivery: Mapping[str, Any], execution: str) -> dict[str, Any]:
        """Record how the delivery ended, keep what is live, give up the turn; what is to be told of it."""
        model, version = delivery["model"], delivery["version"]
        served = delivery.get("serves")
        reason = _reason(delivery)
        if delivery["action"] == "recover" and served == version:
            reason = ""  # it ended after the requests had moved
        outcome = "refused" if reason else "unchanged" if delivery.get("unchanged") else "delivered"
        if delivery["action"] == "recover" and reason:
            outcome = "aborted"
        record = {key: str(delivery.get(key, "")) for key in _ASKED}
        if outcome in ("delivered", "unchanged"):
            live = {"version": version, "digest": delivery.get("digest", ""), "since": now()}
            known = self.parameters.get(model, "live")
            if known is None or known["version"] != version:
                outcome = "delivered"
                self.parameters.put(model, "live", live)
        record |= {"outcome": outcome, "reason": reason, "execution": delivery.get("ended", execution)}
        self.ledger.record(model, delivery["id"], record)
        self._leave(delivery, execution)
        return _told(model, self.ledger.outcome(model, delivery["id"]))

    def _leave(self, delivery: Mapping[str, Any], execution: str) -> None:
        """Give up the turn, and that of the execution which ended before."""
        self.ledger.leave(delivery["model"], execution)
        if delivery.get("ended"):
            self.ledger.leave(delivery["model"], delivery["ended"])


def invalid(event: Mapping[str, Any], execution: str, reason: str) -> dict[str, Any]:
    """What is told of an event that asks for no delivery; a package that was approved hears of it, too."""
    package = event["detail"].get("ModelPackageArn", "") if event.get("source") == "aws.sagemaker" else ""
    record = {"id": execution, "at": now(), "outcome": "refused", "reason": reason, "package": package}
    text = f"An event was no request for a delivery. Reason: {reason}. Execution: {execution}"
    return {**_whole("", record), "turn": "invalid", "text": text}


def _told(model: str, record: Mapping[str, str]) -> dict[str, Any]:
    """A record with all of its fields, and as a sentence."""
    whole = _whole(model, record)
    return {**whole, "text": _sentence(model, whole)}


def _whole(model: str, record: Mapping[str, str]) -> dict[str, Any]:
    keys = ("id", "at", *_ASKED, "outcome", "reason", "execution")
    return {"model": model, **{key: record.get(key, "") for key in keys}}


def _refused(delivery: Mapping[str, Any], reason: str) -> dict[str, Any]:
    return {**delivery, "turn": "refuse", "error": reason}


def _sentence(model: str, record: Mapping[str, str]) -> str:
    """What people are told of a delivery that has ended."""
    asked = f"Asked by {record['who'] or 'nobody by name'} ({record['origin']})"
    parts = [
        f"Delivery of {model} {record['version']}: {record['outcome']}.",
        f"{asked}: {record['why']}." if record["why"] else f"{asked}.",
        f"Reason: {record['reason']}." if record["reason"] else f"Before: {record['previous'] or 'none'}.",
        f"All of them: inferctl models history {model}",
    ]
    return " ".join(parts)


def _reason(delivery: Mapping[str, Any]) -> str:
    """Why it does not go live: a step's refusal, or what the state machine caught; empty where nothing."""
    caught = delivery.get("error") or ""
    if isinstance(caught, str):
        return caught
    try:
        message = json.loads(caught["Cause"])["errorMessage"]
    except (ValueError, KeyError, TypeError):
        message = caught.get("Cause")
    return f"{caught.get('Error')}: {message}"
