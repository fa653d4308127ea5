"""What the running platform tells of itself: metrics, alarms, queries, and never a payload or a secret.

The embedded AWS makes no metrics of API Gateway, SQS, metric filters and the embedded metric format. Where a
test needs them, it puts what AWS would make of what really happened here. Alarms look at the metric's name
alone there, not at its dimensions; `tests/integration/test_watched_metrics.py` holds those.
"""

import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from components import metric
from components.alarms import model_alarms
from components.api_routes import STAGE
from components.audit_events import AUDIT_EVENTS
from components.log_queries import QUERIES
from components.names import Names
from components.watch import ModelWatch, Site
from inferctl.client import Client
from inferctl.session import Session
from local_aws.completions.filter_patterns import matches
from tests.e2e import insights
from tests.e2e.listener import listening

PREFIX = "inference-platform-local"
MODEL_LOGS = f"/aws/lambda/{PREFIX}-model-digits"
CANARY = f"{PREFIX}-canary"
COLD_STARTS = 100
"""Rows that the query on cold starts gives at most."""
GLOBEX = 30
"""Requests at once of a tenant whose usage plan has a burst of 5."""
IMAGE = {"name": "image", "datatype": "FP32", "shape": [1, 64], "data": [0.0] * 64}


def events(client: Client, group: str, **window: int) -> list[dict[str, Any]]:
    pages = client.aws("logs").get_paginator("filter_log_events").paginate(logGroupName=group, **window)
    return [event for page in pages for event in page["events"]]


def groups(client: Client) -> list[str]:
    pages = client.aws("logs").get_paginator("describe_log_groups").paginate()
    return [group["logGroupName"] for page in pages for group in page["logGroups"]]


def lines(held: Sequence[Mapping[str, Any]], message: str = "") -> list[dict[str, Any]]:
    """Our own lines among log events: all, or those of one message."""
    found = [json.loads(event["message"]) for event in held if event["message"].startswith("{")]
    return [line for line in found if message in ("", line["message"])]


def ask(client: Client, body: Any, headers: Mapping[str, str], path: str = "digits/infer") -> httpx.Response:
    content = body if isinstance(body, str) else json.dumps(body)
    return httpx.post(
        f"{client.url}/v2/models/{path}",
        content=content,
        headers={"content-type": "application/json", **headers},
        timeout=60,
    )


@pytest.fixture(scope="module")
def headers(client: Client) -> dict[str, str]:
    return client.headers("acme")


@pytest.fixture(scope="module")
def told(client: Client) -> Iterator[Callable[[str, str], bool]]:
    """Whether the alert topic told that an alarm is in a state, as a subscriber of it hears."""
    sqs = client.aws("sqs")
    heard: list[dict[str, Any]] = []
    with listening(client) as url:

        def listen(alarm: str, state: str) -> bool:
            for _ in range(40):
                for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
                    heard.append(json.loads(json.loads(message["Body"])["Message"]))
                    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                if any(m.get("AlarmName") == alarm and m.get("NewStateValue") == state for m in heard):
                    return True
                time.sleep(0.25)
            return False

        yield listen


@pytest.fixture
def cloudwatch(client: Client) -> Any:
    return client.aws("cloudwatch")


def state(cloudwatch: Any, alarm: str) -> str:
    found = cloudwatch.describe_alarms(AlarmNames=[alarm], AlarmTypes=["MetricAlarm", "CompositeAlarm"])
    alarms: list[Any] = [*found["MetricAlarms"], *found.get("CompositeAlarms", [])]
    assert len(alarms) == 1
    return str(alarms[0]["StateValue"])


def put(cloudwatch: Any, watched: metric.Metric, values: Sequence[float], age_s: float = 0) -> None:
    """What AWS would have emitted `age_s` ago."""
    dimensions = [{"Name": name, "Value": value} for name, value in watched.dimensions.items()]
    cloudwatch.put_metric_data(
        Namespace=watched.namespace,
        MetricData=[
            {
                "MetricName": watched.name,
                "Dimensions": dimensions,
                "Timestamp": time.time() - age_s,
                "Value": value,
            }
            for value in values
        ],
    )


def test_our_code_emits_the_metrics_that_are_watched(client: Client, headers: dict[str, str]) -> None:
    assert ask(client, {"inputs": [IMAGE]}, headers).status_code == 200
    answer = client.aws("lambda").invoke(FunctionName=CANARY)
    assert json.loads(answer["Payload"].read())["digits"] == "ok"
    emitted = {}
    for group in (MODEL_LOGS, f"/aws/lambda/{CANARY}"):
        for line in lines(events(client, group)):
            for directive in line.get("_aws", {}).get("CloudWatchMetrics", ()):
                assert directive["Namespace"] == metric.PLATFORM
                names = {each["Name"] for each in directive["Metrics"]}
                dimensions = [set(each) for each in directive["Dimensions"]]
                assert all(name in line for name in names.union(*dimensions)), line
                emitted[line["message"]] = (names, tuple(dimensions))
    # The drift of a model is measured where deliveries are tried.
    assert emitted == {kind: of for kind, of in metric.EMITTED_BY_US.items() if kind != "drift"}


SITE = Site(
    names=Names(
        platform="inference-platform", environment="local", account_id="000000000000", region="us-east-1"
    ),
    stage=STAGE,
)
DIGITS = ModelWatch(model="digits", backend="lambda", jobs=True)


@pytest.mark.parametrize(
    ("alarm", "watched", "bad", "good", "age_s"),
    [
        pytest.param("api-5xx", metric.api(PREFIX, STAGE, "5XXError"), 1, 0, 590, id="errors"),
        pytest.param(
            "digits-throttles",
            metric.function(f"{PREFIX}-model-digits", "Throttles"),
            3,
            0,
            290,
            id="more requests than it takes",
        ),
        pytest.param("digits-p99", DIGITS.infer(SITE, "Latency"), 5000, 20, 890, id="slow answers"),
        pytest.param("digits-canary", metric.canary("digits", "canary_faults"), 1, 0, 1790, id="canary"),
        pytest.param("trail-stopped", metric.audit("TrailStopped"), 1, 0, 290, id="stopped trail"),
        pytest.param(
            "digits-dead-letters",
            DIGITS.dead_letters(SITE, "ApproximateNumberOfMessagesVisible"),
            7,
            0,
            290,
            id="dead letters",
        ),
    ],
)
def test_trouble_rings_and_tells_and_its_end_does_too(
    alarm: str,
    watched: metric.Metric,
    bad: float,
    good: float,
    age_s: float,
    client: Client,
    told: Callable[[str, str], bool],
    cloudwatch: Any,
) -> None:
    """Trouble is put so far back that it leaves the alarm's window in ten seconds."""
    name = f"{PREFIX}-{alarm}"
    if not cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]:
        _make(cloudwatch, alarm, client.outputs["alerts_topic"])
    put(cloudwatch, watched, [bad] * 20, age_s)
    teller = f"{PREFIX}-digits-objectives" if alarm == "digits-p99" else name
    assert state(cloudwatch, name) == "ALARM"
    assert told(teller, "ALARM")
    for _ in range(60):
        put(cloudwatch, watched, [good])
        if state(cloudwatch, name) == "OK":
            break
        time.sleep(0.5)
    assert state(cloudwatch, name) == "OK"
    assert alarm == "digits-p99" or told(teller, "OK")


def _make(cloudwatch: Any, role: str, topic_arn: str) -> None:
    """An alarm of `model_alarms` that this platform has no queue for."""
    [alarm] = [each for each in model_alarms(SITE, DIGITS) if each.role == role]
    cloudwatch.put_metric_alarm(
        AlarmName=f"{PREFIX}-{role}",
        Namespace=alarm.metric.namespace,
        MetricName=alarm.metric.name,
        Dimensions=[{"Name": name, "Value": value} for name, value in alarm.metric.dimensions.items()],
        Statistic=alarm.stat,
        Threshold=alarm.threshold,
        ComparisonOperator="GreaterThanThreshold",
        Period=alarm.period_s,
        EvaluationPeriods=alarm.periods,
        AlarmActions=[topic_arn],
        OKActions=[topic_arn],
    )


def test_fast_burn_rings_the_models_objectives_once(
    client: Client, told: Callable[[str, str], bool], cloudwatch: Any
) -> None:
    put(cloudwatch, DIGITS.infer(SITE, "5XXError"), [1] * 50)
    assert state(cloudwatch, f"{PREFIX}-digits-burn-fast-long") == "ALARM"
    assert state(cloudwatch, f"{PREFIX}-digits-burn-fast-short") == "ALARM"
    assert state(cloudwatch, f"{PREFIX}-digits-objectives") == "ALARM"
    assert told(f"{PREFIX}-digits-objectives", "ALARM")


def test_a_trail_that_is_stopped_is_what_the_filter_finds(client: Client) -> None:
    """The trail is stopped for good and started again. CloudTrail's record of each call is written by hand,
    for the embedded AWS keeps none, and so is the filter run: it finds the stop and not the start.
    """
    trail = client.aws("cloudtrail")
    filters = client.aws("logs").describe_metric_filters(logGroupName=f"/aws/cloudtrail/{PREFIX}")
    patterns = {each["filterName"]: each["filterPattern"] for each in filters["metricFilters"]}
    assert patterns == {role: event.pattern for role, event in AUDIT_EVENTS.items()}
    trail.stop_logging(Name=f"{PREFIX}-trail")
    try:
        assert trail.get_trail_status(Name=f"{PREFIX}-trail")["IsLogging"] is False
    finally:
        trail.start_logging(Name=f"{PREFIX}-trail")
    assert trail.get_trail_status(Name=f"{PREFIX}-trail")["IsLogging"] is True
    stopped, started = (
        {
            "eventType": "AwsApiCall",
            "eventSource": "cloudtrail.amazonaws.com",
            "eventName": name,
            "userIdentity": {"type": "IAMUser", "userName": "operator"},
        }
        for name in ("StopLogging", "StartLogging")
    )
    assert [role for role, pattern in patterns.items() if matches(pattern, stopped)] == ["trail-stopped"]
    assert [role for role, pattern in patterns.items() if matches(pattern, started)] == []


def test_queries_on_the_models_logs_find_what_happened(client: Client, headers: dict[str, str]) -> None:
    """Errors are looked for since the test began: the embedded AWS gives the oldest 10,000 events at most."""
    began = int(time.time() * 1e3)
    wrong = {"inputs": [{**IMAGE, "shape": [1, 3], "data": [0.0] * 3}]}
    assert ask(client, wrong, headers).status_code == 400
    held = events(client, MODEL_LOGS, startTime=began)
    errors = insights.run(QUERIES["errors-by-model"][1], held)
    assert {"model": "digits", "version": "v1", "status": 400} in [
        {name: row[name] for name in ("model", "version", "status")} for row in errors
    ]
    assert sum(row["requests"] for row in errors) == sum(
        line["status"] >= 400 for line in lines(held, "request")
    )
    first = events(client, MODEL_LOGS)
    newest = sorted(first, key=lambda event: event["timestamp"], reverse=True)
    started = [line["request_id"] for line in lines(newest, "request") if line["cold_start"]]
    assert started
    cold = insights.run(QUERIES["cold-starts"][1], first)
    assert [row["request_id"] for row in cold] == started[:COLD_STARTS]


@pytest.fixture
def access_log(client: Client, session: Session, headers: dict[str, str]) -> list[dict[str, Any]]:
    """Lines as the stage's own format writes them of real requests, for the embedded AWS writes none."""
    stage = client.aws("apigateway").get_stage(restApiId=client.outputs["api_id"], stageName=STAGE)
    form = json.loads(stage["accessLogSettings"]["format"])

    def line(tenant: str, theirs: Mapping[str, str]) -> dict[str, Any]:
        started = time.time()
        answer = ask(client, {"inputs": [IMAGE]}, theirs)
        context = {
            "$context.authorizer.tenant": tenant,
            "$context.status": str(answer.status_code),
            "$context.responseLatency": str(round((time.time() - started) * 1e3)),
            "$context.resourcePath": "/v2/models/digits/infer",
            "$context.error.responseType": "THROTTLED" if answer.status_code == 429 else "-",
        }
        document = {name: context.get(variable, "-") for name, variable in form.items()}
        return {"timestamp": int(started * 1e3), "message": json.dumps(document)}

    with ThreadPoolExecutor(GLOBEX) as together:
        globex = list(together.map(line, ["globex"] * GLOBEX, [client.headers("globex")] * GLOBEX))
    return [*globex, *(line("acme", headers) for _ in range(4))]


def test_queries_on_the_access_log_find_tenants_and_throttles(access_log: list[dict[str, Any]]) -> None:
    documents = [json.loads(event["message"]) for event in access_log]
    throttled = [line for line in documents if line["status"] == "429"]
    assert throttled, "globex's burst of 5 must not take 30 requests at once"
    rows = insights.run(QUERIES["throttled-tenants"][1], access_log)
    assert [(row["tenant"], row["requests"]) for row in rows] == [("globex", len(throttled))]
    volumes = insights.run(QUERIES["tenants-by-volume"][1], access_log)
    assert [(row["tenant"], row["requests"]) for row in volumes] == [("globex", GLOBEX), ("acme", 4)]
    slowest = insights.run(QUERIES["slowest-requests"][1], access_log)
    assert len(slowest) == GLOBEX + 4
    assert set(slowest[0]) >= {"tenant", "route", "status", "latencyMs", "requestId"}


@pytest.fixture
def secrets(client: Client, headers: dict[str, str]) -> Iterator[list[str]]:
    """Marked payloads and credentials, sent through every path that a client has."""
    mark = f"MARKED{uuid.uuid4().hex}"
    number = 7.123456789
    token, key = headers["Authorization"].removeprefix("Bearer "), headers["x-api-key"]
    sound = {"id": mark, "inputs": [{**IMAGE, "data": [number] * 64}], "parameters": {"note": mark}}
    bodies: list[Any] = [
        sound,
        {"inputs": [{**IMAGE, "name": mark}]},
        {"inputs": [{**IMAGE, "data": [mark] * 64}]},
        f'{{"inputs": "{mark}',
        {mark: mark},
    ]
    for body in bodies:
        ask(client, body, headers)
    ask(client, sound, {**headers, "Authorization": f"Bearer {mark}.{mark}.{mark}"})
    ask(client, sound, {**headers, "Authorization": f"Basic {mark}"})
    ask(client, sound, {**headers, "x-api-key": mark})
    ask(client, sound, {**headers, "x-note": mark, "x-request-id": mark})
    ask(client, sound, headers, path=f"digits/infer?note={mark}")
    httpx.get(f"{client.url}/v2/models/digits", headers={**headers, "x-note": mark}, timeout=60)
    client.aws("lambda").invoke(FunctionName=CANARY)
    signature = token.rpartition(".")[2]
    yield [mark, str(number), token, signature, key, client.api_key("canary")]


def test_no_log_metric_or_alarm_holds_a_payload_a_token_or_a_key(client: Client, secrets: list[str]) -> None:
    """Traces hold what functions add to them, and none of ours adds anything: X-Ray is not embedded."""
    cloudwatch = client.aws("cloudwatch")
    texts = {group: json.dumps(events(client, group)) for group in groups(client)}
    assert sum('"request' in text for text in texts.values()) >= 1
    texts["metrics"] = json.dumps(cloudwatch.list_metrics()["Metrics"])
    texts["alarms"] = json.dumps(cloudwatch.describe_alarms(), default=str)
    stage = client.aws("apigateway").get_stage(restApiId=client.outputs["api_id"], stageName=STAGE)
    texts["access log format"] = stage["accessLogSettings"]["format"]
    for secret in secrets:
        assert [where for where, text in texts.items() if secret in text] == []
    variables = set(json.loads(stage["accessLogSettings"]["format"]).values())
    assert not [
        v for v in variables if any(word in v for word in ("apiKey", "body", "header", "claims", "path."))
    ]
