"""The running API against its own OpenAPI document and against the protocol."""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import numpy as np
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import load_all_checks, not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from inferctl.client import Client
from inferctl.session import Session
from tests import oip_conformance
from tests.oip_conformance import Answer, Front

EXAMPLES = 10
"""Requests for each operation and kind of data."""
SERVED = ("digits", "digits-gpu")
"""Models by a function and by the model server behind the router."""
load_all_checks()


@pytest.fixture(scope="module")
def document(session: Session) -> dict[str, Any]:
    """The document that the deployed API was made from."""
    resources = session.engine.export()["deployment"]["resources"]
    [api] = [each for each in resources if each["type"] == "aws:apigateway/restApi:RestApi"]
    return dict(json.loads(api["inputs"]["body"]))


def operations(document: dict[str, Any], mode: GenerationMode) -> list[Any]:
    """Those that answer on any machine and that data of this kind can be made for.

    Left out are models without a server here, and `/v1`, whose errors have OpenAI's form: those are judged by
    their own contract.
    A GET without parameters has no wrong form.
    """
    schema = schemathesis.openapi.from_dict(document)
    found = [result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)]
    found = [each for each in found if _answers_here(each.path)]
    assert {f"/v2/models/{model}/infer" for model in SERVED} <= {each.path for each in found}
    takes_data = [each for each in found if any(True for _ in each.body)]
    return found if mode is GenerationMode.POSITIVE else takes_data


def _answers_here(path: str) -> bool:
    parts = path.split("/")
    if parts[:3] == ["", "v2", "models"] and len(parts) > 3:
        return parts[3] in (*SERVED, "{model}")
    return parts[1] == "v2"


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["valid", "invalid"])
def test_nothing_that_fits_or_breaks_the_document_gets_an_answer_that_breaks_it(
    document: dict[str, Any], client: Client, mode: GenerationMode
) -> None:
    headers = client.headers("acme")
    checks = [not_a_server_error, status_code_conformance, content_type_conformance]
    checks += [response_headers_conformance, response_schema_conformance]
    if mode is GenerationMode.NEGATIVE:
        checks.append(negative_data_rejection)
    statuses: Counter[int] = Counter()
    asked = operations(document, mode)
    with requests.Session() as http:
        for operation in asked:

            @settings(
                max_examples=EXAMPLES,
                deadline=None,
                database=None,
                derandomize=True,
                phases=[Phase.explicit, Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def answers(case: Any) -> None:
                answer = case.call(base_url=client.url, session=http, headers=headers, timeout=60)
                statuses[answer.status_code] += 1
                case.validate_response(answer, checks=checks)

            answers()
    assert asked
    assert statuses.total() >= EXAMPLES
    assert not statuses[429], "the tenant's rate was used up: nothing was tested"
    assert set(statuses) & ({200} if mode is GenerationMode.POSITIVE else {400})


@pytest.fixture(scope="module")
def api(client: Client) -> Front:
    """The deployed API, as a client with a token sees it."""
    headers = client.headers("acme")

    def ask(method: str, path: str, body: bytes, more: Mapping[str, str]) -> Answer:
        answer = httpx.request(
            method, f"{client.url}{path}", content=body, headers={**headers, **more}, timeout=60
        )
        return Answer(answer.status_code, answer.headers, answer.content)

    # One version of a model is live, so no route names it; the gateway's metadata lists no extension.
    return Front(ask, frozenset({"versions", "binary_data"}))


@pytest.mark.parametrize("check", oip_conformance.CHECKS, ids=lambda check: check.__name__)
def test_the_api_does_what_the_protocol_says(api: Front, check: Callable[[Front], Any]) -> None:
    if check.__name__ not in api.without:
        check(api)


def test_what_the_api_leaves_out_it_does_not_promise(api: Front) -> None:
    assert api.get("/v2").json()["extensions"] == []
    assert api.get(f"{oip_conformance.MODEL}/versions/v1").status == 404


def test_texts_become_vectors_through_the_api(client: Client) -> None:
    """The sentence encoder behind gateway and router; similarities as its authors' library computes them."""
    texts = ["That is a happy person", "That is a happy dog", "Today is a sunny day"]
    answer = httpx.post(
        f"{client.url}/v1/embeddings",
        json={"model": "minilm", "input": texts},
        headers=client.headers("acme"),
        timeout=60,
    )
    assert answer.status_code == 200, answer.text
    vectors = np.array([each["embedding"] for each in answer.json()["data"]])
    assert vectors[0] @ vectors[1:].T == pytest.approx([0.6946, 0.2569], abs=1e-4)
