"""The authorizer: forged, stale and foreign tokens get 401; a token opens its own tenant's routes only."""

import base64
import hashlib
import hmac
import json
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving import authorizer
from serving.authorizer import Authorizer, Settings, Tenants, Unauthorized

POOL = "us-east-1_abcdefghi"
ISSUER = f"https://cognito-idp.us-east-1.amazonaws.com/{POOL}"
STAGE = "arn:aws:execute-api:us-east-1:000000000000:a1b2c3d4/live"
ARN = f"{STAGE}/POST/v2/models/digits/infer"
ROUTES = {"api/infer": ["POST/v2/models/*/infer", "GET/v2/models/*"], "api/jobs": ["POST/v2/models/*/jobs"]}
KEY = "tenant-acme-api-key-0123456789"


class Pool:
    """A user pool's signing keys, served over HTTP as Cognito serves them; counts how often."""

    def __init__(self) -> None:
        self.keys = {"one": rsa.generate_private_key(public_exponent=65537, key_size=2048)}
        self.published = ["one"]
        self.fetches = 0
        pool = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                pool.fetches += 1
                body = pool.jwks()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/jwks.json"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def jwks(self) -> bytes:
        to_jwk = jwt.algorithms.RSAAlgorithm.to_jwk
        keys = [
            json.loads(to_jwk(self.keys[kid].public_key())) | {"kid": kid, "alg": "RS256", "use": "sig"}
            for kid in self.published
        ]
        return json.dumps({"keys": keys}).encode()

    def token(self, kid: str = "one", **changes: Any) -> str:
        """An access token as Cognito makes it for client credentials; `...` leaves a claim out."""
        now = int(time.time())
        claims = {
            "sub": "client1",
            "token_use": "access",
            "scope": "api/infer",
            "iss": ISSUER,
            "exp": now + 3600,
            "iat": now,
            "client_id": "client1",
        } | changes
        claims = {name: value for name, value in claims.items() if value is not ...}
        return jwt.encode(claims, self.keys[kid], algorithm="RS256", headers={"kid": kid})


class Parameters:
    """SSM with one tenant; counts the reads."""

    def __init__(self) -> None:
        self.values = {"/platform/tenants/client1": json.dumps({"tenant": "acme", "api_key": KEY})}
        self.reads: list[str] = []

    def get_parameter(self, Name: str, WithDecryption: bool) -> Any:  # noqa: N803 - as boto3 names them
        assert WithDecryption
        self.reads.append(Name)
        if Name not in self.values:
            raise ClientError({"Error": {"Code": "ParameterNotFound", "Message": ""}}, "GetParameter")
        return {"Parameter": {"Value": self.values[Name]}}


@pytest.fixture
def pool() -> Iterator[Pool]:
    made = Pool()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def parameters() -> Parameters:
    return Parameters()


def environment(pool: Pool, **changes: str) -> dict[str, str]:
    return {
        "USER_POOL_ID": POOL,
        "ISSUER": ISSUER,
        "JWKS_URL": pool.url,
        "TENANT_PARAMETER_PREFIX": "/platform/tenants",
        "SCOPE_ROUTES": json.dumps(ROUTES),
        "API_KEY_SOURCE": "authorizer",
    } | changes


Decide = Callable[..., dict[str, Any]]


@pytest.fixture
def decide(pool: Pool, parameters: Parameters) -> Decide:
    """Asks an authorizer about a token, in a mode, with headers."""
    made = {
        mode: Authorizer(
            Settings.of(environment(pool, API_KEY_SOURCE=mode)),
            Tenants(lambda: parameters, "/platform/tenants"),
        )
        for mode in ("authorizer", "header")
    }

    def ask(token: str | None, mode: str = "authorizer", arn: str = ARN, **headers: str) -> dict[str, Any]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        return made[mode]({"type": "REQUEST", "methodArn": arn, "headers": sent})

    return ask


def effect(answer: dict[str, Any]) -> tuple[str, list[str]]:
    statement = answer["policyDocument"]["Statement"][0]
    assert statement["Action"] == "execute-api:Invoke"
    return statement["Effect"], statement["Resource"]


class TestTokens:
    def test_a_valid_token_opens_the_routes_of_its_scope_over_the_stage(
        self, pool: Pool, decide: Decide
    ) -> None:
        answer = decide(pool.token())
        assert effect(answer) == ("Allow", [f"{STAGE}/GET/v2/models/*", f"{STAGE}/POST/v2/models/*/infer"])
        assert answer["principalId"] == "client1"
        assert answer["context"] == {"tenant": "acme", "client_id": "client1", "scope": "api/infer"}
        assert answer["usageIdentifierKey"] == KEY

    def test_the_answer_does_not_depend_on_the_method_that_is_called(
        self, pool: Pool, decide: Decide
    ) -> None:
        token = pool.token(scope="api/jobs api/infer other/scope")
        answers = [
            decide(token, arn=f"{STAGE}/{route}") for route in ("GET/v2/models", "DELETE/", "POST/a/b")
        ]
        assert answers[0] == answers[1] == answers[2]
        assert len(effect(answers[0])[1]) == 3

    @pytest.mark.parametrize(
        "authorization",
        [
            "",
            "Bearer",
            "Bearer ",
            "Basic dXNlcjpwYXNz",
            "Bearer garbage",
            "Bearer a.b.c",
            "Bearer é.é.é",
            "Bearer \ud800.a.b",
        ],
    )
    def test_what_is_no_bearer_token_is_unauthorized(self, decide: Decide, authorization: str) -> None:
        with pytest.raises(Unauthorized, match=r"^Unauthorized$"):
            decide(None, authorization=authorization)

    @pytest.mark.parametrize(
        "changes",
        [
            {"exp": -60},
            {"exp": ...},
            {"exp": "never"},
            {"iat": 86_400},
            {"nbf": 86_400},
            {"iss": "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_another00"},
            {"iss": ...},
            {"token_use": "id"},
            {"token_use": ...},
            {"client_id": ...},
            {"client_id": "client2"},
            {"client_id": "../tenants/client1"},
            {"client_id": ["client1"]},
        ],
        ids=str,
    )
    def test_claims_that_do_not_hold_are_unauthorized(
        self, pool: Pool, decide: Decide, changes: dict[str, Any]
    ) -> None:
        """Numbers are seconds from now: an id of a test must not depend on the clock."""
        now = int(time.time())
        claims: dict[str, Any] = {
            name: now + value if isinstance(value, int) else value for name, value in changes.items()
        }
        decide(pool.token())
        with pytest.raises(Unauthorized):
            decide(pool.token(**claims))

    def test_another_pools_token_is_unauthorized(self, pool: Pool, decide: Decide) -> None:
        pool.keys["foreign"] = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        with pytest.raises(Unauthorized):
            decide(pool.token("foreign"))
        claims = jwt.decode(pool.token(), options={"verify_signature": False})
        forged = jwt.encode(claims, pool.keys["foreign"], algorithm="RS256", headers={"kid": "one"})
        with pytest.raises(Unauthorized):
            decide(forged)

    def test_the_public_key_as_a_shared_secret_and_no_signature_at_all_are_unauthorized(
        self, pool: Pool, decide: Decide
    ) -> None:
        def part(document: dict[str, Any]) -> bytes:
            return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=")

        claims = jwt.decode(pool.token(), options={"verify_signature": False})
        public = (
            pool.keys["one"]
            .public_key()
            .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        )
        signed = b".".join([part({"alg": "HS256", "typ": "JWT", "kid": "one"}), part(claims)])
        signature = base64.urlsafe_b64encode(hmac.digest(public, signed, hashlib.sha256)).rstrip(b"=")
        unsigned = b".".join([part({"alg": "none", "typ": "JWT", "kid": "one"}), part(claims), b""])
        for token in (b".".join([signed, signature]), unsigned):
            with pytest.raises(Unauthorized):
                decide(token.decode())

    def test_another_algorithm_of_the_same_key_is_unauthorized(self, pool: Pool, decide: Decide) -> None:
        claims = jwt.decode(pool.token(), options={"verify_signature": False})
        token = jwt.encode(claims, pool.keys["one"], algorithm="RS512", headers={"kid": "one"})
        with pytest.raises(Unauthorized):
            decide(token)

    def test_a_client_id_that_could_lead_elsewhere_is_never_looked_up(
        self, pool: Pool, decide: Decide, parameters: Parameters
    ) -> None:
        for client_id in ("../tenants/client1", "client1/x", "", "a" * 129, "client1\n"):
            with pytest.raises(Unauthorized):
                decide(pool.token(client_id=client_id))
        assert parameters.reads == []

    def test_a_changed_claim_breaks_the_signature(self, pool: Pool, decide: Decide) -> None:
        header, _, signature = pool.token().split(".")
        payload = pool.token(scope="api/infer api/jobs").split(".")[1]
        with pytest.raises(Unauthorized):
            decide(f"{header}.{payload}.{signature}")

    @settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(
        token=st.text(max_size=40)
        | st.lists(st.binary(max_size=30), min_size=3, max_size=3).map(
            lambda parts: ".".join(base64.urlsafe_b64encode(part).decode() for part in parts)
        )
    )
    def test_any_text_as_a_token_is_unauthorized(self, decide: Decide, token: str) -> None:
        with pytest.raises(Unauthorized):
            decide(token)

    def test_a_header_nested_without_end_is_unauthorized(self, decide: Decide) -> None:
        nested = base64.urlsafe_b64encode(b"[" * 7000).decode().rstrip("=")
        with pytest.raises(Unauthorized):
            decide(f"{nested}.e30.e30")


class TestKeysOfThePool:
    def test_they_are_fetched_once_and_for_a_new_key_again_at_a_bounded_rate(
        self, pool: Pool, decide: Decide, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for _ in range(3):
            decide(pool.token())
        assert pool.fetches == 1
        pool.keys["two"] = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pool.published.append("two")
        for _ in range(20):
            with pytest.raises(Unauthorized):
                decide(pool.token("two"))
        assert pool.fetches == 1  # within the cooldown of the first fetch
        real = time.monotonic
        monkeypatch.setattr(time, "monotonic", lambda: real() + authorizer.KEYS_COOLDOWN_S + 1)
        assert effect(decide(pool.token("two")))[0] == "Allow"
        for kid in ("forged1", "forged2", "forged3"):
            pool.keys[kid] = pool.keys["one"]
            with pytest.raises(Unauthorized):
                decide(pool.token(kid))
        assert pool.fetches == 2

    def test_keys_that_cannot_be_fetched_are_not_the_callers_fault(self, pool: Pool, decide: Decide) -> None:
        pool.server.shutdown()
        pool.server.server_close()
        with pytest.raises(jwt.PyJWKClientConnectionError):
            decide(pool.token())


class TestTenants:
    @pytest.mark.parametrize("scope", ["", "other/scope", "api/", "infer", "api/infer2", ...])
    def test_a_token_without_a_scope_of_this_api_is_denied(
        self, pool: Pool, decide: Decide, scope: Any
    ) -> None:
        assert effect(decide(pool.token(scope=scope))) == ("Deny", [f"{STAGE}/*"])

    @pytest.mark.parametrize("key", [None, "", "tenant-other-key", KEY[:-1], KEY + "x", KEY.upper(), "é"])
    def test_in_header_mode_a_missing_or_foreign_key_is_denied(
        self, pool: Pool, decide: Decide, key: str | None
    ) -> None:
        sent = {} if key is None else {"X_Api_Key": key}
        answer = decide(pool.token(), "header", **sent)
        assert effect(answer) == ("Deny", [f"{STAGE}/*"])
        assert KEY not in json.dumps(answer)

    def test_in_header_mode_the_tenants_own_key_is_taken(self, pool: Pool, decide: Decide) -> None:
        answer = decide(pool.token(), "header", x_api_key=KEY)
        assert effect(answer)[0] == "Allow"
        assert "usageIdentifierKey" not in answer

    def test_in_authorizer_mode_a_key_that_the_client_sends_changes_nothing(
        self, pool: Pool, decide: Decide
    ) -> None:
        assert decide(pool.token(), x_api_key="tenant-other-key") == decide(pool.token())

    def test_they_are_read_once_in_some_minutes_and_unknown_clients_more_often(
        self, pool: Pool, decide: Decide, parameters: Parameters, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for _ in range(3):
            decide(pool.token())
            with pytest.raises(Unauthorized):
                decide(pool.token(client_id="client2"))
        assert len(parameters.reads) == 2
        parameters.values["/platform/tenants/client2"] = json.dumps({"tenant": "new", "api_key": "k2"})
        real, passed = time.monotonic, authorizer.UNKNOWN_LIFESPAN_S + 1
        monkeypatch.setattr(time, "monotonic", lambda: real() + passed)
        assert decide(pool.token(client_id="client2"))["context"]["tenant"] == "new"
        decide(pool.token())
        assert len(parameters.reads) == 3
        passed = authorizer.TENANT_LIFESPAN_S + 1
        decide(pool.token())
        assert len(parameters.reads) == 4

    def test_tokens_and_keys_are_never_logged(
        self, pool: Pool, decide: Decide, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
    ) -> None:
        caplog.set_level("DEBUG")
        token = pool.token()
        decide(token)
        decide(token, "header", x_api_key="tenant-other-key")
        with pytest.raises(Unauthorized):
            decide(token + "x")
        fields = [getattr(record, "fields", {}) for record in caplog.records]
        logged = f"{caplog.text}{fields}{capsys.readouterr()}"
        assert [record.message for record in caplog.records if record.name == "serving.authorizer"] == [
            "allowed",
            "denied",
            "unauthorized",
        ]
        for secret in (*token.split("."), KEY, "tenant-other-key"):
            assert secret not in logged
        assert KEY not in repr(authorizer.Tenant("acme", KEY))


class TestSettings:
    def test_missing_variables_are_named(self) -> None:
        with pytest.raises(
            ValueError, match=r"misses USER_POOL_ID, TENANT_PARAMETER_PREFIX, .*API_KEY_SOURCE"
        ):
            Settings.of({"ISSUER": ISSUER})

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"JWKS_URL": "http://cognito.example.com/jwks.json"}, "JWKS_URL must be https"),
            ({"USER_POOL_ID": "us-east-1_another00"}, "ISSUER must end with USER_POOL_ID"),
            ({"API_KEY_SOURCE": "HEADER"}, "API_KEY_SOURCE must be 'authorizer' or 'header'"),
            ({"SCOPE_ROUTES": '{"api/infer": ["/v2/models"]}'}, "SCOPE_ROUTES has '/v2/models'"),
        ],
    )
    def test_an_environment_at_fault_is_refused(
        self, pool: Pool, changes: dict[str, str], reason: str
    ) -> None:
        with pytest.raises(ValueError, match=reason):
            Settings.of(environment(pool, **changes))


@pytest.mark.integration
def test_a_real_cognito_token_and_a_real_ssm_parameter(aws: Any) -> None:
    cognito, ssm = aws.client("cognito-idp"), aws.client("ssm")
    pool_id = cognito.create_user_pool(PoolName="platform")["UserPool"]["Id"]
    cognito.create_user_pool_domain(Domain="platform-authorizer", UserPoolId=pool_id)
    cognito.create_resource_server(
        UserPoolId=pool_id,
        Identifier="api",
        Name="api",
        Scopes=[{"ScopeName": "infer", "ScopeDescription": "infer"}],
    )
    client = cognito.create_user_pool_client(
        UserPoolId=pool_id,
        ClientName="acme",
        GenerateSecret=True,
        AllowedOAuthFlows=["client_credentials"],
        AllowedOAuthScopes=["api/infer"],
        AllowedOAuthFlowsUserPoolClient=True,
    )["UserPoolClient"]
    ssm.put_parameter(
        Name=f"/tenants/{client['ClientId']}",
        Type="SecureString",
        Value=json.dumps({"tenant": "acme", "api_key": KEY}),
    )
    token = _client_credentials(aws.endpoint, client["ClientId"], client["ClientSecret"])
    checked = Authorizer(
        Settings.of(
            {
                "USER_POOL_ID": pool_id,
                "ISSUER": f"https://cognito-idp.us-east-1.amazonaws.com/{pool_id}",
                "JWKS_URL": f"{aws.endpoint}/{pool_id}/.well-known/jwks.json",
                "TENANT_PARAMETER_PREFIX": "/tenants/",
                "SCOPE_ROUTES": json.dumps(ROUTES),
                "API_KEY_SOURCE": "authorizer",
            }
        ),
        Tenants(lambda: ssm, "/tenants"),
    )
    event = {"methodArn": ARN, "headers": {"authorization": f"bearer {token}"}}
    answer = checked(event)
    assert effect(answer)[0] == "Allow"
    assert answer["context"] == {"tenant": "acme", "client_id": client["ClientId"], "scope": "api/infer"}
    with pytest.raises(Unauthorized):
        checked(event | {"headers": {"authorization": f"bearer {token[:-4]}AAAA"}})


def _client_credentials(endpoint: str, client_id: str, secret: str) -> str:
    form = urllib.parse.urlencode({"grant_type": "client_credentials", "scope": "api/infer"}).encode()
    credentials = base64.b64encode(f"{client_id}:{secret}".encode()).decode()
    request = urllib.request.Request(
        f"{endpoint}/oauth2/token",
        data=form,
        headers={
            "authorization": f"Basic {credentials}",
            "content-type": "application/x-www-form-urlencoded",
        },
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        return str(json.load(response)["access_token"])
