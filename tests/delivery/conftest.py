"""The state machine with its functions in an embedded AWS, around a small real model."""

import json
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from components.delivery_machine import delivery_machine
from components.delivery_starts import patterns
from local_aws.emulator import Emulator
from naming import Names
from serving import package
from serving.delivery_events import publication_id
from serving.delivery_ledger import Ledger
from serving.manifest import FILE_NAME
from serving.publication import publish
from tests.serving.conftest import scale_manifest, scale_model

REGION, ACCOUNT = "us-east-1", "000000000000"
NAMES = Names(platform="inference-platform", environment="tests", account_id=ACCOUNT, region=REGION)
MODEL = "scale"
TABLE = NAMES.function("delivery")
FUNCTION = "model-scale"
SETTINGS = {
    "backend": "lambda",
    "worker": "delivery-lambda",
    "target": {"function": FUNCTION, "alias": "live"},
    "p99_ms": 2000,
    "availability": 99.0,
    "alarms": ["scale-alarm"],
    "canary_s": 1,
    "canary_share": 0.1,
    "look_s": 1,
}


@dataclass
class Platform:
    """What the tests work with; `functions` are the deliveries' own."""

    client: Callable[[str], Any]
    environment: Mapping[str, str]
    """Where a process finds the embedded AWS, and with which key."""
    bucket: str
    machine: str
    functions: dict[str, bytes]
    folder: Path
    clients: dict[str, Any] = field(default_factory=dict)

    def aws(self, service: str) -> Any:
        return self.clients.setdefault(service, self.client(service))

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.aws("dynamodb"), TABLE)

    def folder_of(self, version: str, factor: float, expected: float | None = None, **changes: Any) -> Path:
        """A version that multiplies by a factor; its golden request lies where `expected` is another."""
        folder = self.folder / uuid.uuid4().hex
        folder.mkdir()
        data = changes.pop("data", scale_model(factor))
        manifest = scale_manifest(data, version, factor if expected is None else expected, **changes)
        (folder / manifest.file).write_bytes(data)
        (folder / FILE_NAME).write_bytes(manifest.encode())
        return folder

    def publish(self, version: str, factor: float, expected: float | None = None, **changes: Any) -> str:
        """Publish a version; the id of the delivery that its event starts."""
        folder = self.folder_of(version, factor, expected, **changes)
        manifest, created = publish(self.aws("s3"), self.bucket, folder, {"who": "tests", "why": version})
        assert created
        head = self.aws("s3").head_object(Bucket=self.bucket, Key=manifest.prefix + FILE_NAME)
        return publication_id(version, head["ETag"])

    def start(self, version: str, action: str = "promote", model: str = MODEL) -> str:
        name = uuid.uuid4().hex
        request = {"model": model, "version": version, "action": action, "who": "tests", "why": "asked"}
        self.aws("stepfunctions").start_execution(
            stateMachineArn=self.machine, name=name, input=json.dumps(request)
        )
        return name

    def outcome(self, delivery_id: str, model: str = MODEL, seconds: float = 120) -> Mapping[str, str]:
        """The record of a delivery, once it has ended and given up its turn."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            record = self.ledger.outcome(model, delivery_id)
            if record and not self.ledger.waiting(model):
                return record
            time.sleep(0.1)
        pytest.fail(f"delivery {delivery_id} did not end:\n{self.story()}")

    def story(self) -> str:
        """The last steps of all executions, for a test that failed."""
        steps, lines = self.aws("stepfunctions"), []
        for item in steps.list_executions(stateMachineArn=self.machine)["executions"][:4]:
            found = steps.describe_execution(executionArn=item["executionArn"])
            lines.append(f"{item['name']} {item['status']} {found.get('error')} {found.get('cause')}")
            for event in steps.get_execution_history(
                executionArn=item["executionArn"], reverseOrder=True, maxResults=6
            )["events"]:
                lines.append(f"    {event['type']} {json.dumps(event, default=str)[:400]}")
        return "\n".join(lines)

    def start_over(self) -> None:
        """The settings of the beginning, and v1 live."""
        self.parameter("delivery", SETTINGS)
        self.parameter("pin", "none")
        if self.live() != "v1":
            self.outcome(self.start("v1", "roll_back"))

    def executions(self, status: str = "RUNNING") -> list[str]:
        found = self.aws("stepfunctions").list_executions(stateMachineArn=self.machine, statusFilter=status)
        return [item["executionArn"] for item in found["executions"]]

    def states_of(self, execution: str) -> list[str]:
        """The states that an execution has entered, the last one first."""
        events = self.aws("stepfunctions").get_execution_history(
            executionArn=execution, reverseOrder=True, maxResults=200
        )["events"]
        return [e["stateEnteredEventDetails"]["name"] for e in events if "stateEnteredEventDetails" in e]

    def target(self) -> tuple[str, dict[str, float], str, list[str]]:
        """Model version behind the alias, its weights, version in $LATEST, number of Lambda versions."""
        lambdas = self.aws("lambda")
        alias = lambdas.get_alias(FunctionName=FUNCTION, Name="live")

        def version(qualifier: str) -> str:
            found = lambdas.get_function_configuration(FunctionName=FUNCTION, Qualifier=qualifier)
            return str(found["Environment"]["Variables"]["MODEL_VERSION"])

        newer = [
            v["Version"]
            for v in lambdas.list_versions_by_function(FunctionName=FUNCTION)["Versions"]
            if v["Version"] != "$LATEST" and int(v["Version"]) > int(alias["FunctionVersion"])
        ]
        weights = alias.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})
        return version(alias["FunctionVersion"]), weights, version("$LATEST"), newer

    def live(self, model: str = MODEL) -> str:
        held = self.aws("ssm").get_parameter(Name=f"/models/{model}/live")["Parameter"]["Value"]
        return "none" if held == "none" else str(json.loads(held)["version"])

    def parameter(self, name: str, value: Any, model: str = MODEL) -> None:
        text = value if isinstance(value, str) else json.dumps(value)
        self.aws("ssm").put_parameter(
            Name=f"/models/{model}/{name}", Value=text, Type="String", Overwrite=True
        )


def make_function(
    client: Callable[[str], Any], name: str, handler: str, zipped: bytes, variables: Mapping[str, str]
) -> None:
    lambdas = client("lambda")
    lambdas.create_function(
        FunctionName=name,
        Runtime="python3.13",
        Handler=handler,
        Role=f"arn:aws:iam::{ACCOUNT}:role/everything",
        Code={"ZipFile": zipped},
        Timeout=60,
        MemorySize=1024,
        Environment={"Variables": dict(variables)},
    )
    lambdas.get_waiter("function_active_v2").wait(FunctionName=name)


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """An embedded AWS of the tests' own, as the environment of a process that uses it."""
    folder = tmp_path_factory.mktemp("embedded") / "local"
    emulator = Emulator(folder, preferred_port=0, report=lambda line: None)
    try:
        endpoints = emulator.start()
        yield {
            "AWS_ENDPOINT_URL": endpoints.ministack,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            **emulator.credentials(),
        }
    finally:
        emulator.stop()


@pytest.fixture(scope="session")
def registry() -> Iterator[str]:
    """URL of moto's SageMaker, which has the model registry. Beside the embedded AWS's own moto, whose guard
    lets no function in."""
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def platform(
    embedded: Mapping[str, str], registry: str, tmp_path_factory: pytest.TempPathFactory
) -> Platform:
    """The machine, its functions and rules, and the function of one model, whose first version is live."""

    def client(service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=embedded["AWS_ENDPOINT_URL"],
            region_name=REGION,
            aws_access_key_id=embedded["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=embedded["AWS_SECRET_ACCESS_KEY"],
        )

    bucket = NAMES.bucket("models")
    s3, iam, steps, events = (client(name) for name in ("s3", "iam", "stepfunctions", "events"))
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    iam.create_role(
        RoleName="everything",
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
    )
    # What each function may do is proved where the whole platform runs.
    iam.put_role_policy(
        RoleName="everything",
        PolicyName="all",
        PolicyDocument=json.dumps(
            {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
        ),
    )
    client("dynamodb").create_table(
        TableName=TABLE,
        KeySchema=[
            {"AttributeName": "model", "KeyType": "HASH"},
            {"AttributeName": "entry", "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("model", "entry")],
        BillingMode="PAY_PER_REQUEST",
    )
    built = package.build(tmp_path_factory.mktemp("zips"), "local")
    zips = {item.path.stem: item.path.read_bytes() for item in built}
    machine = NAMES.arn("states", f"stateMachine:{TABLE}")
    control = {
        "DELIVERY_TABLE": TABLE,
        "DELIVERY_MACHINE_ARN": machine,
        "MODEL_PARAMETERS": "/models",
        "AWS_ENDPOINT_URL_SAGEMAKER": registry,
    }
    make_function(client, "delivery-control", "serving.delivery_app.control", zips["delivery"], control)
    make_function(client, "delivery-lambda", "serving.delivery_app.lambda_worker", zips["delivery"], {})
    table = {"DELIVERY_TABLE": TABLE}
    make_function(client, "delivery-eks", "serving.delivery_app.eks_worker", zips["delivery"], table)
    make_function(
        client, "delivery-trial", "serving.trial_app.handler", zips["model-server"], {"MODEL_BUCKET": bucket}
    )
    make_function(
        client,
        FUNCTION,
        "serving.lambda_app.handler",
        zips["model-server"],
        {
            "MODEL_NAME": MODEL,
            "MODEL_VERSION": "v1",
            "MODEL_BUCKET": bucket,
            "MODEL_CACHE_DIR": str(tmp_path_factory.mktemp("cache")),
        },
    )
    published = client("lambda").publish_version(FunctionName=FUNCTION)["Version"]
    client("lambda").create_alias(FunctionName=FUNCTION, Name="live", FunctionVersion=published)
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:delivery-"
    definition = delivery_machine(control_arn=f"{arn}control", trial_arn=f"{arn}trial", queue_s=1)
    made = steps.create_state_machine(
        name=NAMES.function("delivery"),
        definition=json.dumps(definition),
        roleArn=f"arn:aws:iam::{ACCOUNT}:role/everything",
    )
    assert made["stateMachineArn"] == machine
    for name, (_, pattern) in patterns(NAMES, machine).items():
        events.put_rule(Name=name, EventPattern=json.dumps(pattern))
        events.put_targets(Rule=name, Targets=[{"Id": "delivery", "Arn": machine}])
    found = Platform(client, embedded, bucket, machine, zips, tmp_path_factory.mktemp("versions"))
    for name, value in (("delivery", SETTINGS), ("live", "none"), ("pin", "none")):
        found.parameter(name, value)
    for version, factor in (("v1", 2.0), ("v2", 3.0)):
        assert found.outcome(found.publish(version, factor))["outcome"] == "delivered"
    assert os.environ.get("AWS_ENDPOINT_URL") is None
    return found
