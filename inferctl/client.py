"""A client of the platform's API: gets a tenant's token and sends requests, on any environment."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import boto3
import httpx

from inferctl.errors import CommandFailed
from local_aws.emulator import Endpoints
from local_aws.operations import MOTO_SERVICES

_GLOBAL = ("ce", "pricing")
"""Billing's services answer in us-east-1 for every region."""


@dataclass(frozen=True, kw_only=True)
class Client:
    """Calls the API of one deployed environment in the name of its tenants."""

    outputs: Mapping[str, Any]
    """The stack's outputs."""
    region: str
    endpoints: Endpoints | None = None
    """The embedded AWS; None means an account."""
    credentials: Mapping[str, str] | None = None

    @property
    def url(self) -> str:
        """Base URL of the API."""
        if self.endpoints:
            return f"{self.endpoints.ministack}/_aws/execute-api/{self.outputs['api_id']}/live"
        return str(self.outputs["url"])

    def aws(self, service: str) -> Any:
        """A boto3 client for the environment's AWS."""
        if not self.endpoints or not self.credentials:
            region = "us-east-1" if service in _GLOBAL else self.region
            return boto3.client(service, region_name=region)
        return boto3.client(
            service,
            region_name=self.region,
            endpoint_url=self.endpoints.moto if service in MOTO_SERVICES else self.endpoints.ministack,
            aws_access_key_id=self.credentials["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.credentials["AWS_SECRET_ACCESS_KEY"],
        )

    def token(self, tenant: str) -> str:
        """An access token of a tenant's machine client (OAuth client credentials).

        Raises:
            CommandFailed: there is no such tenant, or Cognito refused.
        """
        client_id = self._client_id(tenant)
        described = self.aws("cognito-idp").describe_user_pool_client(
            UserPoolId=self.outputs["user_pool_id"], ClientId=client_id
        )["UserPoolClient"]
        basic = base64.b64encode(f"{client_id}:{described['ClientSecret']}".encode()).decode()
        answer = httpx.post(
            f"{self._oauth()}/oauth2/token",
            data={"grant_type": "client_credentials"},
            headers={"Authorization": f"Basic {basic}"},
            timeout=30,
        )
        if answer.status_code != httpx.codes.OK:
            raise CommandFailed(
                f"Cognito gave no token for tenant {tenant}: {answer.status_code} {answer.text}",
                "check the tenant's scopes in the environment's file, then `make up`",
            )
        return str(answer.json()["access_token"])

    def api_key(self, tenant: str) -> str:
        """A tenant's API key, which clients of `local` send along."""
        prefix = f"/{self.outputs['platform']}/{self.outputs['environment']}/tenants"
        parameter = f"{prefix}/{self._client_id(tenant)}"
        held = self.aws("ssm").get_parameter(Name=parameter, WithDecryption=True)["Parameter"]["Value"]
        return str(json.loads(held)["api_key"])

    def headers(self, tenant: str) -> dict[str, str]:
        """What a request of this tenant must carry."""
        token = {"Authorization": f"Bearer {self.token(tenant)}"}
        return {**token, "x-api-key": self.api_key(tenant)} if self.outputs["api_key_in_header"] else token

    def infer(self, tenant: str, model: str, body: bytes) -> httpx.Response:
        """Ask a model; `body` is an Open Inference Protocol v2 request."""
        return httpx.post(
            f"{self.url}/v2/models/{model}/infer",
            content=body,
            headers={**self.headers(tenant), "Content-Type": "application/json"},
            timeout=60,
        )

    def _client_id(self, tenant: str) -> str:
        clients = self.outputs["tenant_client_ids"]
        if tenant not in clients:
            raise CommandFailed(
                f"there is no tenant {tenant!r}", f"choose one of: {', '.join(sorted(clients))}"
            )
        return str(clients[tenant])

    def _oauth(self) -> str:
        if self.endpoints:
            return self.endpoints.ministack
        return f"https://{self.outputs['oauth_domain']}.auth.{self.region}.amazoncognito.com"
