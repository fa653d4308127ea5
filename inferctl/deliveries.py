"""An environment's deliveries, as operators start, follow and read them: all through its state machine."""

import getpass
import json
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from inferctl.client import Client
from inferctl.errors import CommandFailed
from serving.delivery_control import Parameters
from serving.delivery_events import publication_id
from serving.delivery_ledger import Ledger
from serving.errors import DeliveryRefused, ServingError
from serving.manifest import FILE_NAME, Manifest, version_prefix
from serving.publication import publish
from serving.store import read_manifest
from toolchain.progress import Step

Report = Callable[[str], None]

_POLL_S = 0.3
# How long an event may take to start an execution.
_START_S = 60


class Deliveries:
    """The models of one deployed environment."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._bucket = client.outputs["models_bucket"]
        self._machine = client.outputs["delivery_machine"]
        self._steps = client.aws("stepfunctions")
        self.ledger = Ledger(client.aws("dynamodb"), client.outputs["delivery_table"])
        self.parameters = Parameters(client.aws("ssm"), client.outputs["model_parameters"])

    def who(self) -> str:
        """Who is asking, as records have it: the caller's ARN, or this machine's user in the embedded AWS."""
        if self._client.endpoints:
            return getpass.getuser()
        return str(self._client.aws("sts").get_caller_identity()["Arn"])

    def target(self, model: str) -> dict[str, Any]:
        """What deliveries of a model move, as the stack has told them."""
        settings = self.parameters.get(model, "delivery")
        if settings is None:
            raise CommandFailed(
                f"{model} is not deployed", "add it to the environment's file, then `make up`"
            )
        return dict(settings["target"])

    def publish(self, folder: Path, why: str) -> tuple[Manifest, str]:
        """Put a version into the models bucket; the version, and the id of the delivery that begins.

        A version that was there before is delivered again. Who may only publish cannot do that: then it is
        the delivery that its publication began.

        Raises:
            CommandFailed: it is refused, with the reason.
        """
        s3 = self._client.aws("s3")
        try:
            manifest, created = publish(s3, self._bucket, folder, {"who": self.who(), "why": _header(why)})
        except DeliveryRefused as error:
            raise CommandFailed(str(error), "correct the folder, or publish it as a new version") from None
        if not created:
            try:
                return manifest, self.start(manifest.name, manifest.version, "deliver", why)
            except ClientError as error:
                if error.response["Error"]["Code"] != "AccessDeniedException":
                    raise
        held = s3.head_object(Bucket=self._bucket, Key=manifest.prefix + FILE_NAME)
        return manifest, publication_id(manifest.version, held["ETag"])

    def start(self, model: str, version: str, action: str, why: str) -> str:
        """Start a delivery of a version that is published; its id."""
        name = f"{version}-{uuid.uuid4()}"
        request = {"model": model, "version": version, "action": action, "who": self.who(), "why": why}
        self._steps.start_execution(stateMachineArn=self._machine, name=name, input=json.dumps(request))
        return name

    def follow(self, model: str, delivery_id: str, report: Report = lambda line: None) -> Mapping[str, str]:
        """Wait until a delivery has ended; its record. `report` is told the step that it is in.

        Raises:
            CommandFailed: no execution works on it.
        """
        told, idle_since = "", time.monotonic()
        while not (record := self.ledger.outcome(model, delivery_id)):
            if (step := self._step(model)) is not None:
                idle_since = time.monotonic()
                if step != told:
                    told = step
                    report(f"{model}: {step}")
            elif time.monotonic() - idle_since > _START_S:
                raise CommandFailed(
                    f"no delivery of {model} has begun within {_START_S} s",
                    "see the executions of the state machine, then `inferctl models promote`",
                )
            time.sleep(_POLL_S)
        return record

    def live(self, model: str) -> str | None:
        """The version that deliveries have made live."""
        found = self.parameters.get(model, "live")
        return None if found is None else str(found["version"])

    def previous(self, model: str) -> str:
        """The version that served before the live one.

        Raises:
            CommandFailed: there was none.
        """
        live = self.live(model)
        for record in self.ledger.history(model):
            if record["outcome"] == "delivered" and record["version"] == live:
                before = record.get("previous", "none")
                if before not in ("none", live):
                    return before
        raise CommandFailed(
            f"no version of {model} was live before {live}", f"see `inferctl models history {model}`"
        )

    def manifest(self, model: str, version: str) -> Manifest:
        """The manifest of a published version.

        Raises:
            CommandFailed: it is not there, or is none.
        """
        try:
            return read_manifest(self._client.aws("s3"), self._bucket, model, version)
        except ServingError as error:
            raise CommandFailed(str(error), f"see `inferctl models versions {model}`") from None

    def versions(self, model: str) -> list[str]:
        """The versions that are published: those with a manifest."""
        prefix = version_prefix(model, "v").removesuffix("v/")
        pages = (
            self._client.aws("s3")
            .get_paginator("list_objects_v2")
            .paginate(Bucket=self._bucket, Prefix=prefix)
        )
        keys = [item["Key"] for page in pages for item in page.get("Contents", ())]
        return sorted(key.split("/")[2] for key in keys if key.endswith(f"/{FILE_NAME}"))

    def _step(self, model: str) -> str | None:
        """The state that the delivery is in whose turn it is; None where there is none."""
        holder = self.ledger.holder(model)
        if holder is None:
            return None
        arn = f"{self._machine.replace(':stateMachine:', ':execution:')}:{holder}"
        try:
            if self._steps.describe_execution(executionArn=arn)["status"] != "RUNNING":
                return None
            events = self._steps.get_execution_history(
                executionArn=arn, reverseOrder=True, maxResults=20, includeExecutionData=False
            )["events"]
        except ClientError:
            return None
        entered = [e["stateEnteredEventDetails"]["name"] for e in events if "stateEnteredEventDetails" in e]
        return str(entered[0]) if entered else "Admit"


def _header(text: str) -> str:
    """Text as an S3 object's metadata can hold it: ASCII in one line."""
    return " ".join(text.split()).encode("ascii", "replace").decode()[:512]


def require_delivered(record: Mapping[str, str]) -> None:
    """Raise CommandFailed with the reason unless the delivery went through."""
    if record["outcome"] not in ("delivered", "unchanged"):
        raise CommandFailed(
            f"{record['model']} {record['version']} was {record['outcome']}: {record['reason']}",
            "what was live before serves on; correct the model and publish it as a new version",
        )


def answer_of(record: Mapping[str, Any]) -> str:
    """One line about a delivery that has ended."""
    before = record.get("previous", "none")
    was = f", {before} before" if before not in ("none", record["version"]) else ""
    return f"{record['model']} {record['version']} {record['outcome']}{was}"


def shown_by(step: Step) -> Report:
    """Tells what a delivery does as the detail of a step of a command."""

    def report(line: str) -> None:
        step.detail = line

    return report
