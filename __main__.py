"""The platform: each part built once from the environment's settings, outputs passed on by hand."""

import os
from pathlib import Path
from typing import Any

import pulumi
import pulumi_aws as aws

import components as c
from environments import loader
from environments.delivery import unmoved
from environments.operations import watched

env = loader.from_engine(pulumi.get_stack())
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
    access_args = c.DeliveryAccessArgs(**site, **env.delivery.model_dump(exclude={"connection_arn"}))
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
            c.ThreatDetection("threats", c.ThreatDetectionArgs(**site, inspector=env.audit.inspector), opts)
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
identity_args = c.IdentityArgs(**site, tenant_scopes=scopes, protect=env.protect, **env.identity.model_dump())
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
captures = {
    model: c.CaptureStream(
        f"capture-{model}",
        c.CaptureStreamArgs(
            names=names,
            tags=tags.component("drift"),
            model=model,
            data_bucket_arn=storage.data.arn,
            data_key_arn=keys.data_arn,
            **entry.drift.model_dump(include={"share", "raw", "flush_s"}),
        ),
        opts,
    )
    for model, entry in env.models.items()
    if entry.backend != "sagemaker" and entry.captured
}
models_args = c.ModelsArgs(
    catalogue={model: entry.settings() for model, entry in env.models.items()},
    functions=functions,
    package=packages.model_server,
    images=images,
    models_bucket=storage.models.bucket,
    captures=captures,
    network=network,
    cluster=cluster,
    alarm_actions=[alerts.arn],
    part_timeout_s=env.jobs.part_timeout_s,
    require_tls=env.storage.require_tls,
)
models = c.Models("model", models_args, opts)
if cluster:
    router_args = c.RouterArgs(
        **site,
        cluster=cluster,
        images=images,
        routes=models.routes,
        vpc_cidr=network.cidr,
        data_key_arn=keys.data_arn,
        replicas=env.cluster.router_replicas,
    )
    c.Router("router", router_args, cluster.inside(opts))

jobs_args = c.JobsArgs(
    defaults=functions,
    package=packages.jobs,
    files_package=packages.jobs_files,
    data_bucket=storage.data.bucket,
    models=models.job_models,
    tenants={tenant.name: c.JobLimits(**tenant.jobs.model_dump()) for tenant in env.tenants},
    require_tls=env.storage.require_tls,
    part=c.PartSize(rows=env.jobs.part_rows, bytes=env.jobs.part_bytes),
    protect=env.protect,
    **env.jobs.model_dump(exclude={"part_rows", "part_bytes"}),
)
jobs = c.Jobs("jobs", jobs_args, opts)
if cluster:
    for model, route in models.routes.items():
        worker_args = c.ClusterWorkerArgs(
            **site,
            cluster=cluster,
            jobs=jobs,
            data_bucket=storage.data.bucket,
            image=images.model_server_images["arm64"],
            model=model,
            route=route,
            most=env.models[model].settings()["scale"]["max"],
        )
        c.ClusterWorker(f"jobs-{model}", worker_args, cluster.inside(opts))

analytics_args = c.AnalyticsArgs(
    names=names,
    tags=tags.component("analytics"),
    data_bucket=storage.data.bucket,
    data_key_arn=keys.data_arn,
    models=list(env.models),
    tenants=[tenant.name for tenant in env.tenants],
    scan_limit_mb=env.analytics.scan_limit_mb,
)
analytics = c.Analytics("analytics", analytics_args, opts)

site_watch = c.Site(
    names=names,
    stage=c.STAGE,
    architecture=env.functions.architecture,
    cluster_name=names.prefix if cluster else None,
)
watches = [
    c.ModelWatch(model=model, jobs=model in models.jobs, **watched(entry, canary=bool(canary)))
    for model, entry in env.models.items()
]
delivered = {
    model: c.DeliveredModel(
        backend=entry.backend,
        endpoint=models.endpoints.get(model),
        unmoved=unmoved(entry, embedded=env.embedded_aws),
        queue=models.jobs[model] if entry.backend == "eks" else None,
        canary_s=entry.canary_s if entry.backend == "lambda" else None,
        alarms=c.judging(site_watch, watch),
        **entry.slo.model_dump(),
    )
    for watch, (model, entry) in zip(watches, env.models.items(), strict=True)
}
delivery_args = c.DeliveryArgs(
    defaults=functions,
    package=packages.delivery,
    trial_package=packages.model_server,
    models_bucket=storage.models.bucket,
    models=delivered,
    topic_arn=alerts.arn,
    protect=env.protect,
    **env.model_delivery.model_dump(),
)
delivery = c.Delivery("model-delivery", delivery_args, opts)

schedules = {
    model: c.DriftSchedule(
        endpoint=models.endpoints[model].endpoint_name if model in models.endpoints else None,
        **entry.drift.model_dump(exclude={"share", "raw", "flush_s"}),
    )
    for model, entry in env.models.items()
    if entry.captured
}
drift_args = c.DriftMonitorArgs(
    defaults=functions,
    package=packages.model_server,
    models_bucket=storage.models.bucket,
    data_bucket=storage.data.bucket,
    parameters_path=delivery.parameters_path,
    models=schedules,
)
drift = c.DriftMonitor("drift", drift_args, opts)
for model, entry in env.models.items():
    if entry.backend == "sagemaker" and entry.captured and entry.mode == "real-time":
        quality_args = c.DataQualityArgs(
            **site,
            model=model,
            endpoint_name=models.endpoints[model].endpoint_name,
            record_reader=pulumi.FileAsset(str(Path(__file__).with_name("serving") / "monitor_record.py")),
            data_bucket=storage.data.bucket,
            data_key_arn=keys.data_arn,
            topic_arn=alerts.arn,
            every_minutes=entry.drift.every_minutes,
        )
        c.DataQuality(f"quality-{model}", quality_args, opts)

gateway_args = c.GatewayArgs(
    defaults=functions,
    identity=identity,
    authorizer_package=packages.authorizer,
    authorizer_concurrency=env.functions.authorizer_concurrency,
    models=models.integrations,
    openai=cluster.openai if cluster else None,
    jobs=jobs.integration,
    tenants={
        **{t.name: c.UsageLimits(**t.model_dump(exclude={"name", "scopes", "jobs"})) for t in env.tenants},
        **dict.fromkeys(canary, c.UsageLimits(rate_per_s=5, burst=20, quota_per_day=100_000)),
    },
    secrets_key_arn=keys.secrets_arn,
    own_domain=env.domain is not None,
    **env.gateway.model_dump(),
)
gateway = c.Gateway("gateway", gateway_args, opts)
if env.web_acl:
    c.WebAcl(
        "web-acl", c.WebAclArgs(**site, **logs, stage_arn=gateway.stage_arn, **env.web_acl.model_dump()), opts
    )
url = gateway.url
if env.domain:
    domain_args = c.CustomDomainArgs(
        tags=tags,
        domain_name=env.domain.name,
        zone_id=env.domain.zone_id,
        api_id=gateway.api_id,
        stage_name=gateway.stage_name,
    )
    url = c.CustomDomain("domain", domain_args, opts).url

observability_args = c.ObservabilityArgs(
    site=site_watch,
    tags=tags,
    topic_arn=alerts.arn,
    watches=watches,
    runbooks=env.alerts.runbooks,
    traced_percent=env.watch.traced_percent,
)
c.Observability("observability", observability_args, opts)
if env.watch.canary_minutes:
    canary_args = c.CanaryArgs(
        defaults=functions,
        package=packages.canary,
        identity=identity,
        gateway=gateway,
        url=url,
        models=[watch.model for watch in watches if watch.canary],
        secrets_key_arn=keys.secrets_arn,
        key_in_header=env.gateway.api_key_source == "header",
        every_minutes=env.watch.canary_minutes,
    )
    c.Canary("canary", canary_args, opts)

if env.costs:
    hours = c.WorkingHours(**env.costs.parking.model_dump()) if env.costs.parking else None
    capacities = [capacity for watch in watches for capacity in c.parked(site_watch, watch)] if hours else []
    on_cluster = [watch.model for watch in watches if watch.backend == "eks"]
    if cluster and hours and on_cluster:
        parking_args = c.ModelParkingArgs(
            defaults=functions, package=packages.canary, network=network, cluster=cluster, models=on_cluster
        )
        c.ModelParking("parking", parking_args, cluster.inside(opts))
    if cluster and hours and cluster.baseline_name and (nodes := env.cluster.baseline):
        baseline = c.node_group(
            names,
            cluster.cluster_name,
            cluster.baseline_name,
            role="gpu-baseline",
            nodes=nodes.nodes,
            most=nodes.nodes + 1,
        )
        capacities.append(baseline)
    costs_args = c.CostGuardArgs(
        **site,
        stopped_role_arns=deliverers if env.costs.stop_at_budget else (),
        topic_arn=alerts.arn,
        hours=hours,
        capacities=capacities,
        **env.costs.model_dump(include={"monthly_usd", "anomaly_usd", "activate_tags"}),
    )
    c.CostGuard("costs", costs_args, opts)

outputs = {
    "url": url,
    "api_id": gateway.api_id,
    "api_key_in_header": env.gateway.api_key_source == "header",
    "platform": names.platform,
    "environment": names.environment,
    "user_pool_id": identity.pool_id,
    "oauth_domain": identity.domain,
    "tenant_client_ids": dict(identity.tenant_client_ids),
    "alerts_topic": alerts.arn,
    "models_bucket": storage.models.bucket,
    "data_bucket": storage.data.bucket,
    "analytics": {"database": analytics.database_name, "workgroup": analytics.workgroup_name},
    "jobs_table": jobs.table_name,
    "jobs_config": jobs.config_key,
    "build_projects": list(images.build_projects),
    "repositories": dict(images.repository_urls),
    "model_functions": {model: function.function_name for model, function in models.functions.items()},
    "model_endpoints": {model: endpoint.update_request for model, endpoint in models.endpoints.items()},
    "job_queues": {model: queue.url for model, queue in models.jobs.items()},
    "load": env.load.model_dump(),
    "region": env.region,
    "delivery_machine": delivery.machine_arn,
    "delivery_table": delivery.table_name,
    "model_parameters": delivery.parameters_path,
    "drift_function": drift.function.function_name,
}
for name, value in outputs.items():
    pulumi.export(name, value)
