"""What a tenant used: requests by logs and table, jobs by their table, each with its list price."""

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

OUTPUTS = {
    "model_functions": {"digits": "p-e-model-digits"},
    "model_endpoints": {"fraud": {"EndpointName": "p-e-fraud-45cb"}},
}
FUNCTION, ENDPOINT = "/aws/lambda/p-e-model-digits", "/aws/sagemaker/Endpoints/p-e-fraud-45cb"


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


def request(tenant: str, model: str = "digits", **more: Any) -> dict[str, Any]:
    """The line of a request that is its tenant's use."""
    counts = {"requests": 1, "rows": 4, "tokens": 3, "compute_ms": 250.0}
    return {"message": "request", "model": model, "tenant": tenant, "status": 200, **counts, **more}


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    fault = {"message": "request", "model": "digits", "tenant": "acme", "status": 500, "rows": 0}
    lines: dict[str, list[Any]] = {
        FUNCTION: [
            "START RequestId",
            request("acme"),
            request("acme", status=400, rows=0),
            fault,
            request("globex"),
            {"message": "golden requests", "tenant": "acme"},
        ],
        ENDPOINT: ["plain text", "[1]", request("acme", "fraud"), request("globex", "fraud")],
    }
    monkeypatch.setattr(Client, "aws", lambda _self, _service: Logs(lines))
    today = time.strftime("%Y-%m-%d", time.gmtime())
    counts = {"requests": 2, "rows": 70, "rows_failed": 1, "tokens": 9}
    jobs = [
        Usage(today, "digits", compute_ms=3000, **counts),
        Usage("2020-01-01", "digits", compute_ms=1, **counts),
        Usage(today, "documents", compute_ms=0, **counts),
    ]
    # `fraud` was in the cluster before it was moved to SageMaker.
    routed = [Usage(today, model, compute_ms=500, **counts) for model in ("llama", "fraud")]
    monkeypatch.setattr(usage, "job_usage", lambda _client, _tenant: jobs)
    monkeypatch.setattr(usage, "request_usage", lambda _client, _tenant: routed)
    return Client(outputs=OUTPUTS, region="us-east-1")


def test_requests_and_jobs_of_a_tenant_are_counted_once_and_faults_of_ours_not(client: Client) -> None:
    found = {
        (line.model, line.how): (line.requests, line.rows, line.tokens, line.compute_s)
        for line in used(client, "acme", 30)
    }
    assert found == {
        ("digits", "requests"): (2, 4, 6, 0.5),
        ("digits", "jobs"): (2, 70, 9, 3.0),
        ("documents", "jobs"): (2, 70, 9, None),
        ("fraud", "requests"): (3, 74, 12, 0.75),
        ("llama", "requests"): (2, 70, 9, 0.5),
    }


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
    assert usd(env, line("nobody-knows-it")) is None
