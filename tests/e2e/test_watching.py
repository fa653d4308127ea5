"""What the running platform tells of itself: metrics, queries, and never a payload or a secret.

The embedded AWS writes no access log. Where a test needs its lines, it writes what AWS would write of the
requests that it sent. Alarms have `test_alarms.py`.
"""

import json
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from components import metric
from components.api_routes import STAGE
from components.log_queries import QUERIES
from inferctl.client import Client
from inferctl.session import Session
from local_aws import ports
from tests.e2e import insights

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
                # What a tenant used stands in the line of a request, too.
                kind = "usage" if {"tenant", "model"} in dimensions else line["message"]
                emitted[kind] = (names, tuple(dimensions))
    # The drift of a model is measured where deliveries are tried.
    assert emitted == {kind: of for kind, of in metric.EMITTED_BY_US.items() if kind != "drift"}


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
def traces(local_dir: Path) -> Iterator[Callable[[], list[str]]]:
    """What X-Ray's daemon has been sent until now, for this stands in its place."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
        daemon.bind(("127.0.0.1", ports.port_of(local_dir / "aws", ports.TRACES)))
        daemon.settimeout(2)

        def sent() -> list[str]:
            found = []
            with suppress(TimeoutError):
                while True:
                    found.append(daemon.recv(65536).decode())
            return found

        yield sent


@pytest.fixture
def secrets(client: Client, headers: dict[str, str], traces: object) -> list[str]:
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
    return [mark, str(number), token, signature, key, client.api_key("canary")]


def test_no_log_metric_alarm_or_trace_holds_a_payload_a_token_or_a_key(
    client: Client, secrets: list[str], traces: Callable[[], list[str]]
) -> None:
    """X-Ray is not embedded: what functions send to its daemon is all that a trace holds of them."""
    sent = traces()
    documents = [json.loads(datagram.partition("\n")[2]) for datagram in sent]
    told = [each["annotations"] for each in documents if each["name"] == "inference"]
    assert {(each["model"], each["status"]) for each in told} >= {("digits", 200), ("digits", 400)}
    cloudwatch = client.aws("cloudwatch")
    texts = {group: json.dumps(events(client, group)) for group in groups(client)}
    assert sum('"request' in text for text in texts.values()) >= 1
    texts["traces"] = "".join(sent)
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
