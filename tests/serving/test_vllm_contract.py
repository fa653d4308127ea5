"""OpenAI's language model routes, held to the contract at every hop: the engine, the router, the API."""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import httpx
import pytest

from serving.router_front import Router, Target
from tests.serving.asgi import serving
from tests.serving.vllm_contract import MODEL, VllmContract

pytestmark = pytest.mark.integration

PROMPT = "größer ist 🙂 Welt"
BACKWARDS = "Welt 🙂 ist größer"


@pytest.fixture(scope="module")
def engine() -> VllmContract:
    return VllmContract()


@pytest.fixture(scope="module")
def hops(engine: VllmContract, aws: Any) -> Iterator[Mapping[str, str]]:
    """Where the engine can be asked: itself, through the router, and through a REST API before the router."""
    with serving(engine.application) as direct:

        async def replicas(_: str) -> Sequence[str]:
            return [direct]

        models = {MODEL: Target(engine="vllm", url="http://llama", queue_url="queue", openai=True)}
        with serving(Router(models, None, lambda _: None, replicas), "on") as router:
            yield {"engine": direct, "router": router, "api": _api(aws, router)}


def _api(aws: Any, router: str) -> str:
    """A REST API that passes `/v1/...` to the router, as the platform's does over its VPC link."""
    gateway = aws.client("apigateway")
    api = gateway.create_rest_api(name="language-models")["id"]
    parent = gateway.get_resources(restApiId=api)["items"][0]["id"]
    parent = gateway.create_resource(restApiId=api, parentId=parent, pathPart="v1")["id"]
    resource = gateway.create_resource(restApiId=api, parentId=parent, pathPart="{proxy+}")["id"]
    gateway.put_method(
        restApiId=api,
        resourceId=resource,
        httpMethod="ANY",
        authorizationType="NONE",
        requestParameters={"method.request.path.proxy": True},
    )
    gateway.put_integration(
        restApiId=api,
        resourceId=resource,
        httpMethod="ANY",
        type="HTTP_PROXY",
        integrationHttpMethod="ANY",
        uri=f"{router}/v1/{{proxy}}",
        requestParameters={"integration.request.path.proxy": "method.request.path.proxy"},
    )
    gateway.create_deployment(restApiId=api, stageName="live")
    return f"{aws.endpoint}/_aws/execute-api/{api}/live"


@pytest.fixture(params=["engine", "router", "api"])
def http(hops: Mapping[str, str], request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=hops[request.param], timeout=30) as client:
        yield client


def chat(**more: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": PROMPT}], **more}


def events(answer: httpx.Response) -> list[Any]:
    """The documents of a stream of server-sent events, whose last must be [DONE]."""
    assert answer.status_code == 200
    if "execute-api" not in str(answer.url):  # the embedded AWS calls every proxied answer JSON
        assert answer.headers["content-type"].startswith("text/event-stream")
    parts = answer.content.decode().split("\n\n")
    assert parts[-2:] == ["data: [DONE]", ""]
    return [json.loads(part.removeprefix("data: ")) for part in parts[:-2]]


def test_the_list_of_models(http: httpx.Client) -> None:
    listed = http.get("/v1/models").json()
    [card] = listed["data"]
    assert (listed["object"], card["id"], card["object"]) == ("list", MODEL, "model")
    assert isinstance(card["created"], int)
    assert isinstance(card["owned_by"], str)


def test_a_chat_completion(http: httpx.Client) -> None:
    document = http.post("/v1/chat/completions", json=chat()).json()
    assert (document["object"], document["model"]) == ("chat.completion", MODEL)
    [choice] = document["choices"]
    assert (choice["index"], choice["finish_reason"]) == (0, "stop")
    assert (choice["message"]["role"], choice["message"]["content"]) == ("assistant", BACKWARDS)
    assert document["usage"] == {"prompt_tokens": 4, "completion_tokens": 4, "total_tokens": 8}
    cut = http.post("/v1/chat/completions", json=chat(max_tokens=2)).json()
    assert cut["choices"][0]["finish_reason"] == "length"
    assert cut["choices"][0]["message"]["content"] == "Welt 🙂"


@pytest.mark.parametrize("with_usage", [True, False])
def test_a_streamed_chat_completion(http: httpx.Client, with_usage: bool) -> None:
    asked = chat(stream=True, stream_options={"include_usage": with_usage})
    chunks = events(http.post("/v1/chat/completions", json=asked))
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    if with_usage:
        assert chunks[-1]["choices"] == []
        assert chunks.pop()["usage"]["total_tokens"] == 8
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    assert choices[0]["delta"]["role"] == "assistant"
    assert "".join(choice["delta"].get("content", "") for choice in choices) == BACKWARDS
    assert [choice["finish_reason"] for choice in choices] == [None] * (len(choices) - 1) + ["stop"]


@pytest.mark.parametrize("stream", [True, False])
def test_a_text_completion(http: httpx.Client, stream: bool) -> None:
    asked = {"model": MODEL, "prompt": PROMPT, "stream": stream}
    answer = http.post("/v1/completions", json=asked)
    chunks = events(answer) if stream else [answer.json()]
    assert {chunk["object"] for chunk in chunks} == {"text_completion"}
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == BACKWARDS
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("route", "body", "status", "reason"),
    [
        ("chat/completions", chat(model="gpt"), 404, "gpt"),
        ("chat/completions", {"model": MODEL}, 400, "messages"),
        ("chat/completions", chat(max_tokens=0), 400, "max_tokens"),
        ("completions", {"model": MODEL, "prompt": "word " * 100}, 400, "maximum context length"),
        ("completions", {"model": MODEL, "prompt": "word " * 100, "stream": True}, 400, "maximum context"),
    ],
)
def test_what_the_engine_refuses_reaches_the_client_with_its_reason(
    http: httpx.Client, route: str, body: dict[str, Any], status: int, reason: str
) -> None:
    answer = http.post(f"/v1/{route}", json=body)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert reason in error["message"]
    assert {"message", "type", "param", "code"} <= error.keys()


def test_a_token_reaches_the_client_before_the_next_one_is_made(
    engine: VllmContract, hops: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the router; the embedded AWS holds a stream back until it is complete."""
    release = asyncio.Event()
    monkeypatch.setattr(engine, "hold", release)
    url = f"{hops['router']}/v1/chat/completions"
    with httpx.stream("POST", url, json=chat(stream=True), timeout=30) as answer:
        lines = answer.iter_lines()
        early = _words(lines, until=lambda text: text == "Welt 🙂 ist")
        assert early == "Welt 🙂 ist"
        release.set()  # a flag that the engine's own thread looks at
        assert _words(lines, until=lambda _: False) == " größer"


def test_a_client_that_hangs_up_ends_the_engines_work(
    engine: VllmContract, hops: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "hold", asyncio.Event())
    before = engine.cancelled
    url = f"{hops['router']}/v1/chat/completions"
    with httpx.stream("POST", url, json=chat(stream=True), timeout=30) as answer:
        _words(answer.iter_lines(), until=lambda text: text == "Welt")
    while engine.cancelled == before:  # pytest's own timeout ends it
        pass


def _words(lines: Iterator[str], until: Callable[[str], bool]) -> str:
    text = ""
    for line in lines:
        if not line.startswith("data: {"):
            continue
        [choice] = json.loads(line.removeprefix("data: "))["choices"]
        text += choice["delta"].get("content", "")
        if until(text):
            break
    return text
