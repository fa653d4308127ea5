"""The canary: asks each model its first golden request through the API, as a client would.

It gets a token as a machine client of its own, asks which version answers, reads that version's manifest,
sends the golden request and compares. The line that it logs for each model is its metrics, too:
`canary_faults` (1 or 0) and `canary_ms`. Payloads and credentials are never logged.

Environment:
    API_ID, API_STAGE, API_URL   the API; the first two find it in an embedded AWS (AWS_ENDPOINT_URL)
    OAUTH_URL                    where tokens come from, such as https://<domain>.auth.<region>.amazoncognito.com
    USER_POOL_ID, CLIENT_ID      the machine client; its secret is read from the pool when a token is needed
    API_KEY_PARAMETER            SecureString with the client's API key; empty where the token alone is enough
    MODELS                       names with commas between them
    MODEL_BUCKET                 holds the manifests
"""

import base64
import json
import logging
import math
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import botocore.session
from botocore.config import Config

from serving import logs

TIMEOUT_S = 30

logger = logging.getLogger(__name__)


class CanaryFault(Exception):
    """A model did not answer as its manifest says. The text holds no payload."""


@dataclass(frozen=True, slots=True)
class Api:
    """Where to ask, and with what."""

    url: str
    headers: Mapping[str, str]

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The answer's document. Raises CanaryFault for a refusal or when nothing answers."""
        data = None if body is None else json.dumps(body).encode()
        return _call(method, f"{self.url}{path}", {**self.headers, "content-type": "application/json"}, data)


def ask(api: Api, model: str, manifest_of: Any) -> str:
    """Ask a model its first golden request; the version that answered as it should.

    Raises CanaryFault where it did not. `manifest_of(model, version)` gives a manifest's document.
    """
    version = str((api.call("GET", f"/v2/models/{model}").get("versions") or [""])[0])
    golden = manifest_of(model, version)["golden"][0]
    answer = api.call("POST", f"/v2/models/{model}/infer", golden["request"])
    tolerance = golden.get("tolerance") or {}
    if fault := difference(
        golden["outputs"],
        answer.get("outputs") or [],
        float(tolerance.get("absolute", 0)),
        float(tolerance.get("relative", 0)),
    ):
        raise CanaryFault(fault)
    return str(answer.get("model_version", version))


def difference(
    expected: Iterable[Mapping[str, Any]],
    given: Iterable[Mapping[str, Any]],
    absolute: float,
    relative: float,
) -> str:
    """What is wrong with the outputs given; empty when each expected one is there and near enough."""
    by_name = {output.get("name"): output for output in given}
    for want in expected:
        have = by_name.get(want["name"])
        if have is None:
            return f"output '{want['name']}' is missing"
        wanted, found = _flat(want["data"]), _flat(have.get("data") or [])
        if len(wanted) != len(found):
            return f"output '{want['name']}' has {len(found)} values, expected {len(wanted)}"
        if not all(_near(a, b, absolute, relative) for a, b in zip(wanted, found, strict=True)):
            return f"output '{want['name']}' differs from the expected one"
    return ""


def _flat(data: Sequence[Any]) -> list[Any]:
    """Values in row order; the protocol lets a tensor's data be nested."""
    return [value for item in data for value in (_flat(item) if isinstance(item, list) else [item])]


def _near(want: Any, have: Any, absolute: float, relative: float) -> bool:
    if isinstance(want, float) and isinstance(have, (int, float)):
        return math.isclose(want, have, rel_tol=relative, abs_tol=absolute)
    return bool(want == have)


def _call(method: str, url: str, headers: Mapping[str, str], data: bytes | None) -> dict[str, Any]:
    request = urllib.request.Request(url, data=data, headers=dict(headers), method=method)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310 - a URL of our own
            document: dict[str, Any] = json.loads(answer.read())
            return document
    except urllib.error.HTTPError as error:
        raise CanaryFault(f"{method} {_path(url)}: HTTP {error.code}") from None
    except (OSError, ValueError) as error:
        raise CanaryFault(f"{method} {_path(url)}: {type(error).__name__}") from None


def _path(url: str) -> str:
    return "/" + url.split("://")[-1].partition("/")[2]


@cache
def _client(service: str) -> Any:
    config = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 3})
    return botocore.session.get_session().create_client(service, config=config)


def _api(environment: Mapping[str, str]) -> Api:
    """The API with a fresh token. Raises CanaryFault when Cognito gives none."""
    embedded = environment.get("AWS_ENDPOINT_URL")
    oauth = embedded or environment["OAUTH_URL"]
    url = environment["API_URL"]
    if embedded:
        url = f"{embedded}/_aws/execute-api/{environment['API_ID']}/{environment['API_STAGE']}"
    client_id = environment["CLIENT_ID"]
    secret = _client("cognito-idp").describe_user_pool_client(
        UserPoolId=environment["USER_POOL_ID"], ClientId=client_id
    )["UserPoolClient"]["ClientSecret"]
    basic = base64.b64encode(f"{client_id}:{secret}".encode()).decode()
    headers = {"authorization": f"Basic {basic}", "content-type": "application/x-www-form-urlencoded"}
    token = _call("POST", f"{oauth}/oauth2/token", headers, b"grant_type=client_credentials")["access_token"]
    carried = {"authorization": f"Bearer {token}"}
    if parameter := environment.get("API_KEY_PARAMETER"):
        held = _client("ssm").get_parameter(Name=parameter, WithDecryption=True)["Parameter"]["Value"]
        carried["x-api-key"] = json.loads(held)["api_key"]
    return Api(url=url.rstrip("/"), headers=carried)


def _manifest_of(model: str, version: str) -> dict[str, Any]:
    key = f"models/{model}/{version}/manifest.json"
    body = _client("s3").get_object(Bucket=os.environ["MODEL_BUCKET"], Key=key)["Body"].read()
    document: dict[str, Any] = json.loads(body)
    return document


def handler(_event: Any, _context: Any) -> dict[str, Any]:
    """Entry point of the canary's function: what each model did, `ok` or what was wrong."""
    logs.configure(os.environ.get("LOG_LEVEL", "INFO"))
    outcome: dict[str, str] = {}
    api: Api | None = None
    for model in filter(None, os.environ["MODELS"].split(",")):
        started = time.perf_counter()
        version = ""
        try:
            api = api or _api(os.environ)
            version, outcome[model] = ask(api, model, _manifest_of), "ok"
        except CanaryFault as fault:
            outcome[model] = str(fault)
        except Exception as error:  # whatever it is, the client's way to the model does not work
            logger.exception("canary")
            outcome[model] = type(error).__name__
        logs.measured(
            "canary",
            model=model,
            values={
                "canary_faults": (int(outcome[model] != "ok"), "Count"),
                "canary_ms": (round((time.perf_counter() - started) * 1e3, 1), "Milliseconds"),
            },
            version=version,
            outcome=outcome[model],
        )
    return outcome
