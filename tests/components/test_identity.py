"""Identity: a closed pool, machine clients of one tenant each, and a public client that keeps no secret."""

from typing import Any

import pytest

from components.identity import GROUPS, SCOPES, Identity, IdentityArgs
from tests.components.platform_args import NAMES, TAGS
from tests.components.recorded import Recorded, Resource, deployed

CLIENT, POOL = "aws:cognito/userPoolClient:UserPoolClient", "aws:cognito/userPool:UserPool"
TENANTS = {"acme": ["infer", "jobs"], "auditor": ["admin"]}


def identity(**more: Any) -> Recorded:
    args = {"names": NAMES, "tags": TAGS, "domain_prefix": "inference-dev", "tenant_scopes": TENANTS, **more}
    return deployed(lambda: Identity("identity", IdentityArgs(**args)))


@pytest.fixture(scope="module")
def made() -> Recorded:
    return identity()


def machine_clients(recorded: Recorded) -> dict[str, Resource]:
    prefix = "identity-tenant-"
    return {c.name.removeprefix(prefix): c for c in recorded.all(CLIENT) if c.name.startswith(prefix)}


def test_only_administrators_make_users(made: Recorded) -> None:
    pool = made.one(POOL).inputs
    assert pool["adminCreateUserConfig"] == {"allowAdminCreateUserOnly": True}
    assert pool["accountRecoverySetting"] == {
        "recoveryMechanisms": [{"name": "verified_email", "priority": 1}]
    }


def test_passwords_are_long_and_of_all_kinds_of_characters() -> None:
    policy = identity(password_min_length=20).one(POOL).inputs["passwordPolicy"]
    assert policy["minimumLength"] == 20
    assert all(policy[f"require{kind}"] for kind in ("Lowercase", "Uppercase", "Numbers", "Symbols"))
    assert policy["temporaryPasswordValidityDays"] <= 7


@pytest.mark.parametrize(
    ("mfa", "token"), [("ON", {"enabled": True}), ("OPTIONAL", {"enabled": True}), ("OFF", None)]
)
def test_a_second_factor_is_an_authenticator_app(mfa: str, token: dict[str, bool] | None) -> None:
    pool = identity(mfa=mfa).one(POOL).inputs
    assert pool["mfaConfiguration"] == mfa
    assert pool.get("softwareTokenMfaConfiguration") == token
    assert "smsConfiguration" not in pool


@pytest.mark.parametrize(
    ("threat_protection", "add_ons"), [("OFF", None), ("ENFORCED", {"advancedSecurityMode": "ENFORCED"})]
)
def test_threat_protection_is_as_asked(threat_protection: str, add_ons: dict[str, str] | None) -> None:
    pool = identity(tier="PLUS", threat_protection=threat_protection).one(POOL).inputs
    assert pool["userPoolTier"] == "PLUS"
    assert pool.get("userPoolAddOns") == add_ons


@pytest.mark.parametrize(("asked", "value"), [(True, "ACTIVE"), (False, "INACTIVE")])
def test_the_pool_is_protected_as_asked(asked: bool, value: str) -> None:
    recorded = identity(deletion_protection=asked, protect=asked)
    assert recorded.one(POOL).inputs["deletionProtection"] == value
    assert {resource.type for resource in recorded.resources if resource.protect} == (
        {POOL} if asked else set()
    )


def test_the_resource_server_has_the_platform_s_scopes(made: Recorded) -> None:
    server = made.one("aws:cognito/resourceServer:ResourceServer")
    assert server.inputs["identifier"] == "inference"
    assert {scope["scopeName"] for scope in server.inputs["scopes"]} == {"infer", "jobs", "deploy", "admin"}
    for client in made.all(CLIENT):
        assert server.urn in client.depends_on


def test_each_tenant_has_a_machine_client_for_its_own_scopes_only(made: Recorded) -> None:
    clients = machine_clients(made)
    assert set(clients) == set(TENANTS)
    for tenant, client in clients.items():
        assert client.inputs["allowedOauthFlows"] == ["client_credentials"]
        assert client.inputs["allowedOauthScopes"] == [f"inference/{scope}" for scope in TENANTS[tenant]]
        assert client.inputs["generateSecret"] is True
        assert "explicitAuthFlows" not in client.inputs
        assert "callbackUrls" not in client.inputs


def test_people_sign_in_by_code_through_a_client_without_a_secret(made: Recorded) -> None:
    client = made.named("identity-people").inputs
    assert client["generateSecret"] is False
    assert client["allowedOauthFlows"] == ["code"]
    assert set(client["allowedOauthScopes"]) == {
        "openid",
        "email",
        *(f"inference/{scope}" for scope in SCOPES),
    }
    # Neither the password in clear text nor the administrator's flows.
    assert set(client["explicitAuthFlows"]) == {"ALLOW_REFRESH_TOKEN_AUTH", "ALLOW_USER_SRP_AUTH"}
    for url in client["callbackUrls"]:
        assert url.startswith(("https://", "http://localhost"))


def test_every_client_is_hardened(made: Recorded) -> None:
    assert len(made.all(CLIENT)) == len(TENANTS) + 1
    for client in made.all(CLIENT):
        assert client.inputs["allowedOauthFlowsUserPoolClient"] is True
        assert client.inputs["enableTokenRevocation"] is True
        assert client.inputs["preventUserExistenceErrors"] == "ENABLED"
        assert client.inputs["supportedIdentityProviders"] == ["COGNITO"]
        assert client.inputs["tokenValidityUnits"] == {
            "accessToken": "minutes",
            "idToken": "minutes",
            "refreshToken": "days",
        }
        assert client.inputs["refreshTokenValidity"] == 1


def test_tokens_live_as_long_as_asked() -> None:
    for client in identity(access_token_minutes=15).all(CLIENT):
        assert client.inputs["accessTokenValidity"] == 15
        assert client.inputs["idTokenValidity"] == 15


def test_groups_of_people_exist(made: Recorded) -> None:
    groups = {group.inputs["name"]: group.inputs for group in made.all("aws:cognito/userGroup:UserGroup")}
    assert set(groups) == set(GROUPS)
    assert not any("roleArn" in group for group in groups.values())
