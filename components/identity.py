"""Who may call: the Cognito user pool, the API's scopes, a machine client for each tenant."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.tags import Tags
from naming import Names

SCOPES = {
    "infer": "Ask models for predictions and list them",
    "jobs": "Submit batch jobs and read their results",
    "deploy": "Publish model versions",
    "admin": "Operate the platform",
}
"""Scopes of the resource server, with what each allows."""

GROUPS = {
    "operators": "Run the platform",
    "ml-engineers": "Publish and promote models",
    "viewers": "Read dashboards and results",
}
"""Groups of people; a token names them in `cognito:groups`."""

RESOURCE_SERVER = "inference"
"""Identifier of the resource server; a token's scope reads `inference/infer`."""


@dataclass(frozen=True, kw_only=True)
class IdentityArgs:
    """Arguments of `Identity`."""

    names: Names
    tags: Tags
    domain_prefix: str
    """Prefix of the OAuth domain; unique within the region."""
    tenant_scopes: Mapping[str, Sequence[str]]
    """Tenant name -> names of the scopes that its tokens may carry."""
    callback_urls: Sequence[str] = ("http://localhost:8765/callback",)
    """Where people are sent back after signing in; http is for localhost only."""
    password_min_length: int = 14
    mfa: str = "ON"
    tier: str = "ESSENTIALS"
    threat_protection: str = "OFF"
    deletion_protection: bool = True
    """Whether Cognito refuses to delete the user pool."""
    access_token_minutes: int = 60
    protect: bool = True


class Identity(pulumi.ComponentResource):
    """A closed user pool: administrators create people, tenants authenticate with client credentials.

    Machine clients can only use the client-credentials grant and only for their tenant's scopes. People sign
    in through the public client with the authorization-code grant and PKCE; it has no secret to lose.
    """

    pool_id: pulumi.Output[str]
    pool_arn: pulumi.Output[str]
    domain: pulumi.Output[str]
    people_client_id: pulumi.Output[str]
    tenant_client_ids: Mapping[str, pulumi.Output[str]]

    def __init__(self, name: str, args: IdentityArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("inference-platform:identity:Identity", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        pool = aws.cognito.UserPool(
            f"{name}-pool",
            name=args.names.prefix,
            user_pool_tier=args.tier,
            user_pool_add_ons=(
                {"advanced_security_mode": args.threat_protection}
                if args.threat_protection != "OFF"
                else None
            ),
            deletion_protection="ACTIVE" if args.deletion_protection else "INACTIVE",
            mfa_configuration=args.mfa,
            software_token_mfa_configuration={"enabled": True} if args.mfa != "OFF" else None,
            username_attributes=["email"],
            auto_verified_attributes=["email"],
            admin_create_user_config={"allow_admin_create_user_only": True},
            account_recovery_setting={
                "recovery_mechanisms": [{"name": "verified_email", "priority": 1}],
            },
            password_policy={
                "minimum_length": args.password_min_length,
                "require_lowercase": True,
                "require_uppercase": True,
                "require_numbers": True,
                "require_symbols": True,
                "temporary_password_validity_days": 3,
            },
            tags=args.tags.component("identity"),
            opts=pulumi.ResourceOptions(parent=self, protect=args.protect),
        )
        self.pool_id, self.pool_arn = pool.id, pool.arn
        self.domain = aws.cognito.UserPoolDomain(
            f"{name}-domain", domain=args.domain_prefix, user_pool_id=pool.id, opts=child
        ).domain
        server = aws.cognito.ResourceServer(
            f"{name}-api",
            identifier=RESOURCE_SERVER,
            name="Inference API",
            user_pool_id=pool.id,
            scopes=[
                {"scope_name": scope, "scope_description": description}
                for scope, description in SCOPES.items()
            ],
            opts=child,
        )
        for group, description in GROUPS.items():
            aws.cognito.UserGroup(
                f"{name}-group-{group}", name=group, description=description, user_pool_id=pool.id, opts=child
            )
        # A client may name only scopes that exist.
        after_scopes = pulumi.ResourceOptions(parent=self, depends_on=[server])

        def client(
            role: str,
            *,
            generate_secret: bool,
            flow: str,
            scopes: Sequence[str],
            callback_urls: Sequence[str] | None = None,
            explicit_auth_flows: Sequence[str] | None = None,
        ) -> aws.cognito.UserPoolClient:
            return aws.cognito.UserPoolClient(
                f"{name}-{role}",
                name=f"{args.names.prefix}-{role}",
                user_pool_id=pool.id,
                allowed_oauth_flows_user_pool_client=True,
                supported_identity_providers=["COGNITO"],
                access_token_validity=args.access_token_minutes,
                id_token_validity=args.access_token_minutes,
                refresh_token_validity=1,
                token_validity_units={
                    "access_token": "minutes",
                    "id_token": "minutes",
                    "refresh_token": "days",
                },
                enable_token_revocation=True,
                prevent_user_existence_errors="ENABLED",
                generate_secret=generate_secret,
                allowed_oauth_flows=[flow],
                allowed_oauth_scopes=list(scopes),
                callback_urls=callback_urls,
                explicit_auth_flows=explicit_auth_flows,
                opts=after_scopes,
            )

        self.tenant_client_ids = {
            tenant: client(
                f"tenant-{tenant}",
                generate_secret=True,
                flow="client_credentials",
                scopes=[f"{RESOURCE_SERVER}/{scope}" for scope in scopes],
            ).id
            for tenant, scopes in args.tenant_scopes.items()
        }
        self.people_client_id = client(
            "people",
            generate_secret=False,
            flow="code",
            scopes=["openid", "email", *(f"{RESOURCE_SERVER}/{scope}" for scope in SCOPES)],
            callback_urls=list(args.callback_urls),
            explicit_auth_flows=["ALLOW_REFRESH_TOKEN_AUTH", "ALLOW_USER_SRP_AUTH"],
        ).id
        self.register_outputs(
            {
                "pool_id": self.pool_id,
                "domain": self.domain,
                "people_client_id": self.people_client_id,
                "tenant_client_ids": dict(self.tenant_client_ids),
            }
        )
