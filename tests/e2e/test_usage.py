"""What tenants used through the API, exactly: by `inferctl usage` and as metrics, on every backend and route.

What was used before is taken off: other tests ask as the same tenants.
"""

import json
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from components import metric
from inferctl.client import Client
from serving.usage_ledger import FLUSH_S
from tests.e2e.conftest import Run

TENANTS = ("acme", "globex")
MODELS = ("digits", "digits-gpu", "fraud", "minilm", "llama")
COUNTS = ("requests", "rows", "tokens")
IMAGES = {"inputs": [{"name": "image", "datatype": "FP32", "shape": [2, 64], "data": [0.0] * 128}]}
TEXTS = {"model": "minilm", "input": ["a text", "and another one", "a third"]}
Used = Counter[tuple[str, str, str]]
"""Of a tenant, of a model, of one of COUNTS."""


def shown(inferctl: Run) -> Used:
    found: Used = Counter()
    for tenant in TENANTS:
        told = json.loads(inferctl("usage", "--tenant", tenant, "--days", "2", "--json").stdout)
        for line in told["usage"]:
            if line["how"] == "requests":
                assert line["compute_s"] > 0, line
                assert line["usd"] is None or line["usd"] > 0, line
                found.update({(tenant, line["model"], name): line[name] for name in COUNTS})
    return found


def emitted(client: Client) -> Used:
    """The sums of the metrics."""
    cloudwatch, found = client.aws("cloudwatch"), Used()
    for tenant in TENANTS:
        for model in MODELS:
            for name in COUNTS:
                watched = metric.used(tenant, model, name)
                dimensions = [{"Name": key, "Value": value} for key, value in watched.dimensions.items()]
                page = cloudwatch.get_metric_statistics(
                    Namespace=watched.namespace,
                    MetricName=watched.name,
                    Dimensions=dimensions,
                    StartTime=time.time() - 86_400,
                    EndTime=time.time() + 86_400,
                    Period=172_800,
                    Statistics=["Sum"],
                )
                found[tenant, model, name] = int(sum(point["Sum"] for point in page["Datapoints"]))
    return found


class Tenant:
    """Asks in the name of one tenant and keeps count of what it must have used."""

    def __init__(self, client: Client, name: str) -> None:
        self._client, self.name = client, name
        self._headers = {"Content-Type": "application/json", **client.headers(name)}
        self.used: Used = Counter()

    def post(
        self, path: str, body: Any, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        sent = {**self._headers, **(headers or {})}
        answer = httpx.post(f"{self._client.url}{path}", json=body, headers=sent, timeout=60)
        assert answer.status_code == status, answer.text
        return answer

    def uses(self, model: str, *, requests: int = 1, rows: int = 0, tokens: int = 0) -> None:
        counts = zip(COUNTS, (requests, rows, tokens), strict=True)
        self.used.update({(self.name, model, name): count for name, count in counts})

    def images(self, model: str, headers: Mapping[str, str] | None = None) -> None:
        self.post(f"/v2/models/{model}/infer", IMAGES, headers=headers)
        self.uses(model, rows=2)

    def texts(self) -> None:
        answer = self.post("/v1/embeddings", TEXTS).json()
        self.uses("minilm", rows=3, tokens=answer["usage"]["total_tokens"])


def ask(acme: Tenant, globex: Tenant) -> None:
    """Requests of every kind; who asks may say what it wants about whose they are."""
    for model in ("digits", "digits-gpu", "fraud"):
        acme.images(model)
        globex.images(model, {"x-inference-tenant": "acme", "X-Amzn-SageMaker-Custom-Attributes": "acme"})
        acme.post(f"/v2/models/{model}/infer", {"inputs": [{**IMAGES["inputs"][0], "name": "nothing"}]}, 400)
        acme.uses(model)
    acme.texts()
    globex.texts()
    text = {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["a text"]}
    answer = acme.post("/v2/models/minilm/infer", {"inputs": [text]})
    assert not [name for name in answer.headers if name.startswith("x-inference")]
    acme.uses("minilm", rows=1, tokens=4)  # with the two that begin and end a text
    # Neither a model that is cold nor a question about one is anybody's use.
    acme.post("/v1/chat/completions", {"model": "llama", "messages": []}, 503)
    acme.post("/v2/models/nobody/infer", IMAGES, 404)


def settle() -> None:
    """Let the router write what it has counted."""
    time.sleep(FLUSH_S + 1)


@pytest.fixture(scope="module")
def asked(client: Client, inferctl: Run) -> Mapping[str, Used]:
    """What was used, what was shown and what was emitted, each beyond what was before."""
    settle()
    before, emitted_before = shown(inferctl), emitted(client)
    acme, globex = (Tenant(client, name) for name in TENANTS)
    ask(acme, globex)
    expected = acme.used + globex.used
    for _ in range(10):
        settle()
        more, metrics = shown(inferctl), emitted(client)
        more.subtract(before)
        metrics.subtract(emitted_before)
        if more.total() >= expected.total() and metrics.total() >= expected.total():
            break
    return {"expected": expected, "shown": +more, "emitted": +metrics}


@pytest.mark.parametrize("where", ["shown", "emitted"])
def test_every_request_is_counted_once_for_who_asked(asked: Mapping[str, Used], where: str) -> None:
    assert asked[where] == asked["expected"]


def test_the_endpoints_log_tells_of_requests_and_not_what_they_said(
    inferctl: Run, asked: Mapping[str, Used]
) -> None:
    told = inferctl("logs", "fraud", "--json").stdout
    assert asked["expected"]["acme", "fraud", "requests"] == 2
    assert r"\"requests\":1," in told
    assert "0.0,0.0" not in told.replace(" ", "")
