"""Resources that have no place in the platform, each with faults of its own."""

import json

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as k8s

tags = {
    "platform": "inference-platform",
    "environment": pulumi.get_stack(),
    "owner": "platform-team",
    "cost-center": "ml-prod",
    "component": "stranger",
}
provider = aws.Provider("stranger", region="us-east-1", allowed_account_ids=["333333333333"])
opts = pulumi.ResourceOptions(provider=provider)


def policy(**statement: object) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]})


aws.iam.User("stranger-user", tags=tags, opts=opts)
aws.iam.Policy("stranger-admin", policy=policy(Action="*", Resource="*"), tags=tags, opts=opts)
aws.sns.Topic("stranger-abroad", region="eu-west-1", tags=tags, opts=opts)
aws.sns.Topic("stranger-untagged", opts=opts)
aws.chime.VoiceConnector("stranger-phone", require_encryption=True, tags=tags, opts=opts)
aws.ec2.Eip("stranger-address", domain="vpc", tags=tags, opts=opts)
aws.ec2.SecurityGroup(
    "stranger-door",
    description="open",
    ingress=[
        {
            "description": "all",
            "protocol": "tcp",
            "from_port": 22,
            "to_port": 22,
            "cidr_blocks": ["0.0.0.0/0"],
        }
    ],
    egress=[{"protocol": "-1", "from_port": 0, "to_port": 0, "cidr_blocks": ["0.0.0.0/0"]}],
    tags=tags,
    opts=opts,
)
aws.ebs.Volume("stranger-disk", availability_zone="us-east-1a", size=9000, type="gp2", tags=tags, opts=opts)
aws.ec2.LaunchTemplate(
    "stranger-node",
    instance_type="p3.2xlarge",
    metadata_options={"http_tokens": "optional", "http_put_response_hop_limit": 2},
    network_interfaces=[{"associate_public_ip_address": "true"}],
    user_data="ZXhwb3J0IERCX1BBU1NXT1JEPWNvcnJlY3QtaG9yc2UK",
    tags=tags,
    opts=opts,
)
cluster = aws.eks.Cluster(
    "stranger-cluster",
    role_arn="arn:aws:iam::333333333333:role/cluster",
    version="1.27",
    vpc_config={"subnet_ids": ["subnet-11111111111111111"], "endpoint_public_access": True},
    upgrade_policy={"support_type": "EXTENDED"},
    tags=tags,
    opts=opts,
)
aws.eks.NodeGroup(
    "stranger-nodes",
    cluster_name=cluster.name,
    node_role_arn="arn:aws:iam::333333333333:role/node",
    subnet_ids=["subnet-11111111111111111"],
    instance_types=["p5.48xlarge"],
    scaling_config={"min_size": 40, "desired_size": 40, "max_size": 40},
    remote_access={"ec2_ssh_key": "key"},
    tags=tags,
    opts=opts,
)
aws.sagemaker.Model(
    "stranger-model",
    execution_role_arn="arn:aws:iam::333333333333:role/model",
    primary_container={"image": "docker.io/somebody/model:1"},
    tags=tags,
    opts=opts,
)
config = aws.sagemaker.EndpointConfiguration(
    "stranger-config",
    name="stranger",
    production_variants=[
        {
            "variant_name": "a",
            "model_name": "m",
            "instance_type": "ml.p4d.24xlarge",
            "initial_instance_count": 1,
        },
        {
            "variant_name": "b",
            "model_name": "m",
            "instance_type": "ml.m5.xlarge",
            "initial_instance_count": 40,
        },
    ],
    tags=tags,
    opts=opts,
)
aws.sagemaker.Endpoint("stranger-endpoint", endpoint_config_name=config.name, tags=tags, opts=opts)
aws.sagemaker.NotebookInstance(
    "stranger-notebook",
    instance_type="ml.t3.medium",
    role_arn="arn:aws:iam::333333333333:role/notebook",
    tags=tags,
    opts=opts,
)
aws.lambda_.Permission(
    "stranger-caller",
    function="f",
    action="lambda:InvokeFunction",
    principal="s3.amazonaws.com",
    opts=opts,
)
aws.lambda_.FunctionUrl("stranger-url", function_name="f", authorization_type="NONE", opts=opts)
aws.cloudwatch.MetricAlarm(
    "stranger-alarm",
    comparison_operator="GreaterThanThreshold",
    evaluation_periods=1,
    metric_name="Errors",
    namespace="AWS/Lambda",
    period=60,
    statistic="Sum",
    threshold=1,
    tags=tags,
    opts=opts,
)
for trail in ("a", "b"):
    aws.cloudtrail.Trail(
        f"stranger-trail-{trail}",
        s3_bucket_name="trail",
        tags=tags,
        opts=pulumi.ResourceOptions(provider=provider, protect=True),
    )

aws.s3.Bucket("stranger-bucket", tags=tags, opts=pulumi.ResourceOptions(provider=provider, protect=True))
function = aws.lambda_.Function(
    "stranger-function",
    role="arn:aws:iam::333333333333:role/f",
    runtime="python3.13",
    handler="f.g",
    s3_bucket="packages",
    s3_key="f.zip",
    architectures=["arm64"],
    memory_size=128,
    timeout=3,
    reserved_concurrent_executions=1,
    tracing_config={"mode": "Active"},
    tags=tags,
    opts=opts,
)
aws.lambda_.Permission(
    "stranger-event",
    function=function.name,
    action="lambda:InvokeFunction",
    principal="events.amazonaws.com",
    source_account="333333333333",
    opts=opts,
)
aws.lambda_.ProvisionedConcurrencyConfig(
    "stranger-warm",
    function_name=function.name,
    qualifier="live",
    provisioned_concurrent_executions=500,
    opts=opts,
)
api = aws.apigatewayv2.Api(
    "stranger-api",
    protocol_type="HTTP",
    target=function.arn,
    cors_configuration={"allow_origins": ["*"]},
    tags=tags,
    opts=opts,
)
aws.apigatewayv2.Stage(
    "stranger-stage",
    api_id=api.id,
    access_log_settings={
        "destination_arn": "arn:aws:logs:us-east-1:333333333333:log-group:a",
        "format": "{}",
    },
    default_route_settings={"throttling_rate_limit": 1, "throttling_burst_limit": 1},
    tags=tags,
    opts=opts,
)
aws.apigateway.DomainName(
    "stranger-domain",
    domain_name="api.example.com",
    certificate_arn="arn:aws:acm:us-east-1:333333333333:certificate/1",
    security_policy="TLS_1_0",
    tags=tags,
    opts=opts,
)
aws.apigateway.MethodSettings(
    "stranger-cache",
    rest_api="abcdefghij",
    stage_name="elsewhere",
    method_path="a/GET",
    settings={"caching_enabled": True},
    opts=opts,
)
aws.cognito.IdentityPool(
    "stranger-guests",
    identity_pool_name="guests",
    allow_unauthenticated_identities=True,
    tags=tags,
    opts=opts,
)
aws.ecrpublic.Repository("stranger-images", repository_name="stranger", tags=tags, opts=opts)
aws.secretsmanager.Secret(
    "stranger-secret", tags=tags, opts=pulumi.ResourceOptions(provider=provider, protect=True)
)
aws.ec2.Instance(
    "stranger-instance",
    ami="ami-11111111111111111",
    instance_type="m7i.large",
    metadata_options={"http_tokens": "required"},
    tags=tags,
    opts=opts,
)
vpc = aws.ec2.Vpc("stranger-vpc", cidr_block="10.99.0.0/16", tags=tags, opts=opts)
subnet = aws.ec2.Subnet(
    "stranger-subnet",
    vpc_id=vpc.id,
    cidr_block="10.99.0.0/24",
    map_public_ip_on_launch=True,
    availability_zone="us-east-1a",
    tags=tags,
    opts=opts,
)
aws.ec2.NatGateway("stranger-nat", subnet_id=subnet.id, connectivity_type="private", tags=tags, opts=opts)
for number in range(61):
    aws.ec2.VpcEndpoint(
        f"stranger-endpoint-{number}",
        vpc_id=vpc.id,
        service_name=f"com.amazonaws.us-east-1.service{number}",
        vpc_endpoint_type="Interface",
        subnet_ids=[subnet.id],
        tags=tags,
        opts=opts,
    )
aws.eks.NodeGroup(
    "stranger-public-nodes",
    cluster_name="other",
    node_role_arn="arn:aws:iam::333333333333:role/node",
    subnet_ids=[subnet.id],
    instance_types=["m7g.large", "m6g.large"],
    capacity_type="SPOT",
    scaling_config={"min_size": 0, "desired_size": 0, "max_size": 1},
    tags=tags,
    opts=opts,
)
k8s.apps.v1.Deployment(
    "stranger-pods",
    metadata={"name": "stranger"},
    spec={
        "selector": {"match_labels": {"app": "stranger"}},
        "template": {
            "metadata": {"labels": {"app": "stranger"}},
            "spec": {
                "host_network": True,
                "containers": [{"name": "a", "image": "vllm/vllm-openai:latest"}],
            },
        },
    },
    opts=pulumi.ResourceOptions(provider=k8s.Provider("stranger-kubernetes", kubeconfig="{}")),
)
