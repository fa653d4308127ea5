"""The managed emulators, run for real: every test here starts processes of its own on free ports."""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from local_aws.emulator import Emulator, EmulatorError, Endpoints

pytestmark = pytest.mark.integration


class Run:
    """An emulator in a directory of its own, with what it reported."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.said: list[str] = []
        self.emulator = Emulator(directory, preferred_port=0, report=self.said.append)
        self.endpoints: Endpoints

    def start(self) -> Endpoints:
        self.endpoints = self.emulator.start()
        return self.endpoints

    def pids(self) -> dict[str, int]:
        return {name: found.pid for name, found in self.emulator.status().items() if found}

    def client(self, service: str, **credentials: str) -> Any:
        known = self.emulator.credentials()
        url = self.endpoints.moto if service in ("sagemaker", "guardduty") else self.endpoints.ministack
        return boto3.client(
            service,
            endpoint_url=url,
            region_name="us-east-1",
            config=Config(signature_version="v4" if service != "s3" else "s3v4"),
            aws_access_key_id=credentials.get("key", known["AWS_ACCESS_KEY_ID"]),
            aws_secret_access_key=credentials.get("secret", known["AWS_SECRET_ACCESS_KEY"]),
        )

    def make_function(self, code: str) -> None:
        """Create the Lambda function `probe` from `code`, whose handler is `handler`."""
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as opened:
            opened.writestr("probe.py", code)
        trust = {
            "Effect": "Allow",
            "Principal": {"Service": "lambda.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
        document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        role = self.client("iam").create_role(RoleName="probe", AssumeRolePolicyDocument=document)
        self.client("lambda").create_function(
            FunctionName="probe",
            Runtime="python3.11",
            Role=role["Role"]["Arn"],
            Handler="probe.handler",
            Timeout=120,
            Code={"ZipFile": archive.getvalue()},
        )


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    made = Run(tmp_path / "local")
    yield made
    made.emulator.stop()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoints]:
    """One emulator for the tests that only look at refusals."""
    made = Run(tmp_path_factory.mktemp("shared"))
    yield made.start()
    made.emulator.stop()


def _until(condition: Callable[[], Any]) -> Any:
    for _ in range(600):
        if result := condition():
            return result
        time.sleep(0.05)
    raise AssertionError("did not come about in 30 s")


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _status_of(url: str, method: str = "GET", headers: dict[str, str] | None = None) -> int:
    request = urllib.request.Request(
        url, method=method, headers=headers or {}, data=b"" if method == "POST" else None
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_start_adopts_what_runs_and_stop_leaves_nothing(run: Run) -> None:
    endpoints = run.start()
    pids = run.pids()
    ports = [int(url.rsplit(":", 1)[1]) for url in (endpoints.ministack, endpoints.moto)]
    run.client("sqs").create_queue(QueueName="kept")

    another = Emulator(run.directory, preferred_port=0)
    assert another.start() == endpoints
    assert another.status() == run.emulator.status()
    run.emulator.stop()

    assert run.pids() == {}
    for pid in pids.values():
        with pytest.raises(ProcessLookupError):
            os.killpg(pid, 0)
    assert not any(map(_listens, ports))
    assert not (run.directory / "aws" / "tmp").exists()

    assert run.start() == endpoints  # the ports are kept
    assert run.client("sqs").get_queue_url(QueueName="kept")
    assert run.emulator.lost_state() is None


def test_racing_starts_share_one_pair_of_processes(run: Run) -> None:
    command = [
        sys.executable,
        "-c",
        "import sys; from pathlib import Path; from local_aws.emulator import Emulator\n",
    ]
    command[-1] += "print(Emulator(Path(sys.argv[1]), preferred_port=0).start())"
    racers = [
        subprocess.Popen([*command, str(run.directory)], stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    answers = {racer.communicate()[0] for racer in racers}
    assert [racer.returncode for racer in racers] == [0, 0, 0]
    assert answers == {f"{run.start()}\n"}


def test_started_processes_outlive_their_starter_and_its_terminal(run: Run) -> None:
    main = "from local_aws import emulator; emulator.main()"
    # setsid gives the starter a session of its own; ending the whole group is what closing a shell does.
    starter = subprocess.Popen(
        [sys.executable, "-c", main + "; import time; time.sleep(60)", "start", "--dir", str(run.directory)],
        start_new_session=True,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "SECRET_OF_THE_USER": "1"},
    )
    assert starter.stdout
    _until(lambda: len(run.pids()) == 2)
    _until(lambda: (run.directory / "aws" / "ports.json").exists())
    os.killpg(starter.pid, signal.SIGHUP)
    starter.communicate()
    run.start()
    assert run.said == []  # adopted


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="reads Linux's socket table")
def test_listens_on_loopback_only(run: Run) -> None:
    run.start()
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()
    ]
    listening = {row[9]: row[1] for row in rows if row[3] == "0A"}
    for pid in run.pids().values():
        links = [str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir() if entry.is_symlink()]
        addresses = [
            listening[link[8:-1]] for link in links if link[:8] == "socket:[" and link[8:-1] in listening
        ]
        assert addresses
        assert {address.split(":")[0] for address in addresses} == {"0100007F"}


def test_the_users_environment_does_not_reach_the_functions(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_USER", "1")
    run.start()
    root = run.emulator.credentials()
    code = (
        "import os, sys\ndef handler(event, context): return {'environ': dict(os.environ), 'path': sys.path}"
    )
    run.make_function(code)
    seen = json.load(run.client("lambda").invoke(FunctionName="probe")["Payload"])
    assert "SECRET_OF_THE_USER" not in seen["environ"]
    assert seen["environ"]["HOME"].startswith(str(run.directory))
    assert not set(root.values()) & set(seen["environ"].values())
    assert not [entry for entry in seen["path"] if entry and (Path(entry) / "local_aws").exists()]


def test_who_may_describe_metric_alarms_may_do_nothing_else(run: Run) -> None:
    run.start()
    iam = run.client("iam")
    iam.create_user(UserName="watcher")
    alarms = "arn:aws:cloudwatch:us-east-1:000000000000:alarm:*"
    statement = {"Effect": "Allow", "Action": ["cloudwatch:DescribeAlarms"], "Resource": [alarms]}
    document = {"Version": "2012-10-17", "Statement": [statement]}
    iam.put_user_policy(UserName="watcher", PolicyName="watch", PolicyDocument=json.dumps(document))
    made = iam.create_access_key(UserName="watcher")["AccessKey"]
    watcher = run.client("cloudwatch", key=made["AccessKeyId"], secret=made["SecretAccessKey"])
    assert watcher.describe_alarms(AlarmNames=["slow", "wrong"])["MetricAlarms"] == []
    with pytest.raises(ClientError, match="not authorized to perform: cloudwatch:DeleteAlarms"):
        watcher.delete_alarms(AlarmNames=["slow"])


def test_only_the_root_key_of_this_checkout_is_let_in(run: Run) -> None:
    endpoints = run.start()
    key_file = run.directory / "aws" / "credentials.json"
    assert key_file.stat().st_mode & 0o077 == 0
    own = run.emulator.credentials()
    assert run.client("sts").get_caller_identity()["Arn"].endswith(":root")
    for key, secret in [
        (own["AWS_ACCESS_KEY_ID"], "test"),
        ("test", "test"),
        ("test", own["AWS_SECRET_ACCESS_KEY"]),
        ("000000000000", own["AWS_SECRET_ACCESS_KEY"]),
        ("AKIAIOSFODNN7EXAMPLE", own["AWS_SECRET_ACCESS_KEY"]),
    ]:
        for service, call in [("lambda", "list_functions"), ("s3", "list_buckets"), ("iam", "list_roles")]:
            with pytest.raises(ClientError) as refused:
                getattr(run.client(service, key=key, secret=secret), call)()
            assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert _status_of(f"{endpoints.moto}/", "POST", {"X-Amz-Target": "SageMaker.ListModels"}) == 403
    assert run.client("sagemaker").list_models()["Models"] == []


_SCOPE = "20260101/us-east-1/lambda/aws4_request"
_SIGNED = f"AWS4-HMAC-SHA256 Credential=test/{_SCOPE}"
_S3_CREDENTIAL = "X-Amz-Credential=test/20260101/us-east-1/s3/aws4_request"
_S3_PRESIGN = f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=00&{_S3_CREDENTIAL}"
_ECR_TARGET = "AmazonEC2ContainerRegistry_V20150921.DescribeRepositories"


@pytest.mark.parametrize("query", ["", "AWSAccessKeyId=test", f"X-Amz-Credential=test/{_SCOPE}", _S3_PRESIGN])
@pytest.mark.parametrize("authorization", [None, "x", "AWS4-HMAC-SHA256 x", _SIGNED])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/2015-03-31/functions"),
        ("POST", "/2015-03-31/functions"),
        ("GET", "/"),
        ("GET", "/_aws/execute-api"),
        ("PUT", "/oauth2/token"),
        ("OPTIONS", "/2015-03-31/functions"),
    ],
)
def test_a_request_that_nobody_signed_is_refused(
    shared: Endpoints, method: str, path: str, authorization: str | None, query: str
) -> None:
    headers = {"X-Amz-Target": _ECR_TARGET}
    headers |= {"Authorization": authorization} if authorization else {}
    assert _status_of(f"{shared.ministack}{path}?{query}", method, headers) == 403


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/_ministack/health", 200),
        ("POST", "/_aws/execute-api/0123abcd/local/v2/models/digits/infer", 404),
        ("OPTIONS", "/_aws/execute-api/0123abcd/local/v2", 404),
        ("POST", "/oauth2/token", 400),
        ("GET", "/us-east-1_none/.well-known/openid-configuration", 404),
    ],
)
def test_what_aws_serves_without_a_signature_is_served(
    shared: Endpoints, method: str, path: str, status: int
) -> None:
    assert _status_of(shared.ministack + path, method, {"Authorization": "Bearer a-token"}) == status


def test_open_documents_route_by_their_path_alone(shared: Endpoints) -> None:
    document = f"{shared.ministack}/us-east-1_none/.well-known/jwks.json"
    headers = {
        "Authorization": "x",
        "X-Amz-Target": "AmazonEC2ContainerRegistry_V20150921.DescribeRepositories",
    }
    assert _status_of(document, headers=headers) == 404
    assert _status_of(f"{document}?Action=ListRoles&Version=2010-05-08", headers=headers) == 404


def test_a_lambda_role_may_do_what_its_policy_says_and_no_more(run: Run) -> None:
    run.start()
    code = "import boto3\ndef handler(event, context): "
    run.make_function(code + "return len(boto3.client('sqs').list_queues()['QueueUrls'])")
    run.client("sqs").create_queue(QueueName="jobs")
    refused = json.load(run.client("lambda").invoke(FunctionName="probe")["Payload"])
    assert "AccessDenied" in refused["errorMessage"]
    statement = {"Effect": "Allow", "Action": "sqs:ListQueues", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    run.client("iam").put_role_policy(RoleName="probe", PolicyName="list", PolicyDocument=document)
    assert json.load(run.client("lambda").invoke(FunctionName="probe")["Payload"]) == 1


def test_presigned_urls_work_until_they_are_changed(run: Run) -> None:
    run.start()
    url, keys = (
        run.endpoints.ministack,
        {name.lower(): value for name, value in run.emulator.credentials().items()},
    )
    bucket = boto3.client("s3", endpoint_url=url, config=Config(signature_version="s3v4"), **keys)
    bucket.create_bucket(Bucket="uploads")
    upload = bucket.generate_presigned_url("put_object", Params={"Bucket": "uploads", "Key": "a"})
    request = urllib.request.Request(upload, method="PUT", data=b"bytes", headers={"Content-Type": ""})
    assert urllib.request.urlopen(request, timeout=30).status == 200
    download = bucket.generate_presigned_url("get_object", Params={"Bucket": "uploads", "Key": "a"})
    assert urllib.request.urlopen(download, timeout=30).read() == b"bytes"
    assert _status_of(download.replace("/a?", "/b?")) == 403


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/_ministack/reset"),
        ("POST", "/_ministack/config"),
        ("GET", "/_ministack/checkpoint"),
        ("GET", "/_ministack/lambda-code/probe"),
        ("GET", "/_ministack/sqs/messages"),
    ],
)
def test_administration_is_closed(shared: Endpoints, method: str, path: str) -> None:
    assert _status_of(shared.ministack + path, method) == 403


def test_a_proxy_of_the_user_is_not_asked_for_loopback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    for variable in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    run.start()
    run.emulator.checkpoint()


def test_a_kept_port_taken_by_a_stranger_is_left_to_it(run: Run) -> None:
    taken = int(run.start().ministack.rsplit(":", 1)[1])
    run.emulator.stop()
    with socket.create_server(("127.0.0.1", taken)):
        moved = run.start().ministack
        assert moved != f"http://127.0.0.1:{taken}"
        assert run.client("sts").get_caller_identity()
        assert any(f"port {taken} is taken by another program" in line for line in run.said)
        assert f"port {taken} is taken" in (run.emulator.lost_state() or "")
    assert run.start().ministack == moved


def test_a_killed_emulator_is_replaced_and_its_loss_is_told(run: Run) -> None:
    run.start()
    run.client("sqs").create_queue(QueueName="saved")
    run.client("s3").create_bucket(Bucket="saved")
    run.emulator.checkpoint()
    run.client("s3").put_object(Bucket="saved", Key="late", Body=b"bytes")
    run.client("sqs").create_queue(QueueName="late")
    killed = run.pids()["ministack"]
    os.kill(killed, signal.SIGKILL)
    _until(lambda: "ministack" not in run.pids())

    run.start()
    assert run.pids()["ministack"] != killed
    assert "ministack was killed" in (run.emulator.lost_state() or "")
    assert run.client("sqs").get_queue_url(QueueName="saved")
    assert run.client("s3").get_object(Bucket="saved", Key="late")["Body"].read() == b"bytes"
    with pytest.raises(ClientError):
        run.client("sqs").get_queue_url(QueueName="late")

    run.emulator.state_recovered()
    run.emulator.stop()
    run.start()
    assert run.emulator.lost_state() is None


def test_moto_that_was_used_is_told_as_lost_after_a_restart(run: Run) -> None:
    run.start()
    run.emulator.stop()
    run.start()
    assert run.emulator.lost_state() is None
    run.client("guardduty").create_detector(Enable=True)
    run.emulator.stop()
    run.start()
    assert "moto was restarted" in (run.emulator.lost_state() or "")


@pytest.mark.parametrize("killed", [False, True], ids=["stopped", "killed"])
def test_busy_lambda_workers_end_with_the_emulator(run: Run, tmp_path: Path, killed: bool) -> None:
    run.start()
    mark = tmp_path / "worker"
    code = f"import os, pathlib, time\ndef handler(event, context):\n  pathlib.Path({str(mark)!r})"
    run.make_function(code + ".write_text(str(os.getpid())); time.sleep(100)")
    run.client("lambda").invoke(FunctionName="probe", InvocationType="Event")
    worker = int(_until(lambda: mark.exists() and mark.read_text()))
    assert _lives(worker)
    if killed:
        os.kill(run.pids()["ministack"], signal.SIGKILL)
        _until(lambda: "ministack" not in run.pids())
        run.start()
    else:
        run.emulator.stop()
    _until(lambda: not _lives(worker))


def test_the_stale_pid_of_another_process_is_not_touched(run: Run) -> None:
    bystander = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(100)"], start_new_session=True
    )
    try:
        (run.directory / "aws").mkdir(parents=True)
        record = json.dumps({"pid": bystander.pid, "port": 1})
        (run.directory / "aws" / "ministack.pid").write_text(record)
        assert run.pids() == {}
        run.emulator.stop()
        run.start()
        assert run.pids()["ministack"] != bystander.pid
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_an_emulator_that_hangs_is_killed_on_stop(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local_aws.emulator_process.STOP_SECONDS", 1)
    run.start()
    frozen = run.pids()["ministack"]
    os.kill(frozen, signal.SIGSTOP)
    run.emulator.stop()
    assert not _lives(frozen)
    assert any("ministack did not stop in 1 s: killed" in line for line in run.said)


def test_a_start_that_fails_shows_the_end_of_the_log(run: Run) -> None:
    (run.directory / "aws").mkdir(parents=True)
    (run.directory / "aws" / "credentials.json").write_text('{"AWS_SECRET_ACCESS_KEY": "x"}')
    with pytest.raises(EmulatorError, match=r"(?s)moto does not start; .*KeyError: 'AWS_ACCESS_KEY_ID"):
        run.start()


def test_checkpoint_of_a_stopped_emulator_is_refused(run: Run) -> None:
    with pytest.raises(EmulatorError, match="not running"):
        run.emulator.checkpoint()
