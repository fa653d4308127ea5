"""What everything else stands on: keys, network, storage, images, identity and the GPU cluster."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
import pulumi_aws as aws

import components as c
from environments.schema import Environment


@dataclass(frozen=True, kw_only=True)
class Foundation:
    """The parts that the others are given, with the arguments that many of them share."""

    env: Environment
    names: c.Names
    tags: c.Tags
    site: dict[str, Any]
    """Names and tags, which most components take."""
    logs: dict[str, Any]
    """How log groups are encrypted and how long they are kept."""
    opts: pulumi.ResourceOptions
    deliverers: list[pulumi.Output[str]]
    """ARNs of the roles by which CI deploys."""
    alerts: c.AlertTopic
    keys: c.Keys
    network: c.Network
    storage: c.Storage
    packages: c.Packages
    images: c.Images
    canary: list[str]
    """The tenant that the canary is, where there is one."""
    identity: c.Identity
    cluster: c.Cluster | None
    functions: c.FunctionDefaults


def foundation(env: Environment) -> Foundation:
    """Builds it in the account and region of the environment."""
    names = c.Names(
        platform=pulumi.get_project(), environment=env.name, account_id=env.account_id, region=env.region
    )
    tags = c.Tags(platform=names.platform, environment=env.name, owner=env.owner, cost_center=env.cost_center)
    site: dict[str, Any] = {"names": names, "tags": tags}
    zips = Path(os.environ.get("INFERENCE_PACKAGES", ".local/packages")) / env.functions.package
    opts = pulumi.ResourceOptions(
        providers=[aws.Provider("aws", region=env.region, allowed_account_ids=[env.account_id])]
    )

    deliverers: list[pulumi.Output[str]] = []
    if env.delivery:
        access_args = c.DeliveryAccessArgs(
            **site, **env.delivery.model_dump(exclude={"connection_arn", "publishers"})
        )
        access = c.DeliveryAccess("delivery", access_args, opts)
        deliverers.append(access.deploy_role_arn)
        opts.transformations = [c.governed(names, access.boundary_arn)]
    if env.account_baseline == "create":
        c.AccountBaseline("account", c.AccountBaselineArgs(**site), opts)
    alerts_args = c.AlertTopicArgs(
        **site,
        deletion_window_days=env.keys.deletion_window_days,
        subscriptions=[c.Subscription(**each.model_dump()) for each in env.alerts.subscriptions],
    )
    alerts = c.AlertTopic("alerts", alerts_args, opts)
    keys = c.Keys("keys", c.KeysArgs(**site, **env.keys.model_dump()), opts)
    logs: dict[str, Any] = {"logs_key_arn": keys.logs_arn, "log_retention_days": env.logs.retention_days}

    network_args = c.NetworkArgs(**site, **logs, cluster_name=names.prefix, **env.network.model_dump())
    network = c.Network("network", network_args, opts)

    for role, publisher in (env.delivery.publishers if env.delivery else {}).items():
        publisher_args = c.PublisherArgs(
            **site, role=role, data_key_arn=keys.data_arn, **publisher.model_dump()
        )
        c.Publisher(f"publisher-{role}", publisher_args, opts)

    storage_args = c.StorageArgs(
        **site, kms_key_arn=keys.data_arn, protect=env.protect, **env.storage.model_dump()
    )
    storage = c.Storage("storage", storage_args, opts)

    if env.audit:
        audit_args = c.AuditArgs(
            **site,
            topic_arn=alerts.arn,
            access_logs_bucket=storage.logs.bucket,
            protect=env.protect,
            deletion_window_days=env.keys.deletion_window_days,
            runbooks=env.alerts.runbooks,
            **env.storage.model_dump(include={"force_destroy", "require_tls"}),
            **env.audit.model_dump(include={"management_trail", "retention_days", "lock_days"}),
        )
        audit = c.Audit("audit", audit_args, opts)
        if env.account_baseline == "create":
            c.EventAlerts("account-events", c.EventAlertsArgs(tags=tags, topic_arn=alerts.arn), opts)
            if env.audit.threat_detection:
                c.ThreatDetection(
                    "threats", c.ThreatDetectionArgs(**site, inspector=env.audit.inspector), opts
                )
            if env.audit.config_rules:
                rules_args = c.ConfigRulesArgs(**site, bucket=audit.bucket, kms_key_arn=audit.key_arn)
                c.ConfigRules("config-rules", rules_args, opts)

    packages_args = c.PackagesArgs(
        tags=tags,
        bucket=storage.models.bucket,
        kms_key_arn=keys.data_arn,
        folder=zips,
        with_image=bool(env.image_architectures),
    )
    packages = c.Packages("packages", packages_args, opts)

    builds = c.BuildDefaults(**site, **logs, data_key_arn=keys.data_arn)
    images_args = c.ImagesArgs(
        builds=builds,
        model_server_source=packages.model_server_image,
        architectures=env.image_architectures,
        **env.images.model_dump(),
    )
    images = c.Images("images", images_args, opts)
    if env.delivery and env.delivery.connection_arn:
        runner_args = c.RunnerArgs(
            defaults=builds,
            network=c.BuildNetwork(vpc_id=network.vpc_id, subnet_ids=network.private_subnet_ids),
            repository_url=f"https://github.com/{env.delivery.owner}/{env.delivery.repository}",
            connection_arn=env.delivery.connection_arn,
        )
        c.Runner("runner", runner_args, opts)

    canary = [c.CANARY] if env.watch.canary_minutes else []
    scopes = {**{tenant.name: tenant.scopes for tenant in env.tenants}, **dict.fromkeys(canary, ("infer",))}
    identity_args = c.IdentityArgs(
        **site, tenant_scopes=scopes, protect=env.protect, **env.identity.model_dump()
    )
    identity = c.Identity("identity", identity_args, opts)

    cluster = None
    if env.has_cluster:
        cluster_args = c.ClusterArgs(
            **site,
            **logs,
            network=network,
            data_key_arn=keys.data_arn,
            secrets_key_arn=keys.secrets_arn,
            require_tls=env.storage.require_tls,
            **env.cluster_settings(),
        )
        cluster = c.Cluster("cluster", cluster_args, opts)
    functions = c.FunctionDefaults(**site, **logs, data_key_arn=keys.data_arn, **env.functions.defaults())
    return Foundation(
        env=env,
        names=names,
        tags=tags,
        site=site,
        logs=logs,
        opts=opts,
        deliverers=deliverers,
        alerts=alerts,
        keys=keys,
        network=network,
        storage=storage,
        packages=packages,
        images=images,
        canary=canary,
        identity=identity,
        cluster=cluster,
        functions=functions,
    )
