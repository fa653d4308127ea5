"""One model on three backends behind one API, and the local processes that stand for two of them."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from inferctl import servers
from inferctl.client import Client
from local_aws import ports

IMAGE = {"name": "image", "datatype": "FP32", "shape": [2, 64], "data": [*[0.0] * 64, *range(64)]}
# Model -> what answers for it; all three hold the digits graph.
BACKENDS = {"digits": "Lambda", "digits-gpu": "EKS model server", "fraud": "SageMaker container"}


@pytest.fixture(scope="module")
def headers(client: Client) -> dict[str, str]:
    return {"Content-Type": "application/json", **client.headers("acme")}


def ask(client: Client, headers: dict[str, str], model: str) -> httpx.Response:
    body = json.dumps({"id": "7", "inputs": [IMAGE]})
    url = f"{client.url}/v2/models/{model}/infer"
    return httpx.post(url, content=body, headers=headers, timeout=60)


def test_the_same_request_gets_the_same_answer_on_every_backend(
    client: Client, headers: dict[str, str]
) -> None:
    answers = {model: ask(client, headers, model) for model in BACKENDS}
    for model, answer in answers.items():
        assert answer.status_code == 200, f"{BACKENDS[model]}: {answer.text}"
        assert answer.json()["model_name"] == model
    outputs = [answer.json()["outputs"] for answer in answers.values()]
    assert outputs[0] == outputs[1] == outputs[2]
    assert len(outputs[0][0]["data"]) == 2


@pytest.mark.parametrize("model", BACKENDS)
def test_metadata_and_readiness_come_from_the_model_itself(
    client: Client, headers: dict[str, str], model: str
) -> None:
    metadata = httpx.get(f"{client.url}/v2/models/{model}", headers=headers, timeout=60)
    assert metadata.json()["inputs"][0]["name"] == "image", metadata.text
    ready = httpx.get(f"{client.url}/v2/models/{model}/ready", headers=headers, timeout=60)
    assert ready.status_code == 200, ready.text


def test_the_endpoints_container_answers_sagemakers_own_routes(client: Client, local_dir: Path) -> None:
    name = client.outputs["model_endpoints"]["fraud"]["EndpointName"]
    url = f"http://127.0.0.1:{ports.port_of(local_dir / 'aws', ports.endpoint(name))}"
    assert httpx.get(f"{url}/ping").status_code == 200
    answer = httpx.post(
        f"{url}/invocations",
        json={"inputs": [IMAGE]},
        headers={"X-Amzn-SageMaker-Custom-Attributes": "POST /v2/models/fraud/infer"},
    )
    assert answer.json()["model_name"] == "fraud", answer.text


def test_a_language_model_is_cold_where_there_is_no_gpu(client: Client, headers: dict[str, str]) -> None:
    chat = {"model": "llama", "messages": [{"role": "user", "content": "hello"}]}
    answer = httpx.post(f"{client.url}/v1/chat/completions", json=chat, headers=headers, timeout=60)
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json()["jobs"] == "/v2/models/llama/jobs"


def test_a_model_for_jobs_says_so(client: Client, headers: dict[str, str]) -> None:
    answer = ask(client, headers, "documents")
    assert answer.status_code == 404
    assert "/v2/models/documents/jobs" in answer.text


@pytest.mark.skipif("E2E_PLATFORM" in os.environ, reason="what is up already is not started")
def test_up_says_what_it_started_and_what_not(first_up: Any) -> None:
    [line] = [
        line for line in first_up.stderr.splitlines() if line.startswith("servers ") and "router" in line
    ]
    for name in ("router", "model-digits-gpu", "endpoint-fraud"):
        assert f"{name} started" in line
    assert "llama not started: vLLM needs a GPU" in line


def test_killed_servers_are_cold_until_the_next_up_starts_them(
    client: Client, headers: dict[str, str], local_dir: Path, inferctl: Any
) -> None:
    running = servers.processes(local_dir)
    killed = [running.running(name) for name in ("model-digits-gpu", "endpoint-fraud")]
    kept = running.running("router")
    for pid in killed:
        assert pid
        os.kill(pid, signal.SIGKILL)
    meanwhile = {model: ask(client, headers, model) for model in ("digits-gpu", "fraud")}
    said = inferctl("up").stderr  # before all else: other tests need them
    for model, answer in meanwhile.items():
        assert (answer.status_code, answer.headers.keys() >= {"retry-after"}) == (503, True), model
    assert "model-digits-gpu started" in said
    assert "endpoint-fraud started" in said
    assert "router runs" in said
    assert running.running("router") == kept
    for model in ("digits-gpu", "fraud"):
        assert ask(client, headers, model).status_code == 200
