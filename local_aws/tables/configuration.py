"""What other resources lean on: keys, parameters, secrets, log groups."""

from local_aws.tables.form import Run, call, held
from local_aws.values import Props


def _drop_secret(run: Run, secret: Props) -> None:
    """A window of 0 days deletes at once, as the provider has it."""
    days = secret.get("recoveryWindowInDays", 30)
    how = {"RecoveryWindowInDays": days} if days else {"ForceDeleteWithoutRecovery": True}
    run("delete_secret", SecretId=secret["id"], **how)


# fmt: off
TABLE = dict((
    held("kms:Key", "kms", "{KeyId}", create="create_key", made="KeyMetadata",
         then=(call("enable_key_rotation", on="enableKeyRotation", off="disable_key_rotation"),),
         update=(call("put_key_policy", on="policy", PolicyName="default"),
                 call("update_key_description", on="description"),
                 call("enable_key", on="isEnabled", off="disable_key")),
         read=call("describe_key", "KeyMetadata.KeyState != 'PendingDeletion' && KeyMetadata || `null`"),
         facts={"policy": call("get_key_policy", "Policy", PolicyName="default"),
                "enableKeyRotation": call("get_key_rotation_status", "KeyRotationEnabled")},
         delete=call("schedule_key_deletion", PendingWindowInDays="{deletionWindowInDays}"),
         renames={"isEnabled": "Enabled"}, local="deletionWindowInDays bypassPolicyLockoutSafetyCheck"),
    held("kms:Alias", "kms", "{name}", create="create_alias", update=("update_alias",), delete="delete_alias",
         read=call("list_aliases", "Aliases[?AliasName=='{name}'] | [0]"),
         outputs={"targetKeyArn": "arn:aws:kms:{region}:{account}:key/{targetKeyId}"}),
    held("ssm:Parameter", "ssm", "{name}", create="put_parameter", delete="delete_parameter",
         update=(call("put_parameter", on="value type description keyId tier dataType", Overwrite=True),),
         read=call("get_parameter", "Parameter", WithDecryption=True), local="overwrite",
         tag=call("add_tags_to_resource", ResourceType="Parameter", ResourceId="{name}"),
         untag=call("remove_tags_from_resource", ResourceType="Parameter", ResourceId="{name}")),
    held("secretsmanager:Secret", "secretsmanager", "{ARN}", create="create_secret", clear=_drop_secret,
         update=(call("update_secret", on="description kmsKeyId", SecretId="{id}"),),
         read=call("describe_secret", "!DeletedDate && @ || `null`", SecretId="{id}"),
         local="recoveryWindowInDays forceOverwriteReplicaSecret"),
    held("secretsmanager:SecretVersion", "secretsmanager", "{secretId}|{VersionId}",
         put="put_secret_value", read="get_secret_value"),
    held("cloudwatch:LogGroup", "logs", "{name}", create="create_log_group", delete="delete_log_group",
         then=(call("put_retention_policy", on="retentionInDays", off="delete_retention_policy"),),
         update=(call("associate_kms_key", on="kmsKeyId", off="disassociate_kms_key"),),
         read=call("describe_log_groups", "logGroups[?logGroupName=='{name}'] | [0]",
                   logGroupNamePrefix="{name}"),
         outputs={"arn": "arn:aws:logs:{region}:{account}:log-group:{name}"}, local="skipDestroy"),
))
