"""Who is calling: the gateway's Lambda authorizer (type REQUEST), which ties a token to tenant and routes.

A caller sends a Cognito access token. What comes out for the gateway:
    no valid token, or a client that is no tenant's     401: raising "Unauthorized" is the only way to say it
    a valid token without a scope of this API           403: a policy that denies
    `header` mode: no API key or another tenant's       403: a policy that denies
    otherwise                                           a policy that allows the routes of the token's scopes

Environment:
    USER_POOL_ID              the pool that issues the tokens
    ISSUER                    the value that `iss` must have; it ends with the pool's id
    JWKS_URL                  where the pool's public keys are, if not at the issuer; an emulator's endpoint
                              (AWS_ENDPOINT_URL, as in the SDKs) counts too
    TENANT_PARAMETER_PREFIX   SSM has a SecureString `<prefix>/<client_id>`: {"tenant": "", "api_key": ""}
    SCOPE_ROUTES              {"<resource server>/<scope>": ["<METHOD>/<path, * for anything>", ...], ...}
    API_KEY_SOURCE            `authorizer`: the tenant's key is handed to the gateway for its usage plan;
                              `header`: the client sends it too, as x-api-key. The result then depends on
                              both, so both must be identity sources of the gateway's cache
"""

import hmac
import json
import logging
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Self
from urllib.parse import urlsplit

import botocore.session
import jwt
from botocore.config import Config
from botocore.exceptions import ClientError

from serving import logs

KEYS_LIFESPAN_S = 6 * 3600
# An unknown key id may be a new key of the pool; forged ones must not turn each request into a fetch.
KEYS_COOLDOWN_S = 60
TENANT_LIFESPAN_S = 300
# Shorter, so that a tenant that was just added does not wait for long.
UNKNOWN_LIFESPAN_S = 30
# Seconds by which the clocks of Cognito and of Lambda may differ.
CLOCK_SKEW_S = 5

_CLIENT_ID = re.compile(r"[A-Za-z0-9_+]{1,128}")
_ROUTE = re.compile(r"(GET|POST|PUT|PATCH|DELETE|\*)/[A-Za-z0-9/*._{}+-]*")

logger = logging.getLogger(__name__)


class Unauthorized(Exception):
    """The gateway answers 401 when, and only when, the error's text is exactly this."""

    def __init__(self) -> None:
        super().__init__("Unauthorized")


@dataclass(frozen=True, slots=True)
class Tenant:
    """Who a client belongs to. `api_key` is a secret: it goes to the gateway and nowhere else."""

    name: str
    api_key: str

    def __repr__(self) -> str:
        return f"Tenant({self.name!r})"


@dataclass(frozen=True, slots=True)
class Settings:
    """The function's environment, checked once."""

    issuer: str
    jwks_url: str
    parameter_prefix: str
    key_in_header: bool
    scope_routes: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self:
        """Read the environment. Raises ValueError that names the variable at fault."""
        names = "USER_POOL_ID ISSUER TENANT_PARAMETER_PREFIX SCOPE_ROUTES API_KEY_SOURCE"
        if missing := [name for name in names.split() if name not in environment]:
            raise ValueError(f"the function's environment misses {', '.join(missing)}")
        issuer, pool = environment["ISSUER"], environment["USER_POOL_ID"]
        if issuer.rsplit("/", 1)[-1] != pool:
            raise ValueError("ISSUER must end with USER_POOL_ID: keys and tokens must be of one pool")
        keys_at = environment.get("AWS_ENDPOINT_URL")
        jwks_url = environment.get("JWKS_URL") or (
            f"{f'{keys_at}/{pool}' if keys_at else issuer}/.well-known/jwks.json"
        )
        url = urlsplit(jwks_url)
        if url.scheme != "https" and url.hostname not in ("127.0.0.1", "localhost"):
            raise ValueError("JWKS_URL must be https: whoever can change the keys can make tokens")
        source = environment["API_KEY_SOURCE"]
        if source not in ("authorizer", "header"):
            raise ValueError("API_KEY_SOURCE must be 'authorizer' or 'header'")
        routes = json.loads(environment["SCOPE_ROUTES"])
        for route in (route for routes_of in routes.values() for route in routes_of):
            if not _ROUTE.fullmatch(route):
                raise ValueError(f"SCOPE_ROUTES has {route!r}, which is not METHOD/path")
        return cls(
            issuer=issuer,
            jwks_url=jwks_url,
            parameter_prefix=environment["TENANT_PARAMETER_PREFIX"].rstrip("/"),
            key_in_header=source == "header",
            scope_routes={scope: tuple(routes_of) for scope, routes_of in routes.items()},
        )


class Tenants:
    """The tenant of each client, read from SSM and kept for some minutes."""

    def __init__(self, client: Callable[[], Any], prefix: str) -> None:
        self._client = client
        self._prefix = prefix
        self._kept: dict[str, tuple[float, Tenant | None]] = {}

    def of(self, client_id: str) -> Tenant | None:
        """The tenant of a client, None when it is no tenant's."""
        until, tenant = self._kept.get(client_id, (0.0, None))
        if time.monotonic() >= until:
            tenant = self._read(client_id)
            lifespan = TENANT_LIFESPAN_S if tenant else UNKNOWN_LIFESPAN_S
            self._kept[client_id] = (time.monotonic() + lifespan, tenant)
        return tenant

    def _read(self, client_id: str) -> Tenant | None:
        try:
            answer = self._client().get_parameter(Name=f"{self._prefix}/{client_id}", WithDecryption=True)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ParameterNotFound":
                return None
            raise
        value = json.loads(answer["Parameter"]["Value"])
        return Tenant(name=value["tenant"], api_key=value["api_key"])


class Authorizer:
    """Decides on the events of one gateway."""

    def __init__(self, settings: Settings, tenants: Tenants) -> None:
        self._settings = settings
        self._tenants = tenants
        self._keys = jwt.PyJWKClient(
            settings.jwks_url, lifespan=KEYS_LIFESPAN_S, cooldown_duration=KEYS_COOLDOWN_S, timeout=3
        )

    def __call__(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """The gateway's policy for the caller. Raises Unauthorized, or what a failing AWS service raises."""
        headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
        claims = self._claims(headers.get("authorization") or "")
        client_id, scope = str(claims["client_id"]), str(claims.get("scope", ""))
        tenant = self._tenants.of(client_id) if _CLIENT_ID.fullmatch(client_id) else None
        if tenant is None:
            raise _unauthorized("the client is no tenant's", client_id=client_id)
        routes = self._routes(scope)
        if not routes:
            reason = "the token has no scope of this API"
        elif self._settings.key_in_header and not _same(headers.get("x-api-key") or "", tenant.api_key):
            reason = "the API key is missing or another tenant's"
        else:
            reason = ""
        logger.info(
            "denied" if reason else "allowed",
            extra={
                "fields": {"tenant": tenant.name, "client_id": client_id, "scope": scope, "reason": reason}
            },
        )
        # arn:<partition>:execute-api:<region>:<account>:<api>/<stage>/<method>/<path>
        stage = "/".join(event["methodArn"].split("/")[:2])
        # The gateway keeps this result by token and applies it to every method of the stage. So it names all
        # that the token may do, and nothing in it depends on the method that is being called now.
        resources = [f"{stage}/*"] if reason else [f"{stage}/{route}" for route in routes]
        answer: dict[str, Any] = {
            "principalId": client_id,
            "policyDocument": {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Action": "execute-api:Invoke",
                        "Effect": "Deny" if reason else "Allow",
                        "Resource": resources,
                    }
                ],
            },
            "context": {"tenant": tenant.name, "client_id": client_id, "scope": scope},
        }
        if not self._settings.key_in_header:
            answer["usageIdentifierKey"] = tenant.api_key
        return answer

    def _claims(self, authorization: str) -> dict[str, Any]:
        """Claims of the access token. Raises Unauthorized unless this pool signed it and it is valid now."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token or not token.isascii():
            raise _unauthorized("no bearer token")
        try:
            key_id = jwt.get_unverified_header(token).get("kid")
            if not isinstance(key_id, str):
                raise _unauthorized("the token names no key")
            claims = jwt.decode(
                token,
                self._keys.get_signing_key(key_id),
                algorithms=["RS256"],
                issuer=self._settings.issuer,
                leeway=CLOCK_SKEW_S,
                # An access token of Cognito has no `aud`; `client_id` says for whom it was made.
                options={"require": ["exp", "iss", "client_id", "token_use"], "verify_aud": False},
            )
        except jwt.PyJWKClientConnectionError:
            raise  # the keys are away: a failure of ours (500), of which the caller's token says nothing
        except jwt.PyJWTError as error:
            raise _unauthorized(type(error).__name__) from None
        if claims["token_use"] != "access":  # noqa: S105 - no password, the kind of token
            raise _unauthorized("the token is no access token")
        return claims

    def _routes(self, scope: str) -> list[str]:
        return sorted(
            {route for name in scope.split() for route in self._settings.scope_routes.get(name, ())}
        )


def _same(sent: str, expected: str) -> bool:
    """Compare keys in a time that tells nothing about where they differ."""
    return hmac.compare_digest(sent.encode(), expected.encode())


def _unauthorized(reason: str, **fields: str) -> Unauthorized:
    """The reason goes to the log, never to the caller, who could learn from it."""
    logger.info("unauthorized", extra={"fields": {"reason": reason, **fields}})
    return Unauthorized()


@cache
def _ssm() -> Any:
    config = Config(connect_timeout=2, read_timeout=3, retries={"mode": "standard", "total_max_attempts": 2})
    return botocore.session.get_session().create_client("ssm", config=config)


@cache
def _authorizer() -> Authorizer:
    logs.configure(os.environ.get("LOG_LEVEL", "INFO"))
    settings = Settings.of(os.environ)
    return Authorizer(settings, Tenants(_ssm, settings.parameter_prefix))


def handler(event: Mapping[str, Any], _context: Any) -> dict[str, Any]:
    """Entry point of the authorizer's function."""
    return _authorizer()(event)
