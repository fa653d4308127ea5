"""The platform: each part built once from the environment's settings, outputs passed on by hand."""

import os
from pathlib import Path

import pulumi
import pulumi_aws as aws

import components as c
from environments import loader

env = loader.from_engine(pulumi.get_stack())
names = c.Names(
    platform=pulumi.get_project(), environment=env.name, account_id=env.account_id, region=env.region
)
tags = c.Tags(platform=names.platform, environment=env.name, owner=env.owner, cost_center=env.cost_center)
packages_folder = Path(os.environ.get("INFERENCE_PACKAGES", ".local/packages")) / env.functions.package
provider = aws.Provider("aws", region=env.region, allowed_account_ids=[env.account_id])
opts = pulumi.ResourceOptions(providers=[provider])

if env.account_baseline == "create":
    c.AccountBaseline("account", c.AccountBaselineArgs(names=names, tags=tags), opts)

keys = c.Keys("keys", c.KeysArgs(names=names, tags=tags, **env.keys.model_dump()), opts)

storage_args = c.StorageArgs(
    names=names, tags=tags, kms_key_arn=keys.data_arn, protect=env.protect, **env.storage.model_dump()
)
storage = c.Storage("storage", storage_args, opts)

packages_args = c.PackagesArgs(
    tags=tags, bucket=storage.models.bucket, kms_key_arn=keys.data_arn, folder=packages_folder
)
packages = c.Packages("packages", packages_args, opts)

scopes = {tenant.name: tenant.scopes for tenant in env.tenants}
identity_args = c.IdentityArgs(
    names=names, tags=tags, tenant_scopes=scopes, protect=env.protect, **env.identity.model_dump()
)
identity = c.Identity("identity", identity_args, opts)

functions = c.FunctionDefaults(
    names=names,
    tags=tags,
    data_key_arn=keys.data_arn,
    logs_key_arn=keys.logs_arn,
    log_retention_days=env.logs.retention_days,
    **env.functions.defaults(),
)
backends = {}
for model, entry in env.models.items():
    backend_args = c.LambdaBackendArgs(
        defaults=functions,
        model=model,
        package=packages.model_server,
        models_bucket=storage.models.bucket,
        **entry.model_dump(exclude={"backend", "engine", "slo"}),
    )
    backends[model] = c.LambdaBackend(f"model-{model}", backend_args, opts)

gateway_args = c.GatewayArgs(
    defaults=functions,
    identity=identity,
    authorizer_package=packages.authorizer,
    authorizer_concurrency=env.functions.authorizer_concurrency,
    model_functions={model: backend.function for model, backend in backends.items()},
    tenants={t.name: c.UsageLimits(**t.model_dump(exclude={"name", "scopes"})) for t in env.tenants},
    secrets_key_arn=keys.secrets_arn,
    **env.gateway.model_dump(),
)
gateway = c.Gateway("gateway", gateway_args, opts)

pulumi.export("url", gateway.url)
pulumi.export("api_id", gateway.api_id)
pulumi.export("user_pool_id", identity.pool_id)
pulumi.export("oauth_domain", identity.domain)
pulumi.export("tenant_client_ids", dict(identity.tenant_client_ids))
pulumi.export("models_bucket", storage.models.bucket)
pulumi.export("data_bucket", storage.data.bucket)
pulumi.export(
    "model_functions", {model: backend.function.function_name for model, backend in backends.items()}
)
pulumi.export("platform", names.platform)
pulumi.export("environment", names.environment)
pulumi.export("api_key_in_header", env.gateway.api_key_source == "header")
