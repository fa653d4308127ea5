"""Cognito: how people sign in, what clients may do, and what a pool costs."""

from typing import Annotated, Literal

from pydantic import Field

from policies.resources import UNKNOWN, Resource
from policies.rule import Finding, Findings, Settings, between, expect, is_true, resource_rule

POOL = "aws:cognito/userPool:UserPool"
CLIENT = "aws:cognito/userPoolClient:UserPoolClient"
IDENTITY_POOL = "aws:cognito/identityPool:IdentityPool"


@resource_rule(
    id="cognito-password-policy",
    title="Passwords are long and mixed",
    severity="high",
    why="Short passwords are guessed; the pool's sign-in is on the internet.",
    fix="set password_policy minimum_length and all four require_* settings",
    types=[POOL],
    settings={"minLength": Annotated[int, Field(ge=8, le=99)]},
    good={
        "passwordPolicy": {
            "minimumLength": 14,
            "requireLowercase": True,
            "requireUppercase": True,
            "requireNumbers": True,
            "requireSymbols": True,
        }
    },
    bad={"passwordPolicy": {"minimumLength": 8}},
)
def password_policy(pool: Resource, settings: Settings) -> Findings:
    least = settings["minLength"]
    yield from expect(pool, "passwordPolicy.minimumLength", between(least, 99), f"{least} or more")
    for kind in ("Lowercase", "Uppercase", "Numbers", "Symbols"):
        yield from expect(pool, f"passwordPolicy.require{kind}", is_true, "true")


@resource_rule(
    id="cognito-mfa",
    title="People sign in with a second factor",
    severity="high",
    why="A password that was phished elsewhere would otherwise be enough.",
    fix="set mfa_configuration and software_token_mfa_configuration",
    types=[POOL],
    settings={"accepted": list[Literal["ON", "OPTIONAL", "OFF"]]},
    good={"mfaConfiguration": "ON"},
    bad={"mfaConfiguration": "OFF"},
)
def mfa(pool: Resource, settings: Settings) -> Findings:
    accepted = settings["accepted"]
    yield from expect(
        pool, "mfaConfiguration", lambda value: (value or "OFF") in accepted, " or ".join(accepted)
    )


@resource_rule(
    id="cognito-threat-protection",
    title="The pool has the feature plan that the environment is meant to pay for",
    severity="medium",
    why="Plus costs 0.02 USD per active user from the first on; without it, stolen passwords work unseen.",
    fix="set user_pool_tier, and advanced_security_mode=ENFORCED where threat protection is required",
    types=[POOL],
    settings={"required": bool},
    good={"userPoolTier": "PLUS", "userPoolAddOns": {"advancedSecurityMode": "ENFORCED"}},
    bad={"userPoolTier": "ESSENTIALS"},
)
def threat_protection(pool: Resource, settings: Settings) -> Findings:
    if settings["required"]:
        yield from expect(pool, "userPoolTier", lambda tier: tier == "PLUS", "PLUS")
        mode = "userPoolAddOns.advancedSecurityMode"
        yield from expect(pool, mode, lambda value: value == "ENFORCED", "ENFORCED")
    else:
        yield from expect(pool, "userPoolTier", lambda tier: tier != "PLUS", "ESSENTIALS or LITE here")


@resource_rule(
    id="cognito-deletion-protection",
    title="The pool refuses deletion",
    severity="medium",
    why="With the pool, every tenant's credentials are gone for good.",
    fix='set deletion_protection="ACTIVE"',
    types=[POOL],
    good={"deletionProtection": "ACTIVE"},
    bad={},
)
def deletion_protection(pool: Resource, settings: Settings) -> Findings:
    yield from expect(pool, "deletionProtection", lambda value: value == "ACTIVE", "ACTIVE")


@resource_rule(
    id="cognito-admin-create-only",
    title="Only administrators create people",
    severity="medium",
    why="In a closed platform a stranger who signs up is an intruder.",
    fix="set admin_create_user_config allow_admin_create_user_only=True",
    types=[POOL],
    good={"adminCreateUserConfig": {"allowAdminCreateUserOnly": True}},
    bad={},
)
def admin_create_only(pool: Resource, settings: Settings) -> Findings:
    yield from expect(pool, "adminCreateUserConfig.allowAdminCreateUserOnly", is_true, "true")


_LOCAL = ("http://localhost", "http://127.0.0.1")


@resource_rule(
    id="cognito-client-hardening",
    title="Clients cannot be used to guess people, replay tokens or take codes",
    severity="medium",
    why="Each of these settings closes a known way to a token that is not one's own.",
    fix="set enable_token_revocation, prevent_user_existence_errors=ENABLED; drop implicit and password "
    "flows; use https callbacks",
    types=[CLIENT],
    good={
        "enableTokenRevocation": True,
        "preventUserExistenceErrors": "ENABLED",
        "allowedOauthFlows": ["code"],
        "explicitAuthFlows": ["ALLOW_USER_SRP_AUTH"],
        "callbackUrls": ["https://console.example.com/callback"],
    },
    bad={
        "enableTokenRevocation": True,
        "preventUserExistenceErrors": "ENABLED",
        "allowedOauthFlows": ["implicit"],
        "callbackUrls": ["http://console.example.com/callback"],
    },
)
def client_hardening(client: Resource, settings: Settings) -> Findings:
    """Revocation is on unless turned off. http is for a person's own machine only."""
    yield from expect(client, "enableTokenRevocation", lambda value: value is not False, "true")
    yield from expect(client, "preventUserExistenceErrors", lambda value: value == "ENABLED", "ENABLED")
    yield from _without(client, "allowedOauthFlows", "implicit")
    yield from _without(client, "explicitAuthFlows", "ALLOW_USER_PASSWORD_AUTH", "USER_PASSWORD_AUTH")
    for url in client.items("callbackUrls"):
        if url is UNKNOWN:
            yield Finding("`callbackUrls` is not known yet", undecided=True)
        elif str(url).startswith("http:") and not str(url).startswith(_LOCAL):
            yield Finding(f"`callbackUrls` sends codes to {url} over plain HTTP")


def _without(client: Resource, path: str, *flows: str) -> Findings:
    def clean(listed: list[object] | None) -> bool:
        return not any(flow in (listed or []) for flow in flows)

    yield from expect(client, path, clean, f"without {flows[0]}")


@resource_rule(
    id="cognito-no-guest-identities",
    title="Nobody gets AWS credentials without signing in",
    severity="critical",
    why="Guest identities hand out AWS credentials to anyone on the internet.",
    fix="set allow_unauthenticated_identities=False",
    types=[IDENTITY_POOL],
    good={"allowUnauthenticatedIdentities": False},
    bad={"allowUnauthenticatedIdentities": True},
)
def no_guest_identities(pool: Resource, settings: Settings) -> Findings:
    """False is the default."""
    yield from expect(pool, "allowUnauthenticatedIdentities", lambda value: value is not True, "false")


RULES = (
    password_policy,
    mfa,
    threat_protection,
    deletion_protection,
    admin_create_only,
    client_hardening,
    no_guest_identities,
)
