"""What clients reach: one API, its web ACL and its domain."""

from dataclasses import dataclass

import pulumi

import components as c
from composition.foundation import Foundation
from composition.inference import Inference


@dataclass(frozen=True, kw_only=True)
class Front:
    """The API, and the URL that clients use."""

    gateway: c.Gateway
    url: pulumi.Output[str]


def front(base: Foundation, behind: Inference) -> Front:
    """Builds the front before the models."""
    gateway_args = c.GatewayArgs(
        defaults=base.functions,
        identity=base.identity,
        authorizer_package=base.packages.authorizer,
        authorizer_concurrency=base.env.functions.authorizer_concurrency,
        models=behind.models.integrations,
        openai=base.cluster.openai if base.cluster else None,
        jobs=behind.jobs.integration,
        tenants={
            **{
                t.name: c.UsageLimits(**t.model_dump(exclude={"name", "scopes", "jobs"}))
                for t in base.env.tenants
            },
            **dict.fromkeys(base.canary, c.UsageLimits(rate_per_s=5, burst=20, quota_per_day=100_000)),
        },
        secrets_key_arn=base.keys.secrets_arn,
        own_domain=base.env.domain is not None,
        **base.env.gateway.model_dump(),
    )
    gateway = c.Gateway("gateway", gateway_args, base.opts)
    if base.env.web_acl:
        c.WebAcl(
            "web-acl",
            c.WebAclArgs(
                **base.site, **base.logs, stage_arn=gateway.stage_arn, **base.env.web_acl.model_dump()
            ),
            base.opts,
        )
    url = gateway.url
    if base.env.domain:
        domain_args = c.CustomDomainArgs(
            tags=base.tags,
            domain_name=base.env.domain.name,
            zone_id=base.env.domain.zone_id,
            api_id=gateway.api_id,
            stage_name=gateway.stage_name,
        )
        url = c.CustomDomain("domain", domain_args, base.opts).url
    return Front(gateway=gateway, url=url)
