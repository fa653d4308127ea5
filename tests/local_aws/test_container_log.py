"""A container's output: in its own log, in the group that SageMaker would use, and as metrics."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import boto3
import pytest

from local_aws import container_log
from tests.local_aws.conftest import EmbeddedAws

pytestmark = pytest.mark.integration
USED = {"requests": 1, "tenant": "acme", "model": "fraud", "text": "ü"}
DIRECTIVE = {
    "Namespace": "Test",
    "Dimensions": [["tenant", "model"]],
    "Metrics": [{"Name": "requests", "Unit": "Count"}],
}


def client(aws: EmbeddedAws, service: str) -> Any:
    environment = aws.environment
    return boto3.client(
        service,
        endpoint_url=environment["LOCAL_AWS_ENDPOINT"],
        region_name="us-east-1",
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )


def start(aws: EmbeddedAws, group: str, code: str, log: Path) -> subprocess.Popen[bytes]:
    environment = {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.defpath]),
        "PYTHONPATH": str(Path(container_log.__file__).parents[1]),
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": aws.environment["LOCAL_AWS_ENDPOINT"],
        **{key: aws.environment[key] for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")},
    }
    command = [sys.executable, "-m", container_log.__name__, group, "python", "-u", "-c", code]
    with log.open("wb") as output:
        return subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)


def messages(aws: EmbeddedAws, group: str, count: int) -> list[str]:
    """The messages of a group, once there are so many: they come a moment after the command wrote them."""
    logs = client(aws, "logs")
    while True:
        events = logs.filter_log_events(logGroupName=group)["events"]
        if len(events) >= count:
            return [event["message"] for event in events]
        time.sleep(0.05)


def made(aws: EmbeddedAws) -> str:
    group = f"/aws/sagemaker/Endpoints/{uuid.uuid4().hex[:8]}"
    client(aws, "logs").create_log_group(logGroupName=group)
    return group


def test_lines_are_in_the_log_in_the_group_and_metrics(embedded_aws: EmbeddedAws, tmp_path: Path) -> None:
    group, namespace = made(embedded_aws), f"Test/{uuid.uuid4().hex[:8]}"
    document = USED | {"_aws": {"CloudWatchMetrics": [DIRECTIVE | {"Namespace": namespace}]}}
    written = [json.dumps(document), '{"_aws": {"CloudWatchMetrics": 7}}', "plain"]
    code = f"import sys\nfor line in {written!r}: print(line)\nprint('of stderr', file=sys.stderr)"
    process = start(embedded_aws, group, code, tmp_path / "log")
    assert process.wait() == 0
    assert messages(embedded_aws, group, 4) == [*written, "of stderr"]
    assert (tmp_path / "log").read_text().splitlines() == [*written, "of stderr"]
    page = client(embedded_aws, "cloudwatch").get_metric_statistics(
        Namespace=namespace,
        MetricName="requests",
        Dimensions=[{"Name": "tenant", "Value": "acme"}, {"Name": "model", "Value": "fraud"}],
        StartTime="2020-01-01T00:00:00Z",
        EndTime="2100-01-01T00:00:00Z",
        Period=86_400 * 36_500,
        Statistics=["Sum"],
    )
    assert [point["Sum"] for point in page["Datapoints"]] == [1]


def test_the_command_has_the_id_and_gets_the_signals(embedded_aws: EmbeddedAws, tmp_path: Path) -> None:
    group = made(embedded_aws)
    code = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('ends'), sys.exit(7)))\n"
        "print(os.getpid())\n"
        "while True: signal.pause()"
    )
    process = start(embedded_aws, group, code, tmp_path / "log")
    assert messages(embedded_aws, group, 1) == [str(process.pid)]
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 7
    assert messages(embedded_aws, group, 2)[1] == "ends"


def test_where_there_is_no_group_the_command_goes_on(embedded_aws: EmbeddedAws, tmp_path: Path) -> None:
    process = start(embedded_aws, "/no/such/group", "print('one'); print('two')", tmp_path / "log")
    assert process.wait() == 0
    while "not in CloudWatch Logs" not in (tmp_path / "log").read_text():
        time.sleep(0.05)
    assert (tmp_path / "log").read_text().startswith("one\n")
