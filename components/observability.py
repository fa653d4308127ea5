"""Whoever runs the platform knows within minutes that something is wrong: alarms, dashboards, queries."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.alarms import Alarm, model_alarms, objective_rule, platform_alarms
from components.dashboards import model_dashboard, platform_dashboard
from components.log_queries import QUERIES
from components.tags import Tags
from components.watch import ModelWatch, Site


@dataclass(frozen=True, kw_only=True)
class ObservabilityArgs:
    """Arguments of `Observability`."""

    site: Site
    """Where the metrics come from."""
    tags: Tags
    topic_arn: pulumi.Input[str]
    """Topic that hears of alarms and of their end."""
    watches: Sequence[ModelWatch]
    """What there is to watch of each model."""
    runbooks: str = "docs/runbooks"
    """Folder or URL of the runbook pages, as an alarm's text names them."""
    traced_percent: float = 5
    """Share of the requests that X-Ray traces beyond the first in each second."""


class Observability(pulumi.ComponentResource):
    """Alarms on objectives and causes, a dashboard for the platform and for each model, saved log queries.

    A model's objectives ring through one composite alarm, so that an incident is told once; alarms on causes
    tell by themselves. Every alarm names its runbook page, and tells when it ends, too.
    """

    alarm_names: Sequence[str]

    def __init__(
        self, name: str, args: ObservabilityArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("inference-platform:observability:Observability", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        self._names = args.site.names
        self._tags = args.tags.component("observability")
        authorizer = self._names.function("authorizer")
        made = [self._alarm(alarm) for alarm in platform_alarms(args.site, authorizer)]
        for watch in args.watches:
            alarms = [self._alarm(alarm) for alarm in model_alarms(args.site, watch)]
            if watch.synchronous:
                alarms.append(self._objectives(watch, alarms))
            made += alarms
        self._dashboard("platform", platform_dashboard(args.site, authorizer, args.watches))
        for watch in args.watches:
            self._dashboard(watch.model, model_dashboard(args.site, watch))
        self._queries()
        self._traces()
        self.alarm_names = [alarm_name for alarm_name, _ in made]
        self.register_outputs({})

    def _alarm(self, alarm: Alarm) -> tuple[str, pulumi.Resource]:
        alarm_name = f"{self._names.prefix}-{alarm.role}"
        actions = [self._args.topic_arn] if alarm.tells else None
        percentile = alarm.stat.startswith("p")
        made = aws.cloudwatch.MetricAlarm(
            f"{self._name}-{alarm.role}",
            name=alarm_name,
            alarm_description=self._text(alarm.text, alarm.runbook),
            namespace=alarm.metric.namespace,
            metric_name=alarm.metric.name,
            dimensions=alarm.metric.dimensions,
            statistic=None if percentile else alarm.stat,
            extended_statistic=alarm.stat if percentile else None,
            # Two requests at night have no 99th percentile.
            evaluate_low_sample_count_percentiles="ignore" if percentile else None,
            comparison_operator="LessThanThreshold" if alarm.below else "GreaterThanThreshold",
            threshold=alarm.threshold,
            period=alarm.period_s,
            evaluation_periods=alarm.periods,
            datapoints_to_alarm=alarm.breaching,
            treat_missing_data=alarm.missing,
            alarm_actions=actions,
            ok_actions=actions,
            tags=self._tags,
            opts=self._child,
        )
        return alarm_name, made

    def _objectives(
        self, watch: ModelWatch, parts: Sequence[tuple[str, pulumi.Resource]]
    ) -> tuple[str, pulumi.Resource]:
        alarm_name = f"{self._names.prefix}-{watch.model}-objectives"
        actions = [self._args.topic_arn]
        made = aws.cloudwatch.CompositeAlarm(
            f"{self._name}-{watch.model}-objectives",
            alarm_name=alarm_name,
            alarm_description=self._text(f"{watch.model} does not meet its objectives", "objectives"),
            alarm_rule=objective_rule(self._names.prefix, watch.model),
            alarm_actions=actions,
            ok_actions=actions,
            tags=self._tags,
            # The rule names alarms, which CloudWatch looks up.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[alarm for _, alarm in parts]),
        )
        return alarm_name, made

    def _text(self, text: str, runbook: str) -> str:
        return f"{text}. Runbook: {self._args.runbooks}/{runbook}.md"

    def _dashboard(self, role: str, body: str) -> None:
        aws.cloudwatch.Dashboard(
            f"{self._name}-dashboard-{role}",
            dashboard_name=f"{self._names.prefix}-{role}",
            dashboard_body=body,
            opts=self._child,
        )

    def _queries(self) -> None:
        functions = [w.function_name(self._args.site) for w in self._args.watches if w.backend == "lambda"]
        groups = {
            "access": [f"/aws/apigateway/{self._names.prefix}/access"],
            "models": [f"/aws/lambda/{function_name}" for function_name in functions],
        }
        for role, (source, query) in QUERIES.items():
            if groups[source]:
                aws.cloudwatch.QueryDefinition(
                    f"{self._name}-query-{role}",
                    name=f"{self._names.prefix}/{role}",
                    log_group_names=groups[source],
                    query_string=query,
                    opts=self._child,
                )

    def _traces(self) -> None:
        service = f"{self._names.prefix}/{self._args.site.stage}"
        aws.xray.Group(
            f"{self._name}-slow-or-failed",
            group_name=f"{self._names.prefix}-slow-or-failed",
            filter_expression=f'service("{service}") {{fault = true OR responsetime > 1}}',
            insights_configuration={"insights_enabled": True, "notifications_enabled": False},
            tags=self._tags,
            opts=self._child,
        )
        aws.xray.SamplingRule(
            f"{self._name}-traces",
            # 32 characters at most, and nobody types it.
            rule_name=f"{self._names.environment}-api",
            priority=1000,
            version=1,
            reservoir_size=1,
            fixed_rate=self._args.traced_percent / 100,
            host="*",
            http_method="*",
            resource_arn="*",
            service_name=service,
            service_type="*",
            url_path="*",
            tags=self._tags,
            opts=self._child,
        )
