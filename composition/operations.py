"""What looks after it: deliveries and drift, alarms and dashboards, the canary, costs."""

from dataclasses import dataclass
from pathlib import Path

import pulumi

import components as c
from composition.foundation import Foundation
from composition.front import Front
from composition.inference import Inference
from environments.delivery import unmoved
from environments.operations import watched

_ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, kw_only=True)
class Watched:
    """What is watched: where it is, and each model."""

    site: c.Site
    models: list[c.ModelWatch]


@dataclass(frozen=True, kw_only=True)
class Deliveries:
    """How new versions go live, and what compares them with their training data."""

    delivery: c.Delivery
    drift: c.DriftMonitor


def watched_models(base: Foundation, of: Inference) -> Watched:
    """What alarms, deliveries and parking know of each model."""
    site = c.Site(
        names=base.names,
        stage=c.STAGE,
        architecture=base.env.functions.architecture,
        cluster_name=base.names.prefix if base.cluster else None,
    )
    models = [
        c.ModelWatch(model=model, jobs=model in of.models.jobs, **watched(entry, canary=bool(base.canary)))
        for model, entry in base.env.models.items()
    ]
    return Watched(site=site, models=models)


def deliveries(base: Foundation, of: Inference, seen: Watched) -> Deliveries:
    """Builds the machine that takes versions live, and the judges of drift."""
    delivered = {
        model: c.DeliveredModel(
            backend=entry.backend,
            endpoint=of.models.endpoints.get(model),
            unmoved=unmoved(entry, embedded=base.env.embedded_aws),
            queue=of.models.jobs[model] if entry.backend == "eks" else None,
            canary_s=entry.canary_s if entry.backend == "lambda" else None,
            alarms=c.judging(seen.site, watch),
            **entry.slo.model_dump(),
        )
        for watch, (model, entry) in zip(seen.models, base.env.models.items(), strict=True)
    }
    delivery_args = c.DeliveryArgs(
        defaults=base.functions,
        package=base.packages.delivery,
        trial_package=base.packages.model_server,
        models_bucket=base.storage.models.bucket,
        models=delivered,
        topic_arn=base.alerts.arn,
        protect=base.env.protect,
        **base.env.model_delivery.model_dump(),
    )
    delivery = c.Delivery("model-delivery", delivery_args, base.opts)

    schedules = {
        model: c.DriftSchedule(
            endpoint=of.models.endpoints[model].endpoint_name if model in of.models.endpoints else None,
            **entry.drift.model_dump(exclude={"share", "raw", "flush_s"}),
        )
        for model, entry in base.env.models.items()
        if entry.captured
    }
    drift_args = c.DriftMonitorArgs(
        defaults=base.functions,
        package=base.packages.model_server,
        models_bucket=base.storage.models.bucket,
        data_bucket=base.storage.data.bucket,
        parameters_path=delivery.parameters_path,
        models=schedules,
    )
    drift = c.DriftMonitor("drift", drift_args, base.opts)
    for model, entry in base.env.models.items():
        if entry.backend == "sagemaker" and entry.captured and entry.mode == "real-time":
            quality_args = c.DataQualityArgs(
                **base.site,
                model=model,
                endpoint_name=of.models.endpoints[model].endpoint_name,
                record_reader=pulumi.FileAsset(str(_ROOT / "serving/monitor_record.py")),
                data_bucket=base.storage.data.bucket,
                data_key_arn=base.keys.data_arn,
                topic_arn=base.alerts.arn,
                every_minutes=entry.drift.every_minutes,
            )
            c.DataQuality(f"quality-{model}", quality_args, base.opts)
    return Deliveries(delivery=delivery, drift=drift)


def observability(base: Foundation, front: Front, seen: Watched) -> None:
    """Builds alarms, dashboards, saved queries and the canary."""
    observability_args = c.ObservabilityArgs(
        site=seen.site,
        tags=base.tags,
        topic_arn=base.alerts.arn,
        watches=seen.models,
        runbooks=base.env.alerts.runbooks,
        traced_percent=base.env.watch.traced_percent,
    )
    c.Observability("observability", observability_args, base.opts)
    if base.env.watch.canary_minutes:
        canary_args = c.CanaryArgs(
            defaults=base.functions,
            package=base.packages.canary,
            identity=base.identity,
            gateway=front.gateway,
            url=front.url,
            models=[watch.model for watch in seen.models if watch.canary],
            secrets_key_arn=base.keys.secrets_arn,
            key_in_header=base.env.gateway.api_key_source == "header",
            every_minutes=base.env.watch.canary_minutes,
        )
        c.Canary("canary", canary_args, base.opts)


def costs(base: Foundation, seen: Watched) -> None:
    """Builds the budget, and what parks capacity at night and when it idles."""
    if base.env.costs is None:
        return
    hours = c.WorkingHours(**base.env.costs.parking.model_dump()) if base.env.costs.parking else None
    capacities = (
        [capacity for watch in seen.models for capacity in c.parked(seen.site, watch)] if hours else []
    )
    on_cluster = [watch.model for watch in seen.models if watch.backend == "eks"]
    if base.cluster and hours and on_cluster:
        parking_args = c.ModelParkingArgs(
            defaults=base.functions,
            package=base.packages.canary,
            network=base.network,
            cluster=base.cluster,
            models=on_cluster,
        )
        c.ModelParking("parking", parking_args, base.cluster.inside(base.opts))
    if base.cluster and hours and base.cluster.baseline_name and (nodes := base.env.cluster.baseline):
        baseline = c.node_group(
            base.names,
            base.cluster.cluster_name,
            base.cluster.baseline_name,
            role="gpu-baseline",
            nodes=nodes.nodes,
            most=nodes.nodes + 1,
        )
        capacities.append(baseline)
    costs_args = c.CostGuardArgs(
        **base.site,
        stopped_role_arns=base.deliverers if base.env.costs.stop_at_budget else (),
        topic_arn=base.alerts.arn,
        runbooks=base.env.alerts.runbooks,
        hours=hours,
        capacities=capacities,
        **base.env.costs.model_dump(include={"monthly_usd", "anomaly_usd", "activate_tags"}),
    )
    c.CostGuard("costs", costs_args, base.opts)
