"""What requests through the router used, of every kind of answer, for the tenant that the gateway names."""

import asyncio
import contextlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import pytest

from serving import router_usage
from serving.router_front import Router, Target
from serving.router_usage import Meter
from serving.usage import Used
from tests.serving.asgi import serving
from tests.serving.test_router_front import until
from tests.serving.vllm_contract import MODEL, VllmContract

ACME = {"x-inference-tenant": "acme"}
PROMPT = "four words of text"
MODELS = {
    MODEL: Target(engine="vllm", url=MODEL, queue_url="queue", openai=True),
    "minilm": Target(engine="onnx", url="minilm", queue_url="queue", openai=True),
}


class Book:
    """A ledger that remembers."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, str, Used]] = []

    def start(self) -> None: ...

    async def close(self) -> None: ...

    def add(self, tenant: str, model: str, used: Used) -> None:
        self.entries.append((tenant, model, used))

    def only(self) -> tuple[str, str, int, int, int]:
        """Tenant, model, requests, rows and tokens of the one entry, once it is there; it took some time."""
        until(lambda: bool(self.entries))
        [(tenant, model, used)] = self.entries
        assert used.compute_ms > 0
        return tenant, model, used.requests, used.rows, used.tokens


class Onnx:
    """A model server that says what it counted; what it answers is up to the test."""

    status, rows, tokens = 200, 5, 40

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.headers = scope["headers"]
        while (await receive()).get("more_body"):
            pass
        counted = [(b"x-inference-rows", b"%d" % self.rows), (b"x-inference-tokens", b"%d" % self.tokens)]
        headers = counted if self.rows else []
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        if self.status == 599:
            raise OSError("the server breaks in the middle")
        await send({"type": "http.response.body", "body": b'\x00binary "usage": {"total_tokens": 9}'})


@pytest.fixture
def book() -> Book:
    return Book()


@pytest.fixture
def engine() -> VllmContract:
    return VllmContract()


@pytest.fixture
def onnx() -> Onnx:
    return Onnx()


@pytest.fixture
def http(book: Book, engine: VllmContract, onnx: Onnx) -> Iterator[httpx.Client]:
    with contextlib.ExitStack() as stack:
        where = {
            MODEL: stack.enter_context(serving(engine.application)),
            "minilm": stack.enter_context(serving(onnx)),
        }

        async def replicas(url: str) -> Sequence[str]:
            return [where[url]] if url in where else []

        router = Router(MODELS, None, lambda _: None, replicas, ledger=book)  # type: ignore[arg-type]
        base = stack.enter_context(serving(router, "on"))
        yield stack.enter_context(httpx.Client(base_url=base, timeout=20, headers=ACME))


def chat(**more: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": PROMPT}], **more}


def test_a_chat_is_one_row_with_the_tokens_of_its_usage(http: httpx.Client, book: Book) -> None:
    assert http.post("/v1/chat/completions", json=chat(max_tokens=2)).json()["usage"]["total_tokens"] == 6
    assert book.only() == ("acme", MODEL, 1, 1, 6)


@pytest.mark.parametrize("asked", [None, False, True])
def test_a_stream_is_counted_and_shows_its_usage_to_who_asked_for_it(
    http: httpx.Client, book: Book, asked: bool | None
) -> None:
    options = {} if asked is None else {"stream_options": {"include_usage": asked}}
    answer = http.post("/v1/chat/completions", json=chat(stream=True, **options))
    assert answer.text.endswith("data: [DONE]\n\n")
    parts = [json.loads(part[6:]) for part in answer.text.split("\n\n")[:-2]]
    assert sum("usage" in part for part in parts) == bool(asked)
    assert all(part["choices"] for part in parts) is not bool(asked)
    words = [choice["delta"].get("content", "") for part in parts for choice in part["choices"]]
    assert "".join(words) == "text of words four"
    assert book.only() == ("acme", MODEL, 1, 1, 8)


def test_a_stream_passes_as_it_is_made(http: httpx.Client, engine: VllmContract, book: Book) -> None:
    engine.hold = asyncio.Event()
    with http.stream(
        "POST", "/v1/completions", json={"model": MODEL, "prompt": "a b", "stream": True}
    ) as got:
        parts = got.iter_raw()
        assert b'"b"' in next(parts)
        engine.hold.set()  # not before the first word was here
        assert b"".join(parts).endswith(b"data: [DONE]\n\n")
    assert book.only() == ("acme", MODEL, 1, 1, 4)


def test_who_leaves_a_stream_has_used_what_it_got(
    http: httpx.Client, engine: VllmContract, book: Book
) -> None:
    engine.hold = asyncio.Event()
    asked = {"model": MODEL, "prompt": "a b c", "stream": True}
    with http.stream("POST", "/v1/completions", json=asked) as got:
        seen = b""
        for part in got.iter_raw():
            seen += part
            if seen.count(b"\n\n") == 2:
                break
    assert book.only() == ("acme", MODEL, 1, 1, 2)


def test_a_model_server_says_rows_and_tokens_to_the_router_alone(http: httpx.Client, book: Book) -> None:
    answer = http.post("/v2/models/minilm/infer", content=b"\x00tensor")
    assert not [name for name in answer.headers if name.startswith("x-inference")]
    assert book.only() == ("acme", "minilm", 1, 5, 40)


def test_embeddings_are_counted_as_their_server_counts_them(
    http: httpx.Client, onnx: Onnx, book: Book
) -> None:
    onnx.rows, onnx.tokens = 2, 11
    assert http.post("/v1/embeddings", json={"model": "minilm", "input": ["a", "b"]}).status_code == 200
    assert book.only() == ("acme", "minilm", 1, 2, 11)


def test_a_refusal_is_a_request_without_rows(http: httpx.Client, onnx: Onnx, book: Book) -> None:
    onnx.status, onnx.rows = 400, 0
    http.post("/v2/models/minilm/infer", content=b"x")
    until(lambda: bool(book.entries))
    http.post("/v1/completions", json={"model": MODEL})
    until(lambda: len(book.entries) == 2)
    assert [(model, used.requests, used.rows) for _, model, used in book.entries] == [
        ("minilm", 1, 0),
        (MODEL, 1, 0),
    ]


@pytest.mark.parametrize("status", [500, 503, 599])
def test_faults_are_nobodys_use(http: httpx.Client, onnx: Onnx, book: Book, status: int) -> None:
    onnx.status = status
    with contextlib.suppress(httpx.RemoteProtocolError):
        http.post("/v2/models/minilm/infer", content=b"x")
    onnx.status = 200
    http.post("/v2/models/minilm/infer", content=b"x")
    assert book.only() == ("acme", "minilm", 1, 5, 40)


def test_what_is_no_question_to_a_model_is_not_counted(http: httpx.Client, book: Book) -> None:
    assert http.get("/v2/models/minilm/ready").status_code == 200
    assert http.get("/v2/models").status_code == 200
    assert http.post("/v2/models/nobody/infer").status_code == 404
    http.post("/v2/models/minilm/infer")
    assert book.only() == ("acme", "minilm", 1, 5, 40)


def test_a_request_from_inside_is_nobodys(http: httpx.Client, book: Book) -> None:
    del http.headers["x-inference-tenant"]
    assert http.post("/v2/models/minilm/infer").status_code == 200
    http.post("/v2/models/minilm/infer", headers=ACME)
    assert book.only() == ("acme", "minilm", 1, 5, 40)


@pytest.mark.parametrize(
    "names", [["globex", "acme"], ["acme", "acme"], ["globex, acme"], [""], ["Acme"], ["requests#acme"]]
)
def test_a_tenant_that_the_gateway_did_not_name_is_refused(
    http: httpx.Client, book: Book, names: list[str]
) -> None:
    del http.headers["x-inference-tenant"]
    headers = [("x-inference-tenant", name) for name in names]
    answer = http.post("/v2/models/minilm/infer", headers=headers)
    assert answer.status_code == 400
    assert "send none" in answer.json()["error"]
    assert book.entries == []


def read(*parts: bytes, kind: bytes = b"application/json", hidden: bool = False) -> tuple[bytes, Used | None]:
    """What a client gets of an answer in these parts, and what it used."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def pass_on() -> Used | None:
        meter = Meter(send, 1, hidden=hidden)
        await meter({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
        for part in parts:
            await meter({"type": "http.response.body", "body": part, "more_body": True})
        await meter({"type": "http.response.body", "body": b""})
        return meter.used()

    used = asyncio.run(pass_on())
    return b"".join(message.get("body", b"") for message in sent), used


STREAM = b"text/event-stream; charset=utf-8"
FORGED = json.dumps({"content": '"usage": {"total_tokens": 1}, "choices": []'}).encode()
EVENTS = (
    b'data: {"choices":[{"delta":' + FORGED + b'}],"usage":null}\n\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":3,"total_tokens":7,"prompt_tokens_details":{"n":1}}}\n\n'
    b"data: [DONE]\n\n"
)


@pytest.mark.parametrize("size", [1, 2, 7, 50, 1000])
def test_usage_is_found_wherever_an_answer_is_cut(size: int) -> None:
    parts = [EVENTS[start : start + size] for start in range(0, len(EVENTS), size)]
    whole, used = read(*parts, kind=STREAM)
    assert (whole, used and used.tokens) == (EVENTS, 7)
    shown, used = read(*parts, kind=STREAM, hidden=True)
    assert used is not None
    assert used.tokens == 7
    assert shown == EVENTS.replace(EVENTS.split(b"\n\n")[1] + b"\n\n", b"")


@pytest.mark.parametrize("after", [b"", b', "prompt_logprobs": [' + b"1," * 9000 + b"1]"])
def test_usage_is_found_before_whatever_follows(after: bytes) -> None:
    body = b'{"choices": [' + FORGED + b'], "usage": {"total_tokens": 12}' + after + b"}"
    _, used = read(body[:30], body[30:])
    assert used is not None
    assert used.tokens == 12


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"usage": 7}', b'{"usage": {"total_tokens": null}}', b'"usage": {']
)
def test_an_answer_that_says_nothing_has_no_tokens(body: bytes) -> None:
    whole, used = read(body)
    assert whole == body
    assert used is not None
    assert used.tokens == 0


def test_an_event_that_never_ends_is_passed_on_at_the_end() -> None:
    assert read(b"data: {", kind=STREAM, hidden=True)[0] == b"data: {"


@pytest.mark.parametrize(
    ("document", "rows"),
    [
        ({"messages": [{}, {}]}, 1),
        ({"prompt": "a"}, 1),
        ({"prompt": ["a", "b"]}, 2),
        ({"input": [[1, 2], [3]]}, 2),
        ({"input": [1, 2, 3]}, 1),
        ({"input": []}, 1),
    ],
)
def test_rows_of_an_openai_request_are_its_inputs(document: dict[str, Any], rows: int) -> None:
    assert router_usage.inputs_of(document) == rows


@pytest.mark.parametrize(
    "document", [{}, {"stream": False}, {"stream": 1}, {"stream": True, "stream_options": "all"}]
)
def test_a_request_that_asks_for_no_stream_stays_as_it_is(document: dict[str, Any]) -> None:
    assert router_usage.asking_for_usage(b"as it came", document) == (b"as it came", False)
