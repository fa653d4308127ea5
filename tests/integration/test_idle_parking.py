"""From GPUs that do nothing to a model held at no replica: every link runs, in the embedded AWS."""

import io
import json
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from components.alarms import model_alarms
from components.function import LIVE
from components.idle_parking import IdleParking, IdleParkingArgs
from components.metric import Metric
from components.parking import FUNCTION, parked
from components.watch import ModelWatch, Site
from local_aws.emulator import Emulator
from naming import Names
from tests.components.platform_args import TAGS
from tests.components.recorded import Recorded, deployed
from tests.serving.kubernetes_api import SCALER, Cluster, cluster_with

ROOT = Path(__file__).resolve().parents[2]
REGION = "us-east-1"
NAMES = Names(platform="inference-platform", environment="local", account_id="0" * 12, region=REGION)
SITE = Site(names=NAMES, stage="live", cluster_name=NAMES.prefix)
MODELS = ("llama", "minilm")
TOPIC = NAMES.arn("sns", "alerts")
PAUSED = "autoscaling.keda.sh/paused-replicas"
Aws = Callable[[str], Any]


class Deployed(Recorded):
    """Mocks that make roles, rule, target and machine in the embedded AWS, as they are registered."""

    def __init__(self, aws: Aws) -> None:
        super().__init__()
        self._aws = aws

    def outputs(self, type_: str, name: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        events, known = self._aws("events"), dict(inputs)
        if type_ == "aws:iam/role:Role":
            known["arn"] = self._aws("iam").create_role(
                RoleName=name, AssumeRolePolicyDocument=inputs["assumeRolePolicy"]
            )["Role"]["Arn"]
        if type_ == "aws:sfn/stateMachine:StateMachine":
            known["arn"] = self._aws("stepfunctions").create_state_machine(
                name=inputs["name"], definition=inputs["definition"], roleArn=inputs["roleArn"]
            )["stateMachineArn"]
        if type_ == "aws:cloudwatch/eventRule:EventRule":
            known["name"] = name
            events.put_rule(Name=name, EventPattern=inputs["eventPattern"])
        if type_ == "aws:cloudwatch/eventTarget:EventTarget":
            target = {"Id": inputs["targetId"], "Arn": inputs["arn"]}
            events.put_targets(Rule=inputs["rule"], Targets=[target])
        return super().outputs(type_, name, known)


@dataclass
class Platform:
    """Models on GPUs of a cluster, each with its alarms, and what parks them."""

    aws: Aws
    cluster: Cluster

    def watch(self, model: str) -> None:
        """Make the alarms on a model's GPUs."""
        for alarm in model_alarms(SITE, gpu(model)):
            if alarm.runbook.startswith("gpu-"):
                self.aws("cloudwatch").put_metric_alarm(
                    AlarmName=f"{NAMES.prefix}-{alarm.role}",
                    Namespace=alarm.metric.namespace,
                    MetricName=alarm.metric.name,
                    Dimensions=dimensions(alarm.metric),
                    Statistic=alarm.stat,
                    Threshold=alarm.threshold,
                    ComparisonOperator="LessThanThreshold" if alarm.below else "GreaterThanThreshold",
                    Period=alarm.period_s,
                    EvaluationPeriods=alarm.periods,
                )

    def utilisation(self, model: str, percent: float, *, age_s: float = 0) -> None:
        """What the GPUs of a model reported then; CloudWatch looks at its alarms thereupon."""
        watched = dict(gpu(model).gpu_metrics(SITE))["utilisation"]
        datum = {"MetricName": watched.name, "Dimensions": dimensions(watched), "Value": percent}
        then = {"Timestamp": time.time() - age_s}
        self.aws("cloudwatch").put_metric_data(Namespace=watched.namespace, MetricData=[datum | then])

    def turns(self, role: str, state: str) -> None:
        self.aws("cloudwatch").set_alarm_state(
            AlarmName=f"{NAMES.prefix}-{role}", StateValue=state, StateReason="told to"
        )

    def executions(self, role: str) -> list[str]:
        """How the machine fared with an alarm, execution by execution; they are there once it has turned."""
        return [status for alarm, status in self._executions() if alarm == f"{NAMES.prefix}-{role}"]

    def until_ended(self) -> None:
        """Wait for what the machine does."""
        for _ in range(600):
            if "RUNNING" not in {status for _, status in self._executions()}:
                return
            time.sleep(0.05)
        pytest.fail(f"the machine did not end in 30 s: {self._executions()}")

    def _executions(self) -> list[tuple[str, str]]:
        steps = self.aws("stepfunctions")
        [machine] = steps.list_state_machines()["stateMachines"]
        listed = steps.list_executions(stateMachineArn=machine["stateMachineArn"])["executions"]
        held = [steps.describe_execution(executionArn=each["executionArn"]) for each in listed]
        return [(json.loads(each["input"])["detail"]["alarmName"], each["status"]) for each in held]

    def parked(self) -> set[str]:
        objects = self.cluster.objects.items()
        return {path.removeprefix(SCALER) for path, held in objects if held.get(PAUSED) == "0"}


def gpu(model: str) -> ModelWatch:
    return ModelWatch(model=model, backend="eks", gpu=True)


def dimensions(watched: Metric) -> list[dict[str, str]]:
    return [{"Name": name, "Value": value} for name, value in watched.dimensions.items()]


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[Aws]:
    emulator = Emulator(tmp_path / "local", preferred_port=0, report=lambda line: None)
    try:
        url, key = emulator.start().ministack, emulator.credentials()
        yield lambda service: boto3.client(
            service,
            endpoint_url=url,
            region_name=REGION,
            aws_access_key_id=key["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=key["AWS_SECRET_ACCESS_KEY"],
        )
    finally:
        emulator.stop()


@pytest.fixture
def platform(aws: Aws, tmp_path: Path) -> Iterator[Platform]:
    """Two models with all that parks them; the function is the one that is deployed."""
    with cluster_with({f"{SCALER}{model}": {} for model in MODELS}, tmp_path) as cluster:
        _make_function(aws, cluster)
        capacities = [capacity for model in MODELS for capacity in parked(SITE, gpu(model))]
        args = IdleParkingArgs(names=NAMES, tags=TAGS, capacities=capacities, topic_arn=TOPIC)
        deployed(lambda: IdleParking("idle", args), recorded=Deployed(aws))
        yield Platform(aws, cluster)


def _make_function(aws: Aws, cluster: Cluster) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        for module in ("__init__", "logs", "parking"):
            opened.write(ROOT / f"serving/{module}.py", f"serving/{module}.py")
    name, functions = NAMES.function(FUNCTION), aws("lambda")
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    role = aws("iam").create_role(RoleName="parking", AssumeRolePolicyDocument=document)["Role"]["Arn"]
    functions.create_function(
        FunctionName=name,
        Runtime="python3.13",
        Role=role,
        Handler="serving.parking.handler",
        Code={"ZipFile": archive.getvalue()},
        Environment={"Variables": cluster.environment},
        Timeout=30,
    )
    version = functions.publish_version(FunctionName=name)["Version"]
    functions.create_alias(FunctionName=name, Name=LIVE, FunctionVersion=version)


@pytest.mark.parametrize(("busy_ago_s", "held"), [(1800, set()), (3700, {"minilm"})])
def test_gpus_that_did_nothing_for_an_hour_lead_to_a_model_held_at_no_replica(
    busy_ago_s: float, held: set[str], platform: Platform
) -> None:
    """Of two models one has alarms, for alarms of the embedded AWS do not look at dimensions."""
    platform.watch("minilm")
    platform.utilisation("minilm", 60, age_s=busy_ago_s)
    platform.utilisation("minilm", 1)
    platform.until_ended()
    assert platform.parked() == held
    assert platform.executions("minilm-gpu-idle") == ["SUCCEEDED"] * len(held)


def test_each_alarm_parks_its_own_model_when_it_begins_to_ring(platform: Platform) -> None:
    platform.watch("minilm")
    platform.watch("llama")
    for alarm, state in [
        ("minilm-gpu-idle", "OK"),
        ("minilm-gpu-memory", "ALARM"),
        ("llama-gpu-idle", "ALARM"),
        ("llama-gpu-idle", "ALARM"),
    ]:
        platform.turns(alarm, state)
    platform.until_ended()
    assert platform.parked() == {"llama"}
    assert platform.executions("llama-gpu-idle") == ["SUCCEEDED"]
    assert platform.executions("minilm-gpu-idle") == platform.executions("minilm-gpu-memory") == []
