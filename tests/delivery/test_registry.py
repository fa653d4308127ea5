"""An approval in the model registry delivers as a publication does, and the package says what came of it."""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from serving import delivery_registry
from tests.delivery.conftest import ACCOUNT, MODEL, NAMES, REGION, Platform
from tests.waiting import until

pytestmark = pytest.mark.integration

GROUP = f"{NAMES.prefix}-{MODEL}"
RECORD = {"id": "v2-package-3", "at": "2026-01-01T00:00:00.000000+00:00", "outcome": "refused"}


@pytest.fixture(autouse=True)
def settings(platform: Platform) -> None:
    platform.start_over()


@pytest.fixture
def sagemaker(registry: str) -> Any:
    return boto3.client(
        "sagemaker",
        endpoint_url=registry,
        region_name=REGION,
        aws_access_key_id="any",
        aws_secret_access_key="any",
    )


class Package:
    """A package of the registry that people have approved, and its event as AWS puts it on the bus.

    https://docs.aws.amazon.com/sagemaker/latest/dg/automating-sagemaker-with-eventbridge.html
    """

    def __init__(self, platform: Platform, sagemaker: Any, version: str = "v2") -> None:
        self._platform, self._sagemaker = platform, sagemaker
        with suppress(ClientError):
            sagemaker.create_model_package_group(ModelPackageGroupName=GROUP)
        url = f"s3://{platform.bucket}/models/{MODEL}/{version}/model.tar.gz"
        self.arn = sagemaker.create_model_package(
            ModelPackageGroupName=GROUP,
            ModelApprovalStatus="PendingManualApproval",
            InferenceSpecification={
                "Containers": [
                    {"Image": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/server:1", "ModelDataUrl": url}
                ],
                "SupportedContentTypes": ["application/json"],
                "SupportedResponseMIMETypes": ["application/json"],
            },
            CustomerMetadataProperties={"trained-by": "somebody"},
        )["ModelPackageArn"]
        self.number = int(self.arn.rsplit("/", 1)[1])
        self.delivery = f"{version}-package-{self.number}"
        self.detail: dict[str, Any] = {
            "ModelPackageName": f"{GROUP}/{self.number}",
            "ModelPackageGroupName": GROUP,
            "ModelPackageVersion": self.number,
            "ModelPackageArn": self.arn,
            "ModelApprovalStatus": "Approved",
            "ApprovalDescription": "passed the review",
            "InferenceSpecification": {"Containers": [{"ModelDataUrl": url}]},
            "LastModifiedBy": {"UserProfileName": "reviewer"},
            "UpdatedModelPackageFields": ["ModelApprovalStatus"],
        }

    def event(self, **changes: Any) -> str:
        return json.dumps(
            {
                "version": "0",
                "id": f"event-{self.number}",
                "source": "aws.sagemaker",
                "account": ACCOUNT,
                "time": "2026-01-01T00:00:00Z",
                "region": REGION,
                "resources": [self.arn],
                "detail-type": "SageMaker Model Package State Change",
                "detail": {**self.detail, **changes},
            }
        )

    def starts(self, **changes: Any) -> bool:
        """Whether the rule takes the event with `changes` of its detail."""
        events = self._platform.aws("events")
        pattern = events.describe_rule(Name="approved")["EventPattern"]
        return bool(events.test_event_pattern(EventPattern=pattern, Event=self.event(**changes))["Result"])

    def approve(self, **changes: Any) -> str:
        """The execution that the event starts. AWS alone puts its events: the test acts for the rule."""
        assert self.starts(**changes)
        started = self._platform.aws("stepfunctions").start_execution(
            stateMachineArn=self._platform.machine, input=self.event(**changes)
        )
        return str(started["executionArn"])

    def says(self) -> Mapping[str, str]:
        """The package's metadata, without what it had from the beginning."""
        found = dict(
            self._sagemaker.describe_model_package(ModelPackageName=self.arn)["CustomerMetadataProperties"]
        )
        assert found.pop("trained-by") == "somebody"
        return found


@pytest.fixture
def package(platform: Platform, sagemaker: Any) -> Package:
    return Package(platform, sagemaker)


def ended(platform: Platform, execution: str, status: str) -> None:
    steps = platform.aws("stepfunctions")
    until(lambda: steps.describe_execution(executionArn=execution)["status"] == status, f"it is {status}")


def test_a_package_that_is_approved_goes_live_and_says_so(platform: Platform, package: Package) -> None:
    execution = package.approve()
    record = platform.outcome(package.delivery)
    assert (record["outcome"], record["version"], record["origin"]) == ("delivered", "v2", "registry"), record
    assert (record["who"], record["why"]) == ("reviewer", "passed the review")
    assert platform.live() == "v2"
    ended(platform, execution, "SUCCEEDED")
    assert package.says() == {
        "delivery.id": package.delivery,
        "delivery.at": record["at"],
        "delivery.outcome": "delivered",
    }


def test_what_a_delivery_writes_to_its_package_starts_no_other(platform: Platform, package: Package) -> None:
    """Not by the rule, and where it came through nevertheless, by the history."""
    ended(platform, package.approve(), "SUCCEEDED")
    written = {
        "UpdatedModelPackageFields": ["CustomerMetadataProperties"],
        "CustomerMetadataProperties": package.says(),
    }
    assert not package.starts(**written)
    platform.outcome(platform.start("v1", "roll_back"))
    before = platform.ledger.history(MODEL)
    again = platform.aws("stepfunctions").start_execution(
        stateMachineArn=platform.machine, input=package.event(**written)
    )["executionArn"]
    ended(platform, again, "SUCCEEDED")
    assert platform.states_of(again)[0] == "Ignored"
    assert (platform.ledger.history(MODEL), platform.live()) == (before, "v1")


def test_a_package_that_is_registered_as_approved_starts_and_what_is_not_ours_does_not(
    package: Package,
) -> None:
    del package.detail["UpdatedModelPackageFields"]
    assert package.starts()
    assert not package.starts(ModelApprovalStatus="PendingManualApproval")
    assert not package.starts(ModelPackageGroupName="another-platform-scale")


def test_a_package_says_why_it_was_refused(platform: Platform, package: Package) -> None:
    platform.parameter("pin", {"version": "v1", "who": "someone", "why": "audit; until Friday"})
    execution = package.approve()
    ended(platform, execution, "FAILED")
    said = package.says()
    assert said["delivery.outcome"] == "refused"
    # A value of the registry holds no `;`.
    assert said["delivery.reason"] == "scale is pinned to v1 by someone: audit until Friday unpin it first"


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"ModelPackageGroupName": f"{NAMES.prefix}-other"}, id="group of another model"),
        pytest.param(
            {"InferenceSpecification": {"Containers": [{"ModelDataUrl": "s3://else/scale/v2/model.tar.gz"}]}},
            id="files elsewhere",
        ),
        pytest.param({"InferenceSpecification": None}, id="no files"),
    ],
)
def test_a_package_that_names_no_published_version_of_its_group_is_refused_and_says_so(
    platform: Platform, package: Package, changes: dict[str, Any]
) -> None:
    execution = package.approve(**changes)
    ended(platform, execution, "FAILED")
    found = platform.aws("stepfunctions").describe_execution(executionArn=execution)
    assert found["error"] == "DeliveryRefused"  # no recovery begins
    assert "ModelDataUrl must lie under models/" in found["cause"]
    assert "ModelDataUrl must lie under models/ name / version /" in package.says()["delivery.reason"]
    assert platform.live() == "v1"


@pytest.mark.parametrize("state", ["Try", "Watch", "Promote", "Settle", "Register", "Notify"])
def test_stopped_in_any_step_the_package_says_how_its_delivery_ended(
    platform: Platform, package: Package, state: str
) -> None:
    execution = package.approve()
    until(lambda: state in platform.states_of(execution), f"it comes to {state}")
    with suppress(ClientError):  # on a slow machine it may have ended meanwhile
        platform.aws("stepfunctions").stop_execution(executionArn=execution)
    record = platform.outcome(package.delivery)
    until(lambda: package.says().get("delivery.outcome") == record["outcome"], "the package says so")
    assert package.says()["delivery.at"] == record["at"]
    until(lambda: platform.executions() == [], "every execution has ended")


def test_what_was_stopped_right_after_its_record_is_told_of_by_the_recovery(
    platform: Platform, package: Package
) -> None:
    """As the rule starts it. In the test above an execution is rarely stopped in just that moment."""
    kept = {**RECORD, "id": package.delivery, "version": "v2", "reason": "why not", "package": package.arn}
    platform.ledger.record(MODEL, package.delivery, kept)
    detail = {"name": "stopped", "status": "ABORTED", "input": package.event()}
    recovery = platform.aws("stepfunctions").start_execution(
        stateMachineArn=platform.machine, input=json.dumps({"source": "aws.states", "detail": detail})
    )["executionArn"]
    ended(platform, recovery, "FAILED")
    assert platform.states_of(recovery) == [
        "Refused",
        "Outcome",
        "Notify",
        "Register",
        "Settled",
        "Turn",
        "Admit",
    ]
    assert package.says()["delivery.reason"] == "why not"


def test_a_registry_that_refuses_undoes_no_delivery_and_people_are_told(
    platform: Platform, package: Package
) -> None:
    execution = package.approve(ModelPackageArn=f"{package.arn}000")
    assert platform.outcome(package.delivery)["outcome"] == "delivered"
    ended(platform, execution, "SUCCEEDED")
    assert platform.live() == "v2"
    output = json.loads(platform.aws("stepfunctions").describe_execution(executionArn=execution)["output"])
    assert "The model registry does not say so: An error occurred" in output["text"]


def test_what_is_written_is_what_the_registry_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pattern and the length are those of the service's own model of a value."""
    client = boto3.client("sagemaker", region_name=REGION, aws_access_key_id="a", aws_secret_access_key="b")
    shape = client.meta.service_model.operation_model("UpdateModelPackage").input_shape
    value = shape.members["CustomerMetadataProperties"].value
    assert value.metadata["max"] == delivery_registry.LONGEST
    assert value.metadata["pattern"].startswith(r"([\p{L}\p{Z}\p{N}_.:\/=+\-@]*)")
    reason = "golden request \"é-1\": output 'y' is off by 12 %, twice;\n" + "x" * 300
    known = {"trained-by": "somebody", "delivery.outcome": "refused"}
    wanted = {
        "trained-by": "somebody",
        "delivery.id": "v2-package-3",
        "delivery.at": RECORD["at"],
        "delivery.outcome": "refused",
        "delivery.reason": ("golden request é-1 : output y is off by 12 twice " + "x" * 300)[:256],
    }
    arn = NAMES.arn("sagemaker", f"model-package/{GROUP}/3")
    with Stubber(client) as stub:
        described = {"CustomerMetadataProperties": known}
        stub.add_response("describe_model_package", _package(arn, described), {"ModelPackageName": arn})
        stub.add_response(
            "update_model_package",
            {"ModelPackageArn": arn},
            {"ModelPackageArn": arn, "CustomerMetadataProperties": wanted},
        )
        assert delivery_registry.write(client, arn, {**RECORD, "reason": reason}) == ""
        stub.add_client_error("describe_model_package", "AccessDeniedException", "not yours")
        assert "not yours" in delivery_registry.write(client, arn, {**RECORD, "reason": reason})
        stub.assert_no_pending_responses()


def _package(arn: str, described: Mapping[str, Any]) -> dict[str, Any]:
    """An answer with all that the service's model wants."""
    return {
        "ModelPackageName": GROUP,
        "ModelPackageArn": arn,
        "CreationTime": "2026-01-01",
        "ModelPackageStatus": "Completed",
        "ModelPackageStatusDetails": {"ValidationStatuses": []},
        **described,
    }
