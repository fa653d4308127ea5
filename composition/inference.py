"""What answers: the models of the catalogue on their backends, their jobs and the tables over results."""

from dataclasses import dataclass

import components as c
from composition.foundation import Foundation


@dataclass(frozen=True, kw_only=True)
class Inference:
    """The models with their jobs."""

    models: c.Models
    jobs: c.Jobs
    analytics: c.Analytics


def inference(base: Foundation) -> Inference:
    """Builds every model on its backend, on the foundation."""
    captures = {
        model: c.CaptureStream(
            f"capture-{model}",
            c.CaptureStreamArgs(
                names=base.names,
                tags=base.tags.component("drift"),
                model=model,
                data_bucket_arn=base.storage.data.arn,
                data_key_arn=base.keys.data_arn,
                **entry.drift.model_dump(include={"share", "raw", "flush_s"}),
            ),
            base.opts,
        )
        for model, entry in base.env.models.items()
        if entry.backend != "sagemaker" and entry.captured
    }
    models_args = c.ModelsArgs(
        catalogue={model: entry.settings() for model, entry in base.env.models.items()},
        functions=base.functions,
        package=base.packages.model_server,
        images=base.images,
        models_bucket=base.storage.models.bucket,
        captures=captures,
        network=base.network,
        cluster=base.cluster,
        alarm_actions=[base.alerts.arn],
        part_timeout_s=base.env.jobs.part_timeout_s,
        require_tls=base.env.storage.require_tls,
    )
    models = c.Models("model", models_args, base.opts)

    jobs_args = c.JobsArgs(
        defaults=base.functions,
        package=base.packages.jobs,
        files_package=base.packages.jobs_files,
        data_bucket=base.storage.data.bucket,
        models=models.job_models,
        tenants={tenant.name: c.JobLimits(**tenant.jobs.model_dump()) for tenant in base.env.tenants},
        require_tls=base.env.storage.require_tls,
        part=c.PartSize(rows=base.env.jobs.part_rows, bytes=base.env.jobs.part_bytes),
        protect=base.env.protect,
        **base.env.jobs.model_dump(exclude={"part_rows", "part_bytes"}),
    )
    jobs = c.Jobs("jobs", jobs_args, base.opts)
    if base.cluster:
        router_args = c.RouterArgs(
            **base.site,
            cluster=base.cluster,
            images=base.images,
            routes=models.routes,
            vpc_cidr=base.network.cidr,
            data_key_arn=base.keys.data_arn,
            usage_table=jobs.table_name,
            replicas=base.env.cluster.router_replicas,
        )
        c.Router("router", router_args, base.cluster.inside(base.opts))
        for model, route in models.routes.items():
            worker_args = c.ClusterWorkerArgs(
                **base.site,
                cluster=base.cluster,
                jobs=jobs,
                data_bucket=base.storage.data.bucket,
                image=base.images.model_server_images["arm64"],
                model=model,
                route=route,
                most=base.env.models[model].settings()["scale"]["max"],
            )
            c.ClusterWorker(f"jobs-{model}", worker_args, base.cluster.inside(base.opts))

    analytics_args = c.AnalyticsArgs(
        names=base.names,
        tags=base.tags.component("analytics"),
        data_bucket=base.storage.data.bucket,
        data_key_arn=base.keys.data_arn,
        models=list(base.env.models),
        tenants=[tenant.name for tenant in base.env.tenants],
        scan_limit_mb=base.env.analytics.scan_limit_mb,
    )
    analytics = c.Analytics("analytics", analytics_args, base.opts)
    return Inference(models=models, jobs=jobs, analytics=analytics)
