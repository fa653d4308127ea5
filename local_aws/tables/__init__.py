"""The resource types that the embedded AWS holds, and why it does not hold others."""

from local_aws.tables import (
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
)
from local_aws.tables.form import Type

TABLES: dict[str, Type] = {
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
}

PLANNED = {
    "aws:wafv2/webAclLoggingConfiguration:WebAclLoggingConfiguration": "WAF logs are not written",
    "aws:apigateway/vpcLink:VpcLink": "no VPC links: the gateway calls the integration's uri itself",
    "aws:ecr/pullThroughCacheRule:PullThroughCacheRule": "images come from no registry here",
    "aws:appautoscaling/policy:Policy": "nothing scales by itself on one machine",
    "aws:appautoscaling/target:Target": "nothing scales by itself on one machine",
}
"""Types that are in the state alone, with the reason where there is more to say than that."""
