"""Every type of the serving path: keys, buckets, roles, functions, user pool, REST API, parameters.

Config `generation` (1 or 2) changes a property of each, so that every kind of update is run.
"""

import base64
import hashlib
import io
import json
import zipfile
from pathlib import Path

import pulumi
import pulumi_aws as aws

GENERATION = pulumi.Config().require_int("generation")
tags = {"generation": str(GENERATION)}
account = aws.get_caller_identity().account_id


def policy(principal: dict[str, str] | None, action: str, resource: str | list[str] | None) -> str:
    statement: dict[str, object] = {"Sid": f"G{GENERATION}", "Effect": "Allow", "Action": action}
    statement |= {"Principal": principal} if principal else {}
    statement |= {"Resource": resource} if resource else {}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def package() -> str:
    """Writes the function's archive, the same bytes for the same generation; gives its hash."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        answer = {"statusCode": 200, "body": f"generation {GENERATION}"}
        code = f"def handler(event, context):\n    return {answer}\n"
        archive.writestr(zipfile.ZipInfo("app.py", (2020, 1, 1, 0, 0, 0)), code)
    Path("code.zip").write_bytes(buffer.getvalue())
    return base64.b64encode(hashlib.sha256(buffer.getvalue()).digest()).decode()


key = aws.kms.Key(
    "data",
    description=f"generation {GENERATION}",
    enable_key_rotation=GENERATION == 1,
    deletion_window_in_days=7,
    policy=policy({"AWS": f"arn:aws:iam::{account}:root"}, "kms:*", "*"),
    tags=tags,
)
aws.kms.Alias("data", target_key_id=key.key_id)

logs = aws.s3.Bucket("access-logs", force_destroy=True)
bucket = aws.s3.Bucket("models", force_destroy=True, tags=tags)
aws.s3.BucketOwnershipControls(
    "models", bucket=bucket.bucket, rule={"object_ownership": "BucketOwnerEnforced"}
)
access_block = aws.s3.BucketPublicAccessBlock(
    "models",
    bucket=bucket.bucket,
    block_public_acls=True,
    block_public_policy=True,
    ignore_public_acls=True,
    restrict_public_buckets=GENERATION == 1,
)
aws.s3.BucketServerSideEncryptionConfiguration(
    "models",
    bucket=bucket.bucket,
    rules=[
        {
            "apply_server_side_encryption_by_default": {
                "sse_algorithm": "aws:kms",
                "kms_master_key_id": key.arn,
            },
            "bucket_key_enabled": True,
        }
    ],
)
versioning = aws.s3.BucketVersioning(
    "models", bucket=bucket.bucket, versioning_configuration={"status": "Enabled"}
)
aws.s3.BucketLifecycleConfiguration(
    "models",
    bucket=bucket.bucket,
    rules=[
        {
            "id": "cleanup",
            "status": "Enabled",
            "filter": {"prefix": ""},
            "abort_incomplete_multipart_upload": {"days_after_initiation": GENERATION},
            "noncurrent_version_expiration": {"noncurrent_days": 30},
        },
        {
            "id": "tiering",
            "status": "Enabled",
            "filter": {"prefix": "models/"},
            "transitions": [{"days": 0, "storage_class": "INTELLIGENT_TIERING"}],
        },
    ],
)
aws.s3.BucketPolicy(
    "models",
    bucket=bucket.bucket,
    policy=bucket.arn.apply(
        lambda arn: policy({"AWS": f"arn:aws:iam::{account}:root"}, "s3:GetObject", [f"{arn}/*"])
    ),
    opts=pulumi.ResourceOptions(depends_on=[access_block]),
)
aws.s3.BucketLogging(
    "models", bucket=bucket.bucket, target_bucket=logs.bucket, target_prefix=f"s3/{GENERATION}/"
)
aws.s3.BucketNotification("models", bucket=bucket.bucket, eventbridge=True)
code_hash = package()
code = aws.s3.BucketObjectv2(
    "code.zip",
    bucket=bucket.bucket,
    source=pulumi.FileAsset("code.zip"),
    source_hash=code_hash,
    tags=tags,
    opts=pulumi.ResourceOptions(depends_on=[versioning]),
)

role = aws.iam.Role(
    "function",
    assume_role_policy=policy({"Service": "lambda.amazonaws.com"}, "sts:AssumeRole", None),
    description=f"generation {GENERATION}",
    tags=tags,
)
aws.iam.RolePolicy("function", role=role.id, policy=policy(None, "s3:GetObject", "*"))
shared = aws.iam.Policy("shared", policy=policy(None, "s3:ListBucket", "*"), tags=tags)
aws.iam.RolePolicyAttachment("shared", role=role.name, policy_arn=shared.arn)

log_group = aws.cloudwatch.LogGroup(
    "function", retention_in_days=14 if GENERATION == 1 else 30, kms_key_id=key.arn, tags=tags
)
function = aws.lambda_.Function(
    "model",
    role=role.arn,
    runtime="python3.13",
    architectures=["arm64"],
    handler="app.handler",
    s3_bucket=code.bucket,
    s3_key=code.key,
    source_code_hash=code_hash,
    memory_size=256,
    timeout=10,
    ephemeral_storage={"size": 512},
    reserved_concurrent_executions=4 + GENERATION,
    environment={"variables": {"GENERATION": str(GENERATION), "HUSH": pulumi.Output.secret("secret-text")}},
    kms_key_arn=key.arn,
    logging_config={"log_format": "JSON", "log_group": log_group.name},
    tracing_config={"mode": "Active"},
    publish=True,
    tags=tags,
)
live = aws.lambda_.Alias("live", function_name=function.name, function_version=function.version)
aws.lambda_.Permission(
    "gateway",
    action="lambda:InvokeFunction",
    function=function.name,
    principal="apigateway.amazonaws.com",
    qualifier=live.name,
)
waiting = aws.sqs.Queue("waiting", visibility_timeout_seconds=30)
aws.lambda_.EventSourceMapping(
    "waiting",
    event_source_arn=waiting.arn,
    function_name=live.arn,
    batch_size=GENERATION,
    function_response_types=["ReportBatchItemFailures"],
    scaling_config={"maximum_concurrency": 1 + GENERATION},
    tags=tags,
)
database = aws.glue.CatalogDatabase("results", description=f"generation {GENERATION}", tags=tags)
aws.glue.CatalogTable(
    "results",
    database_name=database.name,
    table_type="EXTERNAL_TABLE",
    parameters={"EXTERNAL": "TRUE", "projection.enabled": "true"},
    partition_keys=[{"name": "dt", "type": "string"}],
    storage_descriptor={
        "location": bucket.bucket.apply(lambda name: f"s3://{name}/output/"),
        "columns": [{"name": "row", "type": "bigint" if GENERATION == 1 else "string"}],
        "ser_de_info": {"serialization_library": "org.openx.data.jsonserde.JsonSerDe"},
    },
)
aws.athena.Workgroup(
    "results",
    configuration={
        "enforce_workgroup_configuration": True,
        "bytes_scanned_cutoff_per_query": 10_000_000 * GENERATION,
        "result_configuration": {
            "output_location": bucket.bucket.apply(lambda name: f"s3://{name}/queries/"),
            "encryption_configuration": {"encryption_option": "SSE_KMS", "kms_key_arn": key.arn},
        },
    },
    tags=tags,
)
aws.lambda_.FunctionEventInvokeConfig("model", function_name=function.name, maximum_retry_attempts=GENERATION)

pool = aws.cognito.UserPool(
    "people",
    user_pool_tier="ESSENTIALS",
    deletion_protection="INACTIVE",
    mfa_configuration="OPTIONAL",
    software_token_mfa_configuration={"enabled": True},
    username_attributes=["email"],
    auto_verified_attributes=["email"],
    admin_create_user_config={"allow_admin_create_user_only": True},
    account_recovery_setting={"recovery_mechanisms": [{"name": "verified_email", "priority": 1}]},
    password_policy={"minimum_length": 13 + GENERATION, "require_lowercase": True, "require_numbers": True},
    tags=tags,
)
aws.cognito.UserPoolDomain("people", domain="every-type", user_pool_id=pool.id)
api_scopes = aws.cognito.ResourceServer(
    "api",
    identifier="api",
    name=f"generation {GENERATION}",
    user_pool_id=pool.id,
    scopes=[{"scope_name": "infer", "scope_description": "Ask models"}],
)
client = aws.cognito.UserPoolClient(
    "tenant",
    user_pool_id=pool.id,
    generate_secret=True,
    allowed_oauth_flows=["client_credentials"],
    allowed_oauth_scopes=["api/infer"],
    allowed_oauth_flows_user_pool_client=True,
    access_token_validity=30 * GENERATION,
    token_validity_units={"access_token": "minutes"},
    opts=pulumi.ResourceOptions(depends_on=[api_scopes]),
)
aws.cognito.UserGroup("operators", user_pool_id=pool.id, description=f"generation {GENERATION}")
aws.ssm.Parameter(
    "tenant",
    name="/every-type/tenant",
    type="SecureString",
    key_id=key.arn,
    value=client.client_secret,
    description=f"generation {GENERATION}",
    tags=tags,
)


def document(invoke_arn: str) -> str:
    proxy = {"type": "aws_proxy", "httpMethod": "POST", "uri": invoke_arn}
    return json.dumps(
        {
            "openapi": "3.0.1",
            "info": {"title": "every-type", "version": str(GENERATION)},
            "paths": {
                "/model": {"get": {"responses": {}, "x-amazon-apigateway-integration": proxy}},
                f"/generation-{GENERATION}": {
                    "get": {"responses": {}, "x-amazon-apigateway-integration": proxy}
                },
            },
        }
    )


body = live.invoke_arn.apply(document)
api = aws.apigateway.RestApi("api", body=body, endpoint_configuration={"types": "REGIONAL"}, tags=tags)
deployment = aws.apigateway.Deployment(
    "api",
    rest_api=api.id,
    triggers={"document": body.apply(lambda text: hashlib.sha256(text.encode()).hexdigest())},
)
stage = aws.apigateway.Stage(
    "live",
    rest_api=api.id,
    deployment=deployment.id,
    stage_name="live",
    xray_tracing_enabled=GENERATION == 1,
    access_log_settings={"destination_arn": log_group.arn, "format": json.dumps(tags)},
    variables={"generation": str(GENERATION)},
    tags=tags,
)
aws.apigateway.MethodSettings(
    "api",
    rest_api=api.id,
    stage_name=stage.stage_name,
    method_path="*/*",
    settings={
        "throttling_rate_limit": 100 * GENERATION,
        "throttling_burst_limit": 200,
        "metrics_enabled": True,
    },
)
api_key = aws.apigateway.ApiKey("tenant", description=f"generation {GENERATION}", tags=tags)
plan = aws.apigateway.UsagePlan(
    "tenant",
    description=f"generation {GENERATION}",
    api_stages=[{"api_id": api.id, "stage": stage.stage_name}],
    throttle_settings={"rate_limit": 50 * GENERATION, "burst_limit": 100},
    quota_settings={"limit": 1000, "period": "DAY"},
)
aws.apigateway.UsagePlanKey("tenant", key_id=api_key.id, key_type="API_KEY", usage_plan_id=plan.id)
aws.apigateway.Account("account", cloudwatch_role_arn=role.arn)

pulumi.export("url", stage.invoke_url)
pulumi.export("secret", client.client_secret)
