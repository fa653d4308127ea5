"""The worker of SageMaker endpoints against moto, from the first step to the record of the delivery.

moto has no UpdateEndpoint: a request is checked against the service's own model of it, and then comes to what
it comes to, the endpoint with the new configuration or, after a rollback, with the old one.
"""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.validate import ParamValidator
from moto import mock_aws

from components.model_network import ModelNetwork
from components.sagemaker_deployment import TrafficShift, deployment_config, update_request
from components.sagemaker_hosting import RealTime
from components.sagemaker_scaling import InstanceScale
from serving import delivery_app
from serving.delivery_control import Control, Parameters
from serving.delivery_ledger import Ledger
from tests.delivery.conftest import ACCOUNT, REGION

ENDPOINT = "platform-fraud-1a2b"
ALARMS = [f"{ENDPOINT}-errors", f"{ENDPOINT}-p99"]


class Service:
    """moto's SageMaker with UpdateEndpoint; `goes_back`: the alarms undo the next one, in silence."""

    def __init__(self, client: Any) -> None:
        self._client, self.goes_back = client, False
        self.updates: list[dict[str, Any]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def update_endpoint(self, **request: Any) -> None:
        shape = self._client.meta.service_model.operation_model("UpdateEndpoint").input_shape
        report = ParamValidator().validate(request, shape)
        assert not report.has_errors(), report.generate_report()
        self.updates.append(request)
        if self.goes_back:
            return
        self._client.delete_endpoint(EndpointName=ENDPOINT)
        self._client.create_endpoint(EndpointName=ENDPOINT, EndpointConfigName=request["EndpointConfigName"])


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    with mock_aws():
        client = boto3.client("sagemaker")
        role = f"arn:aws:iam::{ACCOUNT}:role/fraud"
        source = {
            "S3Uri": "s3://models/models/fraud/v1/",
            "S3DataType": "S3Prefix",
            "CompressionType": "None",
        }
        client.create_model(
            ModelName="first",
            ExecutionRoleArn=role,
            VpcConfig={"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]},
            PrimaryContainer={"Image": "server:1", "ModelDataSource": {"S3DataSource": source}},
        )
        client.create_endpoint_config(
            EndpointConfigName="first",
            KmsKeyId="key",
            ProductionVariants=[
                {
                    "VariantName": "main",
                    "ModelName": "first",
                    "InstanceType": "ml.m5.xlarge",
                    "InitialInstanceCount": 2,
                    "RoutingConfig": {"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"},
                }
            ],
            DataCaptureConfig={
                "EnableCapture": True,
                "InitialSamplingPercentage": 10,
                "DestinationS3Uri": "s3://data/capture/fraud",
                "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
            },
        )
        client.create_endpoint(EndpointName=ENDPOINT, EndpointConfigName="first")
        found = Service(client)
        monkeypatch.setattr(delivery_app, "_client", {"sagemaker": found}.__getitem__)
        yield found


def delivery(outcome_of: str) -> dict[str, Any]:
    """What the machine knows of a delivery after the trial."""
    hosting = RealTime(
        instance="ml.m5.xlarge",
        scale=InstanceScale(min=2, max=4, target=8),
        network=ModelNetwork(vpc_id="vpc-1", subnet_ids=["subnet-1"], s3_prefix_list_id="pl-1"),
    )
    asked = update_request(ENDPOINT, "first", deployment_config(hosting, TrafficShift(), ALARMS))
    return {
        "id": f"{outcome_of}-1",
        "model": "fraud",
        "version": outcome_of,
        "action": "deliver",
        "origin": "publish",
        "who": "ci",
        "why": "retrained",
        "digest": "ab" * 32,
        "golden": 1,
        "p99_ms": 300,
        "target": {"endpoint": ENDPOINT, "deployment": asked["DeploymentConfig"]},
        "error": "",
    }


def work(known: dict[str, Any], *steps: str) -> dict[str, Any]:
    for step in steps:
        known = delivery_app.sagemaker_worker({"step": step, "delivery": known}, None)
        if known["error"]:
            break
    return known


def settled(known: dict[str, Any]) -> dict[str, Any]:
    """The record of a delivery, and the model's parameter `live`."""
    dynamodb, ssm = boto3.client("dynamodb"), boto3.client("ssm")
    dynamodb.create_table(
        TableName="deliveries",
        KeySchema=[
            {"AttributeName": "model", "KeyType": "HASH"},
            {"AttributeName": "entry", "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("model", "entry")],
        BillingMode="PAY_PER_REQUEST",
    )
    ssm.put_parameter(Name="/models/fraud/live", Value="none", Type="String")
    control = Control(
        ledger=Ledger(dynamodb, "deliveries"), parameters=Parameters(ssm, "/models"), alive=lambda _: False
    )
    control.settle(known, "execution")
    live = ssm.get_parameter(Name="/models/fraud/live")["Parameter"]["Value"]
    return {**control.ledger.outcome("fraud", known["id"]), "live": live}


def test_an_update_with_guardrails_puts_the_version_live(service: Service) -> None:
    known = work(delivery("v2"), "prepare", "prepare", "attempt", "shift", "shift", "watch", "promote")
    assert (known["error"], known["serves"], known["baked"]) == ("", "v2", True)
    [request] = service.updates
    guard = request["DeploymentConfig"]
    assert guard["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]["Type"] == "CANARY"
    assert [alarm["AlarmName"] for alarm in guard["AutoRollbackConfiguration"]["Alarms"]] == ALARMS
    assert request["RetainAllVariantProperties"] is True
    made = service.describe_endpoint_config(EndpointConfigName=known["config"])
    assert made["DataCaptureConfig"]["DestinationS3Uri"] == "s3://data/capture/fraud"
    [variant] = made["ProductionVariants"]
    container = service.describe_model(ModelName=variant["ModelName"])["PrimaryContainer"]
    assert container["ModelDataSource"]["S3DataSource"]["S3Uri"] == "s3://models/models/fraud/v2/"
    record = settled(known)
    assert (record["outcome"], record["previous"]) == ("delivered", "v1")
    assert json.loads(record["live"])["version"] == "v2"


def test_a_silent_rollback_is_recorded_as_a_refusal(service: Service) -> None:
    service.goes_back = True
    known = work(delivery("v3"), "prepare", "attempt", "shift", "watch")
    assert known["error"] == f"canary: {ENDPOINT} went back to first: no reason given"
    known = {**delivery_app.sagemaker_worker({"step": "roll_back", "delivery": known}, None)}
    assert known["serves"] == "v1"
    record = settled(known)
    assert (record["outcome"], record["live"]) == ("refused", "none")
    assert "went back to first" in record["reason"]
