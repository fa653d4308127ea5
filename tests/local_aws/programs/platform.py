"""Every other type: network, queues, topics, events, tables, images, firewall, SageMaker.

Config `generation` (1 or 2) changes a property of each, so that every kind of update is run.
"""

import json

import pulumi
import pulumi_aws as aws

GENERATION = pulumi.Config().require_int("generation")
FIRST = GENERATION == 1
tags = {"generation": str(GENERATION)}


def policy(service: str, action: str, resource: str | None = None) -> str:
    statement: dict[str, object] = {"Sid": f"G{GENERATION}", "Effect": "Allow", "Action": action}
    statement |= {"Principal": {"Service": f"{service}.amazonaws.com"}}
    statement |= {"Resource": resource} if resource else {}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def role(service: str) -> aws.iam.Role:
    return aws.iam.Role(service, assume_role_policy=policy(service, "sts:AssumeRole"))


# Network ---------------------------------------------------------------------------------------------
zones = aws.get_availability_zones().names
vpc = aws.ec2.Vpc("net", cidr_block="10.0.0.0/16", enable_dns_hostnames=FIRST, tags=tags)
aws.ec2.DefaultSecurityGroup("closed", vpc_id=vpc.id)
public = aws.ec2.Subnet(
    "public",
    vpc_id=vpc.id,
    cidr_block="10.0.0.0/24",
    availability_zone=zones[0],
    map_public_ip_on_launch=not FIRST,
)
private = aws.ec2.Subnet(
    "private", vpc_id=vpc.id, cidr_block="10.0.1.0/24", availability_zone=zones[1], tags=tags
)
internet = aws.ec2.InternetGateway("internet", vpc_id=vpc.id, tags=tags)
address = aws.ec2.Eip("nat", domain="vpc", tags=tags)
nat = aws.ec2.NatGateway(
    "nat",
    allocation_id=address.allocation_id,
    subnet_id=public.id,
    opts=pulumi.ResourceOptions(depends_on=[internet]),
)
outward = aws.ec2.RouteTable("public", vpc_id=vpc.id)
inward = aws.ec2.RouteTable("private", vpc_id=vpc.id, tags=tags)
aws.ec2.Route("public", route_table_id=outward.id, destination_cidr_block="0.0.0.0/0", gateway_id=internet.id)
aws.ec2.Route("private", route_table_id=inward.id, destination_cidr_block="0.0.0.0/0", nat_gateway_id=nat.id)
aws.ec2.RouteTableAssociation("public", subnet_id=public.id, route_table_id=outward.id)
aws.ec2.RouteTableAssociation("private", subnet_id=private.id, route_table_id=inward.id)
group = aws.ec2.SecurityGroup("endpoints", vpc_id=vpc.id, description="Endpoints", tags=tags)
aws.vpc.SecurityGroupIngressRule(
    "https",
    security_group_id=group.id,
    cidr_ipv4="10.0.0.0/16",
    from_port=443,
    to_port=443,
    ip_protocol="tcp",
    description=f"generation {GENERATION}",
)
aws.vpc.SecurityGroupEgressRule("all", security_group_id=group.id, cidr_ipv4="0.0.0.0/0", ip_protocol="-1")
aws.ec2.SecurityGroup(
    "inline",
    vpc_id=vpc.id,
    ingress=[{"protocol": "tcp", "from_port": 80, "to_port": 80 + GENERATION, "cidr_blocks": ["10.0.0.0/8"]}],
    egress=[{"protocol": "-1", "from_port": 0, "to_port": 0, "cidr_blocks": ["0.0.0.0/0"]}],
)
aws.ec2.VpcEndpoint(
    "s3",
    vpc_id=vpc.id,
    service_name="com.amazonaws.us-east-1.s3",
    vpc_endpoint_type="Gateway",
    route_table_ids=[inward.id],
    policy=policy("s3", "s3:*", "*"),
)
aws.ec2.VpcEndpoint(
    "ssm",
    vpc_id=vpc.id,
    service_name="com.amazonaws.us-east-1.ssm",
    vpc_endpoint_type="Interface",
    subnet_ids=[private.id],
    security_group_ids=[group.id],
    private_dns_enabled=True,
)
flow_logs = aws.cloudwatch.LogGroup("flow")
aws.ec2.FlowLog(
    "net",
    vpc_id=vpc.id,
    traffic_type="ALL",
    log_destination_type="cloud-watch-logs",
    log_destination=flow_logs.arn,
    iam_role_arn=role("vpc-flow-logs").arn,
    max_aggregation_interval=60,
)

# Queues, topics, events ------------------------------------------------------------------------------
key = aws.kms.Key("data", deletion_window_in_days=7)
dead = aws.sqs.Queue("dead", message_retention_seconds=1209600, sqs_managed_sse_enabled=True)
jobs = aws.sqs.Queue(
    "jobs",
    visibility_timeout_seconds=30 * GENERATION,
    redrive_policy=dead.arn.apply(lambda arn: json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 3})),
    tags=tags,
)
aws.sqs.Queue("ordered", fifo_queue=True, content_based_deduplication=True)
aws.sqs.QueuePolicy(
    "jobs",
    queue_url=jobs.url,
    policy=jobs.arn.apply(lambda arn: policy("events", "sqs:SendMessage", arn)),
)
alerts = aws.sns.Topic("alerts", kms_master_key_id=key.id, display_name=f"G{GENERATION}", tags=tags)
aws.sns.TopicPolicy(
    "alerts", arn=alerts.arn, policy=alerts.arn.apply(lambda arn: policy("events", "sns:Publish", arn))
)
aws.sns.TopicSubscription(
    "jobs", topic=alerts.arn, protocol="sqs", endpoint=jobs.arn, raw_message_delivery=FIRST
)
rule = aws.cloudwatch.EventRule(
    "uploads",
    event_pattern=json.dumps({"source": ["aws.s3"]}),
    description=f"generation {GENERATION}",
    tags=tags,
)
aws.cloudwatch.EventTarget(
    "jobs",
    rule=rule.name,
    arn=jobs.arn,
    input_transformer={"input_paths": {"key": "$.detail.object.key"}, "input_template": '"<key>"'},
    dead_letter_config={"arn": dead.arn},
    retry_policy={"maximum_retry_attempts": GENERATION, "maximum_event_age_in_seconds": 60},
)
dead_letters = aws.cloudwatch.MetricAlarm(
    "dead-letters",
    comparison_operator="GreaterThanThreshold",
    evaluation_periods=GENERATION,
    metric_name="ApproximateNumberOfMessagesVisible",
    namespace="AWS/SQS",
    period=60,
    statistic="Sum",
    threshold=1.5,
    dimensions={"QueueName": dead.name},
    alarm_actions=[alerts.arn],
    tags=tags,
)
aws.cloudwatch.MetricAlarm(
    "errors",
    comparison_operator="GreaterThanThreshold",
    evaluation_periods=1,
    threshold=1,
    metric_queries=[
        {"id": "scaled", "expression": f"errors * {GENERATION}", "return_data": True},
        {
            "id": "errors",
            "metric": {
                "metric_name": "Errors",
                "namespace": "AWS/Lambda",
                "period": 60,
                "stat": "Sum",
                "dimensions": {"FunctionName": "model"},
            },
        },
    ],
)
text = {"type": "text", "x": 0, "y": 0, "width": 6, "height": GENERATION, "properties": {"markdown": "hi"}}
aws.cloudwatch.Dashboard("main", dashboard_name="every-type", dashboard_body=json.dumps({"widgets": [text]}))
streams = role("streams")
aws.kinesis.FirehoseDeliveryStream(
    "capture",
    name="every-type",
    destination="extended_s3",
    extended_s3_configuration={
        "role_arn": streams.arn,
        "bucket_arn": "arn:aws:s3:::every-type-captured",
        "prefix": f"generation-{GENERATION}/",
        "buffering_interval": 60,
    },
    tags=tags,
)
states = role("states")
aws.sfn.StateMachine(
    "delivery",
    role_arn=states.arn,
    definition=json.dumps(
        {"StartAt": "Pass", "States": {"Pass": {"Type": "Pass", "Result": GENERATION, "End": True}}}
    ),
    tracing_configuration={"enabled": True},
    tags=tags,
)

# Data, images, firewall ------------------------------------------------------------------------------
aws.dynamodb.Table(
    "requests",
    billing_mode="PAY_PER_REQUEST",
    hash_key="id",
    range_key="at",
    attributes=[{"name": name, "type": "S"} for name in ("id", "at", "tenant")],
    global_secondary_indexes=[{"name": "by-tenant", "hash_key": "tenant", "projection_type": "ALL"}],
    ttl={"attribute_name": "expires", "enabled": True},
    point_in_time_recovery={"enabled": FIRST},
    server_side_encryption={"enabled": True, "kms_key_arn": key.arn},
    tags=tags,
)
secret = aws.secretsmanager.Secret(
    "token",
    description=f"generation {GENERATION}",
    kms_key_id=key.id,
    recovery_window_in_days=0,
    tags=tags,
)
aws.secretsmanager.SecretVersion(
    "token", secret_id=secret.id, secret_string=pulumi.Output.secret(f"secret-text {GENERATION}")
)
images = aws.ecr.Repository(
    "images",
    image_tag_mutability="IMMUTABLE" if FIRST else "MUTABLE",
    image_scanning_configuration={"scan_on_push": True},
    encryption_configurations=[{"encryption_type": "KMS", "kms_key": key.arn}],
    force_delete=True,
    tags=tags,
)
untagged = {"tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days"}
expiry = {
    "rulePriority": 1,
    "selection": untagged | {"countNumber": GENERATION},
    "action": {"type": "expire"},
}
aws.ecr.LifecyclePolicy("images", repository=images.name, policy=json.dumps({"rules": [expiry]}))
aws.codebuild.Project(
    "images",
    service_role=states.arn,
    artifacts={"type": "NO_ARTIFACTS"},
    environment={
        "compute_type": "BUILD_GENERAL1_SMALL",
        "image": "aws/codebuild/standard:7.0",
        "type": "LINUX_CONTAINER",
        "privileged_mode": True,
        "environment_variables": [{"name": "GENERATION", "value": str(GENERATION)}],
    },
    source={"type": "NO_SOURCE", "buildspec": "version: 0.2"},
    build_timeout=10 * GENERATION,
    tags=tags,
)
firewall = aws.wafv2.WebAcl(
    "firewall",
    scope="REGIONAL",
    default_action={"allow": {}},
    visibility_config={
        "cloudwatch_metrics_enabled": True,
        "metric_name": "firewall",
        "sampled_requests_enabled": True,
    },
    rules=[
        {
            "name": "common",
            "priority": GENERATION,
            "override_action": {"none": {}},
            "statement": {
                "managed_rule_group_statement": {
                    "name": "AWSManagedRulesCommonRuleSet",
                    "vendor_name": "AWS",
                    "rule_action_overrides": [
                        {"name": "SizeRestrictions_BODY", "action_to_use": {"count": {}}}
                    ],
                }
            },
            "visibility_config": {
                "cloudwatch_metrics_enabled": True,
                "metric_name": "common",
                "sampled_requests_enabled": True,
            },
        }
    ],
    tags=tags,
)
api = aws.apigateway.RestApi("api")
stage = aws.apigateway.Stage(
    "live",
    rest_api=api.id,
    deployment=aws.apigateway.Deployment("api", rest_api=api.id).id,
    stage_name="live",
)
aws.wafv2.WebAclAssociation("live", resource_arn=stage.arn, web_acl_arn=firewall.arn)

# In moto ---------------------------------------------------------------------------------------------
aws.guardduty.Detector("main", enable=True, finding_publishing_frequency="ONE_HOUR" if FIRST else "SIX_HOURS")
model = aws.sagemaker.Model(
    "fraud",
    execution_role_arn=role("sagemaker").arn,
    primary_container={
        "image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/model:1",
        "environment": {"GENERATION": str(GENERATION)},
    },
    enable_network_isolation=True,
)
variants = aws.sagemaker.EndpointConfiguration(
    "fraud",
    production_variants=[
        {
            "variant_name": "main",
            "model_name": model.name,
            "initial_instance_count": 1,
            "instance_type": "ml.m5.large",
        }
    ],
)
aws.sagemaker.Endpoint("fraud", endpoint_config_name=variants.name)

# Watching --------------------------------------------------------------------------------------------
aws.cloudwatch.CompositeAlarm(
    "either",
    alarm_name="either",
    alarm_rule=pulumi.Output.format('ALARM("{0}")', dead_letters.name),
    alarm_description=f"generation {GENERATION}",
    alarm_actions=[alerts.arn],
    tags=tags,
)
aws.cloudwatch.LogMetricFilter(
    "rejects",
    log_group_name=flow_logs.name,
    pattern="REJECT" if FIRST else "ACCEPT",
    metric_transformation={"namespace": "Net", "name": "Rejects", "value": "1", "default_value": "0"},
)
aws.scheduler.Schedule(
    "nightly",
    schedule_expression=f"cron(0 {GENERATION} * * ? *)",
    schedule_expression_timezone="Europe/Berlin",
    flexible_time_window={"mode": "OFF"},
    target={
        "arn": jobs.arn,
        "role_arn": role("scheduler").arn,
        "input": json.dumps({"generation": GENERATION}),
    },
)
records = aws.s3.Bucket("records", force_destroy=True)
aws.cloudtrail.Trail(
    "records",
    s3_bucket_name=records.bucket,
    enable_log_file_validation=FIRST,
    is_multi_region_trail=True,
    enable_logging=FIRST,
    event_selectors=[
        {
            "include_management_events": True,
            "read_write_type": "All" if FIRST else "WriteOnly",
            "data_resources": [{"type": "AWS::S3::Object", "values": ["arn:aws:s3:::models/"]}],
        }
    ],
    tags=tags,
)
