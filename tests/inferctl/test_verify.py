"""What `verify` makes of a model's answer."""

from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from inferctl import verify

COLD = {"error": "m has no replica; it is being started", "jobs": "/v2/models/m/jobs"}
UNREACHABLE = {"error": "the model's backend cannot be reached", "request_id": "1"}


class Stack:
    """A deployed environment of one model, whose readiness is `answer`; `published` when it has a version."""

    url = "http://api"

    def __init__(self, answer: httpx.Response, *, published: bool) -> None:
        self._answer, self.outputs = answer, {"models_bucket": "models"}
        self.env = SimpleNamespace(
            name="local",
            tenants=[SimpleNamespace(name="a", scopes=["infer"])],
            models={"m": object()},
            costs=None,
        )
        self._listed = {"KeyCount": int(published)}

    def headers(self, _: str) -> dict[str, str]:
        return {}

    def aws(self, _: str) -> Any:
        return SimpleNamespace(list_objects_v2=lambda **_: self._listed)

    def get(self, url: str, **_: Any) -> httpx.Response:
        if url.endswith("/v2/models"):
            return httpx.Response(401)
        return self._answer if url.endswith("/v2/models/m/ready") else httpx.Response(200)


@pytest.mark.parametrize(
    ("answer", "published", "verdict", "says"),
    [
        (httpx.Response(200), True, "ok", "m is ready"),
        (httpx.Response(503, json=COLD), True, "ok", "m is asleep"),
        (httpx.Response(503, json=UNREACHABLE, headers={"retry-after": "5"}), True, "fault", "m answers 503"),
        (httpx.Response(500, json=UNREACHABLE), True, "fault", "m answers 500"),
        (httpx.Response(503, json=UNREACHABLE), False, "unknown", "m waits for its first publication"),
    ],
)
def test_only_a_model_that_can_be_woken_is_asleep(
    answer: httpx.Response, published: bool, verdict: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack: Any = Stack(answer, published=published)
    monkeypatch.setattr(httpx, "get", stack.get)
    *_, found = verify.api(stack, stack)
    assert found.verdict == verdict
    assert f"model {says}" in found.what
