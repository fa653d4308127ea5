"""Who has a publisher's policy and nothing else brings a version live, of its own models alone."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from components import iam
from components.publisher import publisher_statements
from inferctl.deliveries import Deliveries
from tests.delivery.conftest import ACCOUNT, MODEL, NAMES, REGION, TABLE, Platform

pytestmark = pytest.mark.integration

STATEMENTS = publisher_statements(NAMES, [MODEL], f"arn:aws:kms:{REGION}:{ACCOUNT}:key/data")
# The embedded AWS does not know whether a write was conditional, which is what the denial asks.
ALLOWED, [DENIED] = (
    [each for each in STATEMENTS if each["Effect"] == effect] for effect in ("Allow", "Deny")
)
# IAM's names of requests, where they differ.
ACTIONS = {"s3:ListObjectsV2": "s3:ListBucket", "s3:HeadObject": "s3:GetObject"}
NOT_ASKED = {
    "kms:Decrypt",  # by S3, for whom it asks
    "kms:GenerateDataKey",
    "sagemaker:CreateModelPackage",  # what a pipeline may do besides
}


class Publisher:
    """Clients with a key of a user of this policy, the actions that they have asked for, and of objects that
    they put the name and the condition."""

    endpoints = None

    def __init__(self, platform: Platform, key: dict[str, str]) -> None:
        self._platform, self._key = platform, key
        self.asked: set[str] = set()
        self.put: list[tuple[str, str | None]] = []
        self.outputs = {
            "models_bucket": platform.bucket,
            "delivery_machine": platform.machine,
            "delivery_table": TABLE,
            "model_parameters": "/models",
        }

    def aws(self, service: str) -> Any:
        client = boto3.client(
            service,
            endpoint_url=self._platform.environment["AWS_ENDPOINT_URL"],
            region_name=REGION,
            aws_access_key_id=self._key["AccessKeyId"],
            aws_secret_access_key=self._key["SecretAccessKey"],
        )
        client.meta.events.register("before-call", self._note)
        return client

    def _note(self, model: Any, params: Any, **_: Any) -> None:
        service = model.service_model.endpoint_prefix
        action = f"{service}:{model.name}"
        self.asked.add(ACTIONS.get(action, action))
        if action == "s3:PutObject":
            self.put.append((params["url_path"].rsplit("/", 1)[1], params["headers"].get("If-None-Match")))


@pytest.fixture
def publisher(platform: Platform) -> Iterator[Publisher]:
    platform.start_over()
    users = platform.aws("iam")
    users.create_user(UserName="publisher")
    users.put_user_policy(UserName="publisher", PolicyName="publish", PolicyDocument=iam.policy(*ALLOWED))
    key = users.create_access_key(UserName="publisher")["AccessKey"]
    yield Publisher(platform, key)
    users.delete_access_key(UserName="publisher", AccessKeyId=key["AccessKeyId"])
    users.delete_user_policy(UserName="publisher", PolicyName="publish")
    users.delete_user(UserName="publisher")


def denied(call: Any, **arguments: Any) -> bool:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return "AccessDenied" in caught.value.response["Error"]["Code"]


def test_its_policy_is_what_publishing_asks_for(platform: Platform, publisher: Publisher) -> None:
    version = f"p-{uuid.uuid4().hex[:8]}"
    folder = platform.folder_of(version, 4.0)
    deliveries = Deliveries(publisher)  # type: ignore[arg-type]
    manifest, delivery = deliveries.publish(folder, "trained")
    record = deliveries.follow(MODEL, delivery)
    assert (manifest.version, record["outcome"], record["why"]) == (version, "delivered", "trained")
    # On AWS the manifest could not be put otherwise.
    assert publisher.put == [("model.onnx", None), ("model.tar.gz", None), ("manifest.json", "*")]
    # Again, as a pipeline does that was run again: it starts nothing, and sees what came of it.
    assert deliveries.publish(folder, "again") == (manifest, delivery)
    assert deliveries.follow(MODEL, delivery)["at"] == record["at"]
    allowed = {action for each in ALLOWED for action in each["Action"]}
    assert publisher.asked - {"sts:GetCallerIdentity", "states:StartExecution"} == allowed - NOT_ASKED


def test_it_can_do_nothing_else(platform: Platform, publisher: Publisher) -> None:
    s3, bucket = publisher.aws("s3"), platform.bucket
    assert denied(s3.put_object, Bucket=bucket, Key="models/other/v1/model.onnx", Body=b"x")
    assert denied(s3.get_object, Bucket=bucket, Key="models/other/v1/model.onnx")
    assert denied(s3.delete_object, Bucket=bucket, Key=f"models/{MODEL}/v1/manifest.json")
    assert denied(s3.list_objects_v2, Bucket=bucket, Prefix="models/other/")
    assert denied(s3.list_objects_v2, Bucket=bucket)
    request = json.dumps({"model": MODEL, "version": "v2", "action": "roll_back"})
    assert denied(
        publisher.aws("stepfunctions").start_execution, stateMachineArn=platform.machine, input=request
    )
    table = publisher.aws("dynamodb")
    entry = {"model": {"S": MODEL}, "entry": {"S": "lock"}}
    assert denied(table.put_item, TableName=TABLE, Item=entry)
    assert denied(publisher.aws("ssm").get_parameter, Name=f"/models/{MODEL}/live")
    assert denied(publisher.aws("lambda").invoke, FunctionName="delivery-control", Payload=b"{}")


def test_a_manifest_that_is_there_stays_rows_are_its_models_own_and_people_approve() -> None:
    """Conditions that the embedded AWS does not judge, as they are written."""
    assert DENIED["Action"] == ["s3:PutObject"]
    assert DENIED["Resource"] == [f"{NAMES.bucket_arn('models')}/models/*/manifest.json"]
    assert DENIED["Condition"] == {"Null": {"s3:if-none-match": "true"}}
    [rows] = [each["Condition"] for each in ALLOWED if each["Action"] == ["dynamodb:GetItem"]]
    assert rows == {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": [MODEL]}}
    [packages] = [each for each in ALLOWED if each["Action"] == ["sagemaker:CreateModelPackage"]]
    assert packages["Condition"] == {
        "StringEqualsIfExists": {"sagemaker:ModelApprovalStatus": "PendingManualApproval"}
    }
