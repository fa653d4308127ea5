"""An alarm of the alert topic on how often something happens."""

from collections.abc import Mapping

import pulumi
import pulumi_aws as aws

from components.metric import Metric


def ring(
    name: str,
    *,
    alarm_name: str,
    text: str,
    counted: Metric,
    more_than: float,
    topic_arn: pulumi.Input[str],
    tags: Mapping[str, str],
    opts: pulumi.ResourceOptions,
) -> None:
    """Tell the topic when `counted` is above `more_than` in five minutes, and when it no longer is.

    Args:
        text: what that means, with the runbook's page.
        counted: a metric whose sum is a count; a period with no data counts as none.
    """
    aws.cloudwatch.MetricAlarm(
        name,
        name=alarm_name,
        alarm_description=text,
        namespace=counted.namespace,
        metric_name=counted.name,
        dimensions=counted.dimensions or None,
        statistic="Sum",
        comparison_operator="GreaterThanThreshold",
        threshold=more_than,
        period=300,
        evaluation_periods=1,
        treat_missing_data="notBreaching",
        alarm_actions=[topic_arn],
        ok_actions=[topic_arn],
        tags=tags,
        opts=opts,
    )
