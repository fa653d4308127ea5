"""What clients get from the running platform, over HTTP: answers, and refusals that say why."""

import json
import time
from typing import Any

import httpx
import pytest

from environments import loader
from inferctl.client import Client

IMAGE = {"name": "image", "datatype": "FP32", "shape": [1, 64], "data": [0.0] * 64}


@pytest.fixture(scope="module")
def headers(client: Client) -> dict[str, str]:
    return client.headers("acme")


def ask(client: Client, headers: dict[str, str], content: Any, model: str = "digits") -> httpx.Response:
    body = content if isinstance(content, (bytes, str)) else json.dumps(content)
    return httpx.post(
        f"{client.url}/v2/models/{model}/infer",
        content=body,
        headers={"Content-Type": "application/json", **headers},
        timeout=60,
    )


def refused(answer: httpx.Response, status: int, *words: str) -> None:
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    for word in words:
        assert word in error, error
    assert "Traceback" not in answer.text
    assert "/tmp" not in answer.text


def test_a_token_gets_a_prediction_from_the_real_model(client: Client, headers: dict[str, str]) -> None:
    answer = ask(client, headers, {"id": "7", "inputs": [IMAGE]})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["model_name"], body["model_version"], body["id"]) == ("digits", "v1", "7")
    outputs = {output["name"]: output for output in body["outputs"]}
    assert outputs["label"]["shape"] == [1]
    assert sum(outputs["probabilities"]["data"]) == pytest.approx(1, abs=1e-5)


def test_a_batch_is_answered_row_by_row(client: Client, headers: dict[str, str]) -> None:
    rows = {**IMAGE, "shape": [3, 64], "data": [0.0] * 64 + [8.0] * 64 + [16.0] * 64}
    outputs = ask(client, headers, {"inputs": [rows]}).json()["outputs"]
    assert {output["name"]: output["shape"] for output in outputs} == {"label": [3], "probabilities": [3, 10]}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param("not json", ["JSON"], id="not JSON"),
        pytest.param({}, ["inputs"], id="no inputs"),
        pytest.param({"inputs": [{**IMAGE, "shape": [1, 63]}]}, [], id="shape"),
        pytest.param(
            {"inputs": [{**IMAGE, "shape": [1, 32], "data": [0.0] * 32}]}, ["image", "64"], id="width"
        ),
        pytest.param({"inputs": [{**IMAGE, "datatype": "INT64", "data": [0] * 64}]}, ["FP32"], id="datatype"),
        pytest.param({"inputs": [{**IMAGE, "name": "picture"}]}, ["image"], id="name"),
        pytest.param({"inputs": [{**IMAGE, "data": [[0.0] * 63]}]}, ["64"], id="ragged"),
        pytest.param({"inputs": [{**IMAGE, "shape": [-1, 64]}]}, [], id="negative size"),
    ],
)
def test_a_wrong_body_is_a_400_that_says_why(
    client: Client, headers: dict[str, str], content: object, words: list[str]
) -> None:
    refused(ask(client, headers, content), 400, *words)


def test_seven_megabytes_are_a_413(client: Client, headers: dict[str, str]) -> None:
    rows = 27_000
    big = {**IMAGE, "shape": [rows, 64], "data": [0.25] * (rows * 64)}
    body = json.dumps({"inputs": [big]}, separators=(",", ":"))
    assert len(body) > 7_000_000
    refused(ask(client, headers, body), 413, "larger")


def test_an_unknown_model_is_a_404_that_names_the_list(client: Client, headers: dict[str, str]) -> None:
    refused(ask(client, headers, {"inputs": [IMAGE]}, model="unknown"), 404, "GET /v2/models")
    listed = httpx.get(f"{client.url}/v2/models", headers=headers)
    assert listed.json() == {"models": sorted(loader.from_file("local").models)}


def test_health_is_open_and_nothing_else(client: Client) -> None:
    assert httpx.get(f"{client.url}/v2/health/live").status_code == 200
    assert httpx.get(f"{client.url}/v2/health/ready").status_code == 200
    for path in ("/v2", "/v2/models", "/v2/models/digits", "/v2/models/digits/ready"):
        refused(httpx.get(f"{client.url}{path}"), 401, "token")


def test_metadata_shows_the_signature(client: Client, headers: dict[str, str]) -> None:
    metadata = httpx.get(f"{client.url}/v2/models/digits", headers=headers).json()
    assert metadata["inputs"] == [{"name": "image", "datatype": "FP32", "shape": [-1, 64]}]
    assert httpx.get(f"{client.url}/v2/models/digits/ready", headers=headers).status_code == 200


def test_a_missing_or_garbled_token_is_a_401(client: Client, headers: dict[str, str]) -> None:
    key = {"x-api-key": headers["x-api-key"]}
    refused(ask(client, key, {"inputs": [IMAGE]}), 401, "token")
    refused(ask(client, {**key, "Authorization": "Bearer abc.def.ghi"}, {"inputs": [IMAGE]}), 401, "token")


def test_an_expired_token_is_a_401(client: Client, headers: dict[str, str]) -> None:
    """A client of the same pool and tenant whose tokens live two seconds: valid fresh, refused after."""
    cognito, ssm = client.aws("cognito-idp"), client.aws("ssm")
    created = cognito.create_user_pool_client(
        UserPoolId=client.outputs["user_pool_id"],
        ClientName="short-lived",
        GenerateSecret=True,
        AllowedOAuthFlows=["client_credentials"],
        AllowedOAuthScopes=["inference/infer"],
        AllowedOAuthFlowsUserPoolClient=True,
        AccessTokenValidity=2,
        TokenValidityUnits={"AccessToken": "seconds"},
    )["UserPoolClient"]
    parameter = f"/inference-platform/local/tenants/{created['ClientId']}"
    held = json.dumps({"tenant": "acme", "api_key": headers["x-api-key"]})
    ssm.put_parameter(Name=parameter, Value=held, Type="SecureString")
    try:
        short = Client(
            outputs={**client.outputs, "tenant_client_ids": {"short": created["ClientId"]}},
            region=client.region,
            endpoints=client.endpoints,
            credentials=client.credentials,
        )
        fresh, expired = short.headers("short"), short.headers("short")
        assert ask(client, fresh, {"inputs": [IMAGE]}).status_code == 200
        time.sleep(8)  # two seconds of validity, and five of clock skew that the authorizer grants
        refused(ask(client, expired, {"inputs": [IMAGE]}), 401, "token")
    finally:
        ssm.delete_parameter(Name=parameter)
        cognito.delete_user_pool_client(
            UserPoolId=client.outputs["user_pool_id"], ClientId=created["ClientId"]
        )


def test_another_pools_token_is_a_401(client: Client, headers: dict[str, str]) -> None:
    """A pool of a stranger, with a resource server and scope of the same name."""
    cognito = client.aws("cognito-idp")
    pool = cognito.create_user_pool(PoolName="stranger")["UserPool"]["Id"]
    try:
        cognito.create_resource_server(
            UserPoolId=pool,
            Identifier="inference",
            Name="inference",
            Scopes=[{"ScopeName": "infer", "ScopeDescription": "infer"}],
        )
        stranger = cognito.create_user_pool_client(
            UserPoolId=pool,
            ClientName="stranger",
            GenerateSecret=True,
            AllowedOAuthFlows=["client_credentials"],
            AllowedOAuthScopes=["inference/infer"],
            AllowedOAuthFlowsUserPoolClient=True,
        )["UserPoolClient"]["ClientId"]
        foreign = Client(
            outputs={**client.outputs, "user_pool_id": pool, "tenant_client_ids": {"stranger": stranger}},
            region=client.region,
            endpoints=client.endpoints,
            credentials=client.credentials,
        )
        token = {"Authorization": f"Bearer {foreign.token('stranger')}", "x-api-key": headers["x-api-key"]}
        refused(ask(client, token, {"inputs": [IMAGE]}), 401, "token")
    finally:
        cognito.delete_user_pool(UserPoolId=pool)


def test_a_token_without_the_scope_is_a_403(client: Client) -> None:
    refused(ask(client, client.headers("auditor"), {"inputs": [IMAGE]}), 403, "scope")


def test_another_tenants_key_is_a_403(client: Client, headers: dict[str, str]) -> None:
    mixed = {**headers, "x-api-key": client.api_key("globex")}
    refused(ask(client, mixed, {"inputs": [IMAGE]}), 403)
    refused(ask(client, {**headers, "x-api-key": "no-such-key"}, {"inputs": [IMAGE]}), 403)


def test_a_tenant_over_its_rate_is_a_429_and_others_are_not(client: Client, headers: dict[str, str]) -> None:
    """globex may send 5 at once and 5 a second."""
    globex = client.headers("globex")
    url = f"{client.url}/v2/models"
    with httpx.Client() as http:
        answers = [http.get(url, headers=globex) for _ in range(60)]
        assert httpx.get(url, headers=headers).status_code == 200
    statuses = {answer.status_code for answer in answers}
    assert statuses == {200, 429}
    limited = next(answer for answer in answers if answer.status_code == 429)
    refused(limited, 429, "rate")
    assert limited.headers["retry-after"] == "1"
