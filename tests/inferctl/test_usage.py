"""What a tenant used: synchronous requests by the logs, jobs by their table, each with its list price."""

import json
import time
from typing import Any

import pytest

from cost import prices
from environments import loader
from inferctl import usage
from inferctl.client import Client
from inferctl.usage import Line, usd, used
from serving.jobs_counts import Usage

OUTPUTS = {"platform": "p", "environment": "e", "model_functions": {"digits": "p-e-model-digits"}}
FUNCTION, ACCESS = "/aws/lambda/p-e-model-digits", "/aws/apigateway/p-e/access"


class Logs:
    """CloudWatch Logs with some lines; its filter lets everything through."""

    def __init__(self, groups: dict[str, list[Any]]) -> None:
        self._groups = groups

    def get_paginator(self, _: str) -> "Logs":
        return self

    def paginate(self, *, logGroupName: str, **_: Any) -> list[dict[str, Any]]:  # noqa: N803 - boto3's name
        lines = self._groups.get(logGroupName, [])
        return [
            {"events": [{"message": line if isinstance(line, str) else json.dumps(line)}]} for line in lines
        ]


def request(tenant: str, status: int = 200, **more: Any) -> dict[str, Any]:
    return {
        "message": "request",
        "model": "digits",
        "tenant": tenant,
        "status": status,
        "duration_ms": 250,
        "rows": 4,
        **more,
    }


def access(model: str, status: int, took: str = "500", tenant: str = "acme") -> dict[str, Any]:
    route = f"/v2/models/{model}/infer"
    return {"tenant": tenant, "route": route, "status": str(status), "integrationMs": took}


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    lines: dict[str, list[Any]] = {
        FUNCTION: [
            "START RequestId",
            request("acme"),
            request("acme", 400),
            request("acme", 500),
            request("globex"),
            {"message": "golden requests", "tenant": "acme"},
        ],
        ACCESS: [
            access("fraud", 200),
            access("fraud", 502),
            access("fraud", 413, "-"),
            access("digits", 200),
            access("fraud", 200, tenant="globex"),
            {**access("x", 200), "route": "/v1/chat/completions"},
            {**access("fraud", 200), "route": "/v2/models/fraud"},
        ],
    }
    monkeypatch.setattr(Client, "aws", lambda _self, _service: Logs(lines))
    today = time.strftime("%Y-%m-%d", time.gmtime())
    counts = {"requests": 2, "rows": 70, "rows_failed": 1, "tokens": 9}
    days = [
        Usage(today, "digits", compute_ms=3000, **counts),
        Usage("2020-01-01", "digits", compute_ms=1, **counts),
        Usage(today, "documents", compute_ms=0, **counts),
    ]
    monkeypatch.setattr(usage, "job_usage", lambda _client, _tenant: days)
    return Client(outputs=OUTPUTS, region="us-east-1")


def test_requests_and_jobs_of_a_tenant_are_counted_once_and_faults_of_ours_not(client: Client) -> None:
    found = {(line.model, line.how): line for line in used(client, "acme", 30)}
    assert set(found) == {
        ("digits", "requests"),
        ("digits", "jobs"),
        ("fraud", "requests"),
        ("documents", "jobs"),
        ("/v1/...", "requests"),
    }
    digits = found["digits", "requests"]
    assert (digits.requests, digits.rows, digits.compute_s) == (2, 8, 0.5)
    fraud = found["fraud", "requests"]
    assert (fraud.requests, fraud.compute_s) == (2, 0.5)
    jobs = found["digits", "jobs"]
    assert (jobs.requests, jobs.rows, jobs.tokens, jobs.compute_s) == (2, 70, 9, 3.0)
    assert found["documents", "jobs"].compute_s is None


def line(model: str, how: str = "requests", compute_s: float | None = 7200) -> Line:
    return Line(model=model, how=how, requests=1000, rows=0, tokens=0, compute_s=compute_s)


def test_a_line_costs_what_its_seconds_cost_on_what_the_model_runs_on() -> None:
    env, table = loader.from_file("local"), prices.load("us-east-1")

    def price(key: str) -> float:
        return table.every[key].usd or 0

    gateway = price("api.rest") / 1000
    assert usd(env, line("minilm")) == pytest.approx(2 * price("instance.g6.xlarge") + gateway)
    assert usd(env, line("minilm", "jobs")) == pytest.approx(2 * price("instance.g6.xlarge"))
    assert usd(env, line("fraud")) == pytest.approx(2 * price("instance.ml.m5.xlarge") + gateway)
    functions = {"arm64": "arm", "x86_64": "x86"}[env.functions.architecture]
    by_call = (price("api.rest") + price("lambda.requests")) / 1000
    assert usd(env, line("digits")) == pytest.approx(7200 * price(f"lambda.{functions}") + by_call)


def test_what_nobody_knows_has_no_cost() -> None:
    env = loader.from_file("local")
    assert usd(env, line("scores")) is None  # no source for SageMaker's serverless price
    assert usd(env, line("documents", "jobs", compute_s=None)) is None
    assert usd(env, line("/v1/...")) is None
