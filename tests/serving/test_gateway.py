"""The functions behind a real gateway over HTTP: who gets in, and what bad input gets.

The API here is the least that carries them, one catch-all route; the platform's own comes from its catalogue.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving import publication
from serving.manifest import FILE_NAME, Manifest

pytestmark = pytest.mark.integration

REGION = "us-east-1"
ROUTES = {"api/infer": ["POST/v2/models/*/infer", "GET/v2/models/*"], "api/jobs": ["POST/v2/models/*/jobs"]}


Client = tuple[str, str, str]


def fetch_token(aws: Any, client: Client, scope: str) -> str:
    """An access token for a machine client, as it gets one itself."""
    answer = httpx.post(
        f"{aws.endpoint}/oauth2/token",
        data={"grant_type": "client_credentials", "scope": scope},
        auth=client[:2],
    )
    return str(answer.raise_for_status().json()["access_token"])


class Gateway:
    """A deployed API with its pool. `clients`: client id, secret and API key by tenant."""

    def __init__(self, aws: Any, url: str, clients: dict[str, Client]) -> None:
        self._aws, self._clients = aws, clients
        self.http = httpx.Client(base_url=url, timeout=60)

    def headers(
        self, tenant: str = "acme", scope: str = "api/infer", key_of: str | None = None
    ) -> dict[str, str]:
        return {
            "authorization": f"Bearer {fetch_token(self._aws, self._clients[tenant], scope)}",
            "x-api-key": self._clients[key_of or tenant][2],
        }


@pytest.fixture(scope="module")
def gateway(
    aws: Any,
    digits: Path,
    local_zips: dict[str, bytes],
    make_role: Callable[..., str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Gateway:
    s3, lambdas = aws.client("s3"), aws.client("lambda")
    s3.create_bucket(Bucket="gateway-models")
    publication.publish(s3, "gateway-models", digits)
    pool, clients = _pool(aws, "gateway")
    arns = {}
    for name, code, handler, statement, variables in (
        (
            "gateway-digits",
            local_zips["model-server"],
            "serving.lambda_app.handler",
            {"Action": "s3:GetObject", "Resource": "arn:aws:s3:::gateway-models/models/digits/*"},
            {
                "MODEL_NAME": "digits",
                "MODEL_VERSION": "v1",
                "MODEL_BUCKET": "gateway-models",
                "MODEL_CACHE_DIR": str(tmp_path_factory.mktemp("models")),
            },
        ),
        (
            "gateway-authorizer",
            local_zips["authorizer"],
            "serving.authorizer.handler",
            {"Action": "ssm:GetParameter", "Resource": f"arn:aws:ssm:{REGION}:*:parameter/gateway/*"},
            {
                "USER_POOL_ID": pool,
                "ISSUER": f"https://cognito-idp.{REGION}.amazonaws.com/{pool}",
                "JWKS_URL": f"{aws.endpoint}/{pool}/.well-known/jwks.json",
                "TENANT_PARAMETER_PREFIX": "/gateway/tenants",
                "SCOPE_ROUTES": json.dumps(ROUTES),
                "API_KEY_SOURCE": "header",
            },
        ),
    ):
        arns[name] = lambdas.create_function(
            FunctionName=name,
            Runtime="python3.13",
            Handler=handler,
            Role=make_role(aws, name, statement),
            Code={"ZipFile": code},
            Timeout=20,
            Environment={"Variables": variables},
        )["FunctionArn"]
        lambdas.get_waiter("function_active_v2").wait(FunctionName=name)
    url = _api(aws, arns["gateway-digits"], arns["gateway-authorizer"])
    return Gateway(aws, url, clients)


def _pool(aws: Any, name: str) -> tuple[str, dict[str, Client]]:
    """A user pool with the API's scopes and a machine client per tenant; "stranger" is no tenant's."""
    cognito, ssm = aws.client("cognito-idp"), aws.client("ssm")
    pool = cognito.create_user_pool(PoolName=name)["UserPool"]["Id"]
    cognito.create_user_pool_domain(Domain=f"{name}-tests", UserPoolId=pool)
    scopes = [{"ScopeName": name, "ScopeDescription": name} for name in ("infer", "jobs", "other")]
    cognito.create_resource_server(UserPoolId=pool, Identifier="api", Name="api", Scopes=scopes)
    clients = {}
    for tenant in ("acme", "globex", "stranger"):
        client = cognito.create_user_pool_client(
            UserPoolId=pool,
            ClientName=tenant,
            GenerateSecret=True,
            AllowedOAuthFlows=["client_credentials"],
            AllowedOAuthScopes=["api/infer", "api/jobs", "api/other"],
            AllowedOAuthFlowsUserPoolClient=True,
        )["UserPoolClient"]
        key = f"api-key-of-{tenant}-0123456789"
        clients[tenant] = (client["ClientId"], client["ClientSecret"], key)
        if tenant != "stranger":
            ssm.put_parameter(
                Name=f"/gateway/tenants/{client['ClientId']}",
                Type="SecureString",
                Value=json.dumps({"tenant": tenant, "api_key": key}),
            )
    return pool, clients


def _api(aws: Any, server: str, authorizer: str) -> str:
    gateway = aws.client("apigateway")
    invoke = f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{{}}/invocations"
    api = gateway.create_rest_api(name="gateway")["id"]
    root = gateway.get_resources(restApiId=api)["items"][0]["id"]
    resource = gateway.create_resource(restApiId=api, parentId=root, pathPart="{proxy+}")["id"]
    made = gateway.create_authorizer(
        restApiId=api,
        name="tokens",
        type="REQUEST",
        authorizerUri=invoke.format(authorizer),
        identitySource="method.request.header.Authorization",
        authorizerResultTtlInSeconds=0,  # the result depends on the API key too
    )["id"]
    gateway.put_method(
        restApiId=api, resourceId=resource, httpMethod="ANY", authorizationType="CUSTOM", authorizerId=made
    )
    gateway.put_integration(
        restApiId=api,
        resourceId=resource,
        httpMethod="ANY",
        type="AWS_PROXY",
        integrationHttpMethod="POST",
        uri=invoke.format(server),
    )
    gateway.create_deployment(restApiId=api, stageName="live")
    return f"{aws.endpoint}/_aws/execute-api/{api}/live"


@pytest.fixture(scope="module")
def golden(digits: Path) -> dict[str, Any]:
    """A request whose answer is known: a zero."""
    return dict(Manifest.parse((digits / FILE_NAME).read_bytes()).golden[0].request)


class TestWhoGetsIn:
    def test_a_tenants_token_and_key_get_a_prediction(self, gateway: Gateway, golden: dict[str, Any]) -> None:
        answer = gateway.http.post("/v2/models/digits/infer", json=golden, headers=gateway.headers())
        assert answer.status_code == 200
        assert answer.json()["outputs"][0] == {
            "name": "label",
            "datatype": "INT64",
            "shape": [1],
            "data": [0],
        }
        assert answer.headers["x-request-id"]

    @pytest.mark.parametrize("authorization", [None, "Bearer garbage", "Basic YTpi", "changed"])
    def test_no_valid_token_gets_401(self, gateway: Gateway, authorization: str | None) -> None:
        headers = gateway.headers()
        if authorization == "changed":
            authorization = headers["authorization"][:-6] + "AAAAAA"
        if authorization is None:
            del headers["authorization"]
        else:
            headers["authorization"] = authorization
        assert gateway.http.get("/v2/models/digits", headers=headers).status_code == 401

    def test_another_pools_token_gets_401(self, gateway: Gateway, aws: Any) -> None:
        _, clients = _pool(aws, "foreign")
        headers = {"authorization": f"Bearer {fetch_token(aws, clients['acme'], 'api/infer')}"}
        headers["x-api-key"] = clients["acme"][2]
        assert gateway.http.get("/v2/models/digits", headers=headers).status_code == 401

    def test_a_client_that_is_no_tenants_gets_401(self, gateway: Gateway) -> None:
        headers = gateway.headers("stranger")
        assert gateway.http.get("/v2/models/digits", headers=headers).status_code == 401

    def test_a_token_without_the_routes_scope_gets_403(
        self, gateway: Gateway, golden: dict[str, Any]
    ) -> None:
        for scope in ("api/other", "api/jobs"):
            headers = gateway.headers(scope=scope)
            answer = gateway.http.post("/v2/models/digits/infer", json=golden, headers=headers)
            assert answer.status_code == 403

    def test_another_tenants_key_and_no_key_get_403(self, gateway: Gateway) -> None:
        headers = gateway.headers("acme", key_of="globex")
        assert gateway.http.get("/v2/models/digits", headers=headers).status_code == 403
        del headers["x-api-key"]
        assert gateway.http.get("/v2/models/digits", headers=headers).status_code == 403
        assert gateway.http.get("/v2/models/digits", headers=gateway.headers("globex")).status_code == 200


def tensor(**changes: Any) -> bytes:
    made = {"name": "image", "datatype": "FP32", "shape": [1, 64], "data": [0] * 64} | changes
    return json.dumps({"inputs": [made]}).encode()


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "reason"),
    [
        ("POST", "/v2/models/digits/infer", b"not json", 400, "the body is not JSON"),
        ("POST", "/v2/models/digits/infer", b"\xff\x00\xfe", 400, "the body is not JSON"),
        ("POST", "/v2/models/digits/infer", b"", 400, "the body is empty"),
        ("POST", "/v2/models/digits/infer", b"{}", 400, "'inputs' must be an array"),
        ("POST", "/v2/models/digits/infer", tensor(name="picture"), 400, "inputs[0] must have one of"),
        ("POST", "/v2/models/digits/infer", tensor(shape=[64]), 400, "shape [64] does not fit [-1, 64]"),
        ("POST", "/v2/models/digits/infer", tensor(shape=[-1, 64]), 400, "shape [-1, 64] does not fit"),
        ("POST", "/v2/models/digits/infer", tensor(shape=[10**15, 64]), 400, "data has 64"),
        (
            "POST",
            "/v2/models/digits/infer",
            tensor(datatype="INT64"),
            400,
            "datatype must be FP32, not INT64",
        ),
        ("POST", "/v2/models/digits/infer", tensor(data=[0] * 63), 400, "data has 63"),
        ("POST", "/v2/models/digits/infer", tensor(data=[[0] * 63 + [[]]]), 400, "value 63 is an array"),
        ("POST", "/v2/models/digits/infer", tensor(data=[0] * 63 + [True]), 400, "value 63 is a boolean"),
        ("POST", "/v2/models/digits/infer", tensor(data=[0] * 63 + [float("nan")]), 400, "not JSON"),
        ("POST", "/v2/models/digits/infer", b" " * (7 * 2**20), 413, "the body is larger than 6291456"),
        ("POST", "/v2/models/other/infer", tensor(), 404, "no such model here"),
        ("GET", "/v2/models/digits/versions/v2", b"", 404, "no such version is live"),
        ("GET", "/v2/models/digits/infer", b"", 405, "this route takes POST"),
    ],
    ids=lambda value: repr(value[:40]) if isinstance(value, bytes) else str(value),
)
def test_bad_input_gets_a_4xx_with_a_json_error_that_says_why(
    gateway: Gateway, method: str, path: str, body: bytes, status: int, reason: str
) -> None:
    headers = gateway.headers() | {"content-type": "application/json"}
    answer = gateway.http.request(method, path, content=body, headers=headers)
    assert answer.status_code == status
    assert answer.json().keys() == {"error"}
    assert reason in answer.json()["error"]
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"]
