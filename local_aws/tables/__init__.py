"""The resource types that the embedded AWS holds, and why it does not hold others."""

from local_aws.tables import (
    analytics,
    apigateway,
    cognito,
    configuration,
    dynamodb,
    events,
    iam,
    images,
    lambda_,
    network,
    s3,
    streams,
    watching,
)
from local_aws.tables.form import Type

TABLES: dict[str, Type] = {
    **analytics.TABLE,
    **apigateway.TABLE,
    **cognito.TABLE,
    **configuration.TABLE,
    **dynamodb.TABLE,
    **events.TABLE,
    **iam.TABLE,
    **images.TABLE,
    **lambda_.TABLE,
    **network.TABLE,
    **s3.TABLE,
    **watching.TABLE,
    **streams.TABLE,
}

PLANNED = {
    "aws:wafv2/webAclLoggingConfiguration:WebAclLoggingConfiguration": "WAF logs are not written",
    "aws:apigateway/vpcLink:VpcLink": "no VPC links: the gateway calls the integration's uri itself",
    "aws:ecr/pullThroughCacheRule:PullThroughCacheRule": "images come from no registry here",
    "aws:appautoscaling/policy:Policy": "nothing scales by itself on one machine",
    "aws:appautoscaling/target:Target": "nothing scales by itself on one machine",
    "aws:budgets/budget:Budget": "nothing is billed",
    "aws:budgets/budgetAction:BudgetAction": "nothing is billed",
    "aws:cfg/deliveryChannel:DeliveryChannel": "the embedded AWS evaluates no Config rule",
    "aws:cfg/recorder:Recorder": "the embedded AWS evaluates no Config rule",
    "aws:cfg/recorderStatus:RecorderStatus": "the embedded AWS evaluates no Config rule",
    "aws:cfg/rule:Rule": "the embedded AWS evaluates no Config rule",
    "aws:cloudwatch/queryDefinition:QueryDefinition": "the embedded AWS keeps no queries",
    "aws:costexplorer/anomalyMonitor:AnomalyMonitor": "nothing is billed",
    "aws:costexplorer/anomalySubscription:AnomalySubscription": "nothing is billed",
    "aws:guardduty/detectorFeature:DetectorFeature": "the embedded AWS detects no threats",
    "aws:iam/serviceLinkedRole:ServiceLinkedRole": "services need no roles of their own here",
    "aws:inspector2/enabler:Enabler": "the embedded AWS scans nothing",
    "aws:xray/group:Group": "nothing is traced",
    "aws:xray/samplingRule:SamplingRule": "nothing is traced",
}
"""Types that are in the state alone, with the reason where there is more to say than that."""
