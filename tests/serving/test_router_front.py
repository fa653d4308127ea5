"""The cluster's router, over real HTTP in front of real servers."""

import asyncio
import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import httpx
import pytest

from serving.replicas import Replicas
from serving.router_app import Settings
from serving.router_asgi import MAX_BODY_BYTES
from serving.router_front import Router, Target
from tests.serving.asgi import dying, serving

Received = list[tuple[str, str, dict[str, str], bytes]]


class Upstream:
    """A model server that tells who it is and remembers what it was asked."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.received: Received = []
        self.parts: Sequence[bytes] = ()
        """Answer in these parts instead, waiting for `let_go` before the last."""
        self.let_go = threading.Event()
        self.left = threading.Event()
        """Set when the router hung up during the answer."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        path = scope["path"] + (f"?{scope['query_string'].decode()}" if scope["query_string"] else "")
        self.received.append((scope["method"], path, headers, body))
        given = [(b"x-served-by", self.name.encode()), (b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": given})
        for part in self.parts[:-1]:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        if self.parts:
            waiting = asyncio.create_task(receive())
            while not self.let_go.is_set():
                if waiting.done():
                    self.left.set()
                    return
                await asyncio.sleep(0.01)
            waiting.cancel()
        await send({"type": "http.response.body", "body": self.parts[-1] if self.parts else body})


class Cluster:
    """Models and their replicas, as the cluster's DNS would tell them."""

    def __init__(self) -> None:
        self.replicas: dict[str, list[str]] = {}
        self.woken: list[str] = []
        self.wake: Callable[[str], object] = self.woken.append

    async def find(self, url: str) -> Sequence[str]:
        return self.replicas.get(url, [])


MODELS = {
    "minilm": Target(engine="onnx", url="http://minilm", queue_url="queue-minilm", openai=False),
    "embed": Target(engine="onnx", url="http://embed", queue_url="queue-embed", openai=True),
    "llama": Target(engine="vllm", url="http://llama", queue_url="queue-llama", openai=True),
}


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def upstreams() -> Iterator[Mapping[str, tuple[Upstream, str]]]:
    made = {name: Upstream(name) for name in ("first", "second", "balancer")}
    with contextlib.ExitStack() as stack:
        yield {name: (upstream, stack.enter_context(serving(upstream))) for name, upstream in made.items()}
        for upstream in made.values():
            upstream.let_go.set()


@pytest.fixture
def router(cluster: Cluster, upstreams: Mapping[str, tuple[Upstream, str]]) -> Iterator[httpx.Client]:
    balancer = upstreams["balancer"][1]
    front = Router(MODELS, balancer, lambda queue: cluster.wake(queue), cluster.find)
    with serving(front, "on") as url, httpx.Client(base_url=url, timeout=20) as client:
        yield client


def chat(model: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "hello"}]}


def until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread does; pytest's own timeout ends it."""
    while not condition():
        threading.Event().wait(0.01)


@pytest.mark.parametrize(("prefix", "asked"), [("/live", "/live"), ("/live", ""), ("", "")])
def test_the_name_of_the_gateways_stage_is_no_part_of_the_route(
    prefix: str, asked: str, cluster: Cluster, upstreams: Mapping[str, tuple[Upstream, str]]
) -> None:
    upstream, cluster.replicas["http://minilm"] = upstreams["first"][0], [upstreams["first"][1]]
    front = Router(MODELS, None, lambda queue: cluster.wake(queue), cluster.find, prefix=prefix)
    with serving(front, "on") as url, httpx.Client(base_url=url, timeout=20) as client:
        assert client.post(f"{asked}/v2/models/minilm/infer", content=b"x").status_code == 200
        assert client.get(f"{asked}/v2/models").json()["models"] == sorted(MODELS)
    assert upstream.received[0][1] == "/v2/models/minilm/infer"


def test_a_models_request_reaches_its_replica_as_it_came(
    router: httpx.Client, cluster: Cluster, upstreams: Mapping[str, tuple[Upstream, str]]
) -> None:
    upstream, url = upstreams["first"]
    cluster.replicas["http://minilm"] = [url]
    answer = router.post(
        "/v2/models/minilm/infer?trace=1",
        content=b"\x00tensor",
        headers={"inference-header-content-length": "7"},
    )
    assert (answer.status_code, answer.content) == (200, b"\x00tensor")
    assert answer.headers["x-served-by"] == "first"
    [(method, path, headers, body)] = upstream.received
    assert (method, path, body) == ("POST", "/v2/models/minilm/infer?trace=1", b"\x00tensor")
    assert headers["inference-header-content-length"] == "7"


def test_the_replica_with_the_least_to_do_gets_the_next_request(
    router: httpx.Client, cluster: Cluster, upstreams: Mapping[str, tuple[Upstream, str]]
) -> None:
    busy, free = sorted((upstreams["first"], upstreams["second"]), key=lambda each: each[1])
    cluster.replicas["http://minilm"] = [busy[1], free[1]]
    busy[0].parts = [b"slow", b"end"]
    with router.stream("POST", "/v2/models/minilm/infer", content=b"1") as held:
        assert held.headers["x-served-by"] == busy[0].name
        for _ in range(3):
            assert router.post("/v2/models/minilm/infer").headers["x-served-by"] == free[0].name
        busy[0].let_go.set()
        assert held.read() == b"slowend"


def test_parts_of_an_answer_arrive_as_they_are_made(
    router: httpx.Client, cluster: Cluster, upstreams: Mapping[str, tuple[Upstream, str]]
) -> None:
    cluster.replicas["http://llama"] = ["http://somewhere"]
    upstream = upstreams["balancer"][0]
    upstream.parts = [b"data: one\n\n", b"data: two\n\n"]
    with router.stream("POST", "/v1/chat/completions", json=chat("llama")) as answer:
        parts = answer.iter_raw()
        assert next(parts) == b"data: one\n\n"
        upstream.let_go.set()  # not before the first part was here
        assert b"".join(parts) == b"data: two\n\n"


def test_a_client_that_leaves_stops_the_model(
    router: httpx.Client, cluster: Cluster, upstreams: Mapping[str, tuple[Upstream, str]]
) -> None:
    cluster.replicas["http://llama"] = ["http://somewhere"]
    upstream = upstreams["balancer"][0]
    upstream.parts = [b"data: one\n\n", b"never"]
    with router.stream("POST", "/v1/chat/completions", json=chat("llama")) as answer:
        next(answer.iter_raw())
    upstream.left.wait()
    until(lambda: 'model="llama"} 0' in router.get("/metrics").text)


def test_language_models_pass_the_balancer_and_others_do_not(
    router: httpx.Client, cluster: Cluster, upstreams: Mapping[str, tuple[Upstream, str]]
) -> None:
    cluster.replicas |= {"http://llama": ["http://somewhere"], "http://embed": [upstreams["first"][1]]}
    served = [
        router.post("/v1/completions", json=chat("llama")).headers["x-served-by"],
        router.post("/v2/models/llama/ready").headers["x-served-by"],
        router.post("/v1/embeddings", json=chat("embed")).headers["x-served-by"],
    ]
    assert served == ["balancer", "balancer", "first"]


@pytest.mark.parametrize("model", ["gpt", "minilm", "", None, 7, ["llama"]])
def test_a_name_that_is_not_served_never_reaches_the_balancer(
    router: httpx.Client, cluster: Cluster, upstreams: Mapping[str, tuple[Upstream, str]], model: Any
) -> None:
    cluster.replicas["http://llama"] = ["http://somewhere"]
    answer = router.post("/v1/chat/completions", json=chat(model))
    assert answer.status_code == 404
    assert "there is embed, llama" in answer.json()["error"]["message"]
    assert upstreams["balancer"][0].received == []


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"null"])
def test_an_openai_body_without_a_model_is_refused(router: httpx.Client, body: bytes) -> None:
    assert router.post("/v1/chat/completions", content=body).status_code in (400, 404)


def test_a_cold_model_is_answered_for_and_woken_once(router: httpx.Client, cluster: Cluster) -> None:
    for _ in range(3):
        answer = router.post("/v2/models/minilm/infer", content=b"1")
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert answer.json()["jobs"] == "/v2/models/minilm/jobs"
    assert router.post("/v1/chat/completions", json=chat("llama")).status_code == 503
    until(lambda: len(cluster.woken) == 2)
    assert sorted(cluster.woken) == ["queue-llama", "queue-minilm"]


def test_a_wake_message_that_is_lost_is_sent_again(router: httpx.Client, cluster: Cluster) -> None:
    lost = threading.Event()

    def fail(queue: str) -> None:
        lost.set()
        raise OSError("SQS is away")

    cluster.wake = fail
    assert router.post("/v2/models/minilm/infer").status_code == 503
    lost.wait()
    cluster.wake = cluster.woken.append

    def woken() -> bool:
        assert router.post("/v2/models/minilm/infer").status_code == 503
        return cluster.woken == ["queue-minilm"]

    until(woken)


def test_a_replica_that_has_just_left_costs_no_request(
    router: httpx.Client, cluster: Cluster, upstreams: Mapping[str, tuple[Upstream, str]]
) -> None:
    with serving(Upstream("gone")) as gone:
        pass
    cluster.replicas["http://minilm"] = sorted([gone, upstreams["first"][1]])
    for _ in range(4):
        assert router.post("/v2/models/minilm/infer").headers["x-served-by"] == "first"
    assert cluster.woken == []


def test_a_replica_that_dies_under_a_request_costs_it_nothing(
    router: httpx.Client, cluster: Cluster, upstreams: Mapping[str, tuple[Upstream, str]]
) -> None:
    asked: list[str] = []
    with dying(asked, "killed") as killed:
        cluster.replicas["http://minilm"] = [killed, upstreams["first"][1]]
        answer = router.post("/v2/models/minilm/infer", content=b"1")
    assert (answer.status_code, answer.headers["x-served-by"]) == (200, "first")
    assert asked == ["killed"]
    assert cluster.woken == []


def test_a_model_whose_replica_dies_is_cold(router: httpx.Client, cluster: Cluster) -> None:
    with dying([], "killed") as killed:
        cluster.replicas["http://minilm"] = [killed]
        answer = router.post("/v2/models/minilm/infer", content=b"1")
    assert (answer.status_code, answer.headers.keys() >= {"retry-after"}) == (503, True)
    until(lambda: cluster.woken == ["queue-minilm"])


def test_a_request_that_kills_ends_two_replicas_and_not_all(router: httpx.Client, cluster: Cluster) -> None:
    asked: list[str] = []
    with contextlib.ExitStack() as stack:
        cluster.replicas["http://minilm"] = [stack.enter_context(dying(asked, name)) for name in "abc"]
        assert router.post("/v2/models/minilm/infer", content=b"1").status_code == 503
    assert asked == ["a", "b"]


def test_requests_in_flight_are_counted_by_model(
    router: httpx.Client, cluster: Cluster, upstreams: Mapping[str, tuple[Upstream, str]]
) -> None:
    upstream, url = upstreams["first"]
    cluster.replicas["http://minilm"] = [url]
    upstream.parts = [b"slow", b"end"]
    with router.stream("POST", "/v2/models/minilm/infer") as held:
        page = router.get("/metrics").text
        assert 'router_requests_in_flight{model="minilm"} 1\n' in page
        assert 'router_requests_in_flight{model="llama"} 0\n' in page
        upstream.let_go.set()
        held.read()
    until(lambda: 'model="minilm"} 0' in router.get("/metrics").text)


def test_it_tells_what_there_is(router: httpx.Client) -> None:
    assert router.get("/v2/models").json() == {"models": ["embed", "llama", "minilm"]}
    assert [each["id"] for each in router.get("/v1/models").json()["data"]] == ["embed", "llama"]
    assert router.get("/v2/health/ready").status_code == router.get("/v2/health/live").status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v2/models/nobody/infer"),
        ("POST", "/v2/models/"),
        ("GET", "/v1/chat/completions"),
        ("GET", "/"),
    ],
)
def test_what_is_not_there_is_404(router: httpx.Client, method: str, path: str) -> None:
    answer = router.request(method, path)
    assert answer.status_code == 404
    assert answer.json()["error"]


def test_a_body_that_is_too_large_is_413(
    router: httpx.Client, cluster: Cluster, upstreams: Mapping[str, tuple[Upstream, str]]
) -> None:
    cluster.replicas["http://minilm"] = [upstreams["first"][1]]
    answer = router.post("/v2/models/minilm/infer", content=b"x" * (MAX_BODY_BYTES + 1))
    assert answer.status_code == 413
    assert upstreams["first"][0].received == []


def test_replicas_are_the_addresses_behind_a_name() -> None:
    find = Replicas()
    assert asyncio.run(find("http://127.0.0.1:8080")) == ["http://127.0.0.1:8080"]
    assert asyncio.run(find("http://nobody.invalid:8080")) == []


def test_settings_come_from_the_environment() -> None:
    models = {"m": {"engine": "onnx", "url": "http://m:8080", "queue_url": "q", "openai": False}}
    settings = Settings.of({"ROUTER_MODELS": json.dumps(models), "PORT": "9000"})
    assert settings.models["m"].url == "http://m:8080"
    assert (settings.host, settings.port, settings.balancer_url) == ("127.0.0.1", 9000, None)


@pytest.mark.parametrize("value", [None, "", "[]", '{"m": {"engine": "onnx"}}', '{"m": 1}'])
def test_settings_that_make_no_sense_are_named(value: str | None) -> None:
    with pytest.raises(ValueError, match="ROUTER_MODELS must be a JSON object of models"):
        Settings.of({} if value is None else {"ROUTER_MODELS": value})
