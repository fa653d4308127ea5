"""Trouble on the running platform brings the right alarms to ALARM, is told, and its end clears them.

Everything is provoked, and no metric is put by hand. An alarm looks back 5 to 60 minutes. That the end of the
trouble clears it is seen on a twin: the same alarm with a period of 10 seconds, and nothing else that differs
unless its test says so. Tests may come in any order, after others that left an alarm ringing: so the twin is
new, and the alarm itself is set to OK first, as operators do to try one.
"""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError

from components.alarms import model_alarms
from components.api_routes import STAGE
from components.audit_events import AUDIT_EVENTS
from components.watch import ModelWatch, Site
from inferctl import servers
from inferctl.client import Client
from inferctl.jobs import platform_of
from naming import Names
from tests.e2e.alarms import PREFIX, TWIN_S, Alarms
from tests.e2e.listener import listening

TRAIL = f"{PREFIX}-trail"
IMAGE = {"name": "image", "datatype": "FP32", "shape": [1, 64], "data": [0.0] * 64}
SLOW, ENOUGH_FOR_P99 = 60, 1000
"""Requests that are slow, and requests without which a 99th percentile says nothing."""


@pytest.fixture
def alarms(client: Client) -> Iterator[Alarms]:
    with listening(client) as url:
        made = Alarms(client, url)
        yield made
        if made.twins:
            made.cloudwatch.delete_alarms(AlarmNames=made.twins)


@pytest.fixture(scope="module")
def ask(client: Client) -> Callable[..., int]:
    """Ask a model; the status of the answer."""
    headers = client.headers("acme")

    def asked(model: str, body: Any = None, **other: str) -> int:
        url = f"{client.url}/v2/models/{model}/infer"
        content = {"inputs": [IMAGE]} if body is None else body
        return httpx.post(url, json=content, headers={**headers, **other}, timeout=60).status_code

    return asked


def test_a_model_that_fails_rings_its_own_alarms(alarms: Alarms, ask: Callable[..., int]) -> None:
    """The language model: it needs a GPU, and there is none."""
    fast = ("llama-burn-fast-long", "llama-burn-fast-short")
    names = Names(
        platform="inference-platform", environment="local", account_id="000000000000", region="us-east-1"
    )
    site = Site(names=names, stage=STAGE)
    [other] = [
        alarm
        for alarm in model_alarms(site, ModelWatch(model="other", backend="eks"))
        if alarm.role == "other-burn-fast-short"
    ]
    alarms.put(
        other.role,
        Namespace=other.metric.namespace,
        MetricName=other.metric.name,
        Dimensions=[{"Name": name, "Value": value} for name, value in other.metric.dimensions.items()],
        Statistic=other.stat,
        Threshold=other.threshold,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData=other.missing,
    )
    alarms.until("OK", "other-burn-fast-short")
    alarms.quiet(*fast, "llama-objectives", "api-5xx")
    twin = alarms.twin("llama-burn-fast-short")

    def fail() -> None:
        assert {ask("llama") for _ in range(10)} == {503}

    alarms.until("ALARM", "llama-objectives", "api-5xx", twin, meanwhile=fail)
    assert [alarms.state(alarm) for alarm in fast] == ["ALARM", "ALARM"]
    assert alarms.state("other-burn-fast-short") == "OK"
    alarms.until("OK", twin)


@contextmanager
def stalled(local_dir: Path, server: str) -> Iterator[None]:
    """A process that gets no time, as on a machine with too much to do."""
    pid = servers.processes(local_dir).running(server)
    assert pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_model_that_is_slow_does_not_meet_its_objectives(
    alarms: Alarms, ask: Callable[..., int], local_dir: Path
) -> None:
    """The twin looks at the slowest answer: ten seconds have no 99th percentile."""
    alarms.quiet("fraud-p99", "fraud-objectives")
    twin = alarms.twin("fraud-p99", Statistic="Maximum")
    with ThreadPoolExecutor(SLOW) as together:
        with stalled(local_dir, "endpoint-fraud"):
            answers = [together.submit(ask, "fraud") for _ in range(SLOW)]
            time.sleep(2)
        assert {answer.result() for answer in answers} == {200}
    alarms.until("ALARM", twin)
    with ThreadPoolExecutor(4) as together:  # answered by the gateway, which finds no tensor in them
        quick = list(together.map(lambda _: ask("fraud", {}), range(ENOUGH_FOR_P99)))
    assert set(quick) <= {400, 429}
    alarms.until("ALARM", "fraud-objectives")
    assert alarms.state("fraud-p99") == "ALARM"
    alarms.until("OK", twin)


def test_the_canary_rings_for_the_model_that_answers_wrongly_alone(alarms: Alarms, client: Client) -> None:
    """Its golden request expects what the model does not answer. No song is no good news, so the canary must
    sing again for the alarm to end; and not too often, for its client has a rate of its own.
    """
    bucket, s3 = client.outputs["models_bucket"], client.aws("s3")
    key = "models/fraud/v1/manifest.json"
    right = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    wrong = json.loads(right)
    wrong["golden"][0]["outputs"][0]["data"] = [10]

    def sing() -> dict[str, str]:
        answer = client.aws("lambda").invoke(FunctionName=f"{PREFIX}-canary")
        heard: dict[str, str] = json.loads(answer["Payload"].read())
        return heard

    alarms.quiet("fraud-canary")
    twin, other = alarms.twin("fraud-canary"), alarms.twin("digits-canary")
    s3.put_object(Bucket=bucket, Key=key, Body=json.dumps(wrong))
    try:
        heard = sing()
    finally:
        s3.put_object(Bucket=bucket, Key=key, Body=right)
    assert heard["digits"] == "ok"
    assert "differs from the expected one" in heard["fraud"]
    alarms.until("ALARM", "fraud-canary", twin)
    assert alarms.state(other) == "OK"

    def sing_again() -> None:
        time.sleep(TWIN_S / 2)
        assert sing()["fraud"] == "ok"

    alarms.until("OK", twin, meanwhile=sing_again)


def test_more_requests_than_a_function_takes_ring(alarms: Alarms, client: Client) -> None:
    function, functions = f"{PREFIX}-model-digits", client.aws("lambda")
    before = functions.get_function_concurrency(FunctionName=function)["ReservedConcurrentExecutions"]
    alarms.quiet("digits-throttles")
    twin = alarms.twin("digits-throttles")
    functions.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
    try:
        with pytest.raises(ClientError, match="TooManyRequests"):
            functions.invoke(FunctionName=function)
    finally:
        functions.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=before)
    alarms.until("ALARM", "digits-throttles", twin)
    alarms.until("OK", twin)


def test_refused_tokens_ring_as_errors_of_the_authorizer(alarms: Alarms, ask: Callable[..., int]) -> None:
    alarms.quiet("authorizer-errors")
    twin = alarms.twin("authorizer-errors", Threshold=0)
    for number in range(51):
        assert ask("digits", Authorization=f"Bearer no.token.{number}") in (401, 403)
    alarms.until("ALARM", "authorizer-errors", twin)
    alarms.until("OK", twin)


def test_a_job_that_fails_for_good_rings_until_its_letter_is_gone(alarms: Alarms, client: Client) -> None:
    platform = platform_of(client)
    key, url = f"input/fraud/acme/alarms-{time.time_ns()}.jsonl", platform.routes["fraud"].dead_letters_url
    alarms.quiet("fraud-dead-letters")
    twin = alarms.twin("fraud-dead-letters")
    platform.s3.put_object(Bucket=platform.bucket, Key=key, Body='{"image": [1]}'.encode("utf-16"))
    alarms.until("ALARM", "fraud-dead-letters", twin)
    letters = platform.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0)
    [ours] = [letter for letter in letters["Messages"] if key in letter["Body"]]
    platform.sqs.delete_message(QueueUrl=url, ReceiptHandle=ours["ReceiptHandle"])
    alarms.until("OK", twin)


def test_a_job_that_nobody_works_on_rings_until_it_is_cancelled(alarms: Alarms, client: Client) -> None:
    """The language model has no worker here. Twin and alarm differ in the age, too, of 15 minutes."""
    headers, platform = client.headers("acme"), platform_of(client)
    twin = alarms.twin("llama-queue-age", Threshold=2)
    rows = {"rows": [{"messages": [{"role": "user", "content": "hello"}]}]}
    job = httpx.post(f"{client.url}/v2/models/llama/jobs", json=rows, headers=headers, timeout=60)
    assert job.status_code == 202, job.text
    try:
        alarms.until("ALARM", twin)
    finally:
        httpx.post(f"{client.url}/v2/jobs/{job.json()['id']}/cancel", headers=headers, timeout=60)
        platform.sqs.purge_queue(QueueUrl=platform.routes["llama"].queue_url)
    alarms.until("OK", twin)


def stop_the_trail(client: Client) -> None:
    trails = client.aws("cloudtrail")
    trails.stop_logging(Name=TRAIL)
    try:
        assert trails.get_trail_status(Name=TRAIL)["IsLogging"] is False
    finally:
        trails.start_logging(Name=TRAIL)
    assert trails.get_trail_status(Name=TRAIL)["IsLogging"] is True


def lose_a_key(client: Client) -> None:
    kms = client.aws("kms")
    kms.schedule_key_deletion(KeyId=kms.create_key()["KeyMetadata"]["KeyId"], PendingWindowInDays=7)


def change_iam(client: Client) -> None:
    iam = client.aws("iam")
    iam.create_user(UserName="alarms")
    iam.delete_user(UserName="alarms")


def try_what_is_not_allowed(client: Client) -> None:
    iam = client.aws("iam")
    iam.create_user(UserName="curious")
    made = iam.create_access_key(UserName="curious")["AccessKey"]
    try:
        key = {
            "AWS_ACCESS_KEY_ID": made["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": made["SecretAccessKey"],
        }
        theirs = replace(client, credentials=key).aws("iam")
        for _ in range(AUDIT_EVENTS["unauthorised-calls"].threshold + 1):
            with pytest.raises(ClientError, match="not authorized"):
                theirs.list_users()
    finally:
        iam.delete_access_key(UserName="curious", AccessKeyId=made["AccessKeyId"])
        iam.delete_user(UserName="curious")


@pytest.mark.parametrize(
    ("alarm", "act"),
    [
        ("trail-stopped", stop_the_trail),
        ("key-deletion", lose_a_key),
        ("iam-change", change_iam),
        ("unauthorised-calls", try_what_is_not_allowed),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_what_the_trail_tells_rings(
    alarm: str, act: Callable[[Client], None], alarms: Alarms, client: Client
) -> None:
    """All but root's, whom nobody can be here; `tests/components/test_audit.py` holds that one's pattern."""
    alarms.quiet(alarm)
    twin = alarms.twin(alarm)
    act(client)
    alarms.until("ALARM", alarm, twin)
    alarms.until("OK", twin)
