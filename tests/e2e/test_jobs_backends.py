"""One job on every backend of the running platform: the same rows get the same answers."""

import json
import time
from typing import Any

import httpx
import numpy as np
import pytest

from inferctl.client import Client
from serving.jobs import FINAL

# Model -> who works on its jobs; all hold the digits graph.
BACKENDS = {
    "digits": "the function",
    "digits-gpu": "the cluster's worker",
    "fraud": "the endpoint, at once",
    "scores": "the serverless endpoint, at once",
    "documents": "the endpoint, through S3 and topics",
}
ROWS, POISONED = 300, (7, 299)
PATIENCE_S = 120


def rows() -> list[dict[str, object]]:
    images = np.random.default_rng(5).integers(0, 17, (ROWS, 64)).tolist()
    return [{"image": [1] if index in POISONED else image} for index, image in enumerate(images)]


@pytest.fixture(scope="module")
def results(client: Client) -> dict[str, list[dict[str, object]]]:
    """Model -> what its job gave, all submitted before the first is waited for."""
    headers = client.headers("acme")
    submitted = {}
    for model in BACKENDS:
        answer = httpx.post(
            f"{client.url}/v2/models/{model}/jobs", json={"rows": rows()}, headers=headers, timeout=60
        )
        assert answer.status_code == 202, f"{BACKENDS[model]}: {answer.text}"
        submitted[model] = answer.json()["id"]
    found, deadline = {}, time.monotonic() + PATIENCE_S
    for model, id in submitted.items():
        job: dict[str, Any] = {"state": "submitted"}
        while job["state"] not in FINAL:
            assert time.monotonic() < deadline, f"{BACKENDS[model]}: {job}"
            time.sleep(0.5)
            job = httpx.get(f"{client.url}/v2/jobs/{id}", headers=headers, timeout=60).json()
        assert job["state"] == "succeeded", f"{BACKENDS[model]}: {job}"
        text = httpx.get(job["download"]["url"], timeout=60).text
        found[model] = [json.loads(line) for line in text.splitlines()]
    return found


@pytest.mark.parametrize("model", BACKENDS)
def test_every_row_comes_back_in_order_with_its_outputs_or_its_error(
    results: dict[str, list[dict[str, object]]], model: str
) -> None:
    assert [result["row"] for result in results[model]] == list(range(ROWS))
    assert tuple(result["row"] for result in results[model] if "error" in result) == POISONED


def test_the_same_rows_get_the_same_answers_on_every_backend(
    results: dict[str, list[dict[str, object]]],
) -> None:
    first, *others = results.values()
    assert all(other == first for other in others)
