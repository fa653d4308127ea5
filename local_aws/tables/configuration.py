"""What other resources lean on: keys, parameters, secrets, log groups."""

from local_aws.tables.form import Type, call

TABLE = {
    "aws:kms/key:Key": Type(
        service="kms",
        id="{KeyId}",
        create=call("create_key"),
        then=(call("enable_key_rotation", on="enableKeyRotation", off="disable_key_rotation"),),
        update=(
            call("put_key_policy", on="policy", PolicyName="default"),
            call("update_key_description", on="description"),
            call("enable_key", on="isEnabled", off="disable_key"),
        ),
        read=call("describe_key", "KeyMetadata.KeyState != 'PendingDeletion' && KeyMetadata || `null`"),
        facts={
            "policy": call("get_key_policy", "Policy", PolicyName="default"),
            "enableKeyRotation": call("get_key_rotation_status", "KeyRotationEnabled"),
        },
        delete=call("schedule_key_deletion", PendingWindowInDays="{deletionWindowInDays}"),
        made="KeyMetadata",
        renames={"isEnabled": "Enabled", "keyId": "KeyId", "id": "KeyId"},
        local=frozenset({"deletionWindowInDays", "bypassPolicyLockoutSafetyCheck"}),
    ),
    "aws:kms/alias:Alias": Type(
        service="kms",
        id="{name}",
        create=call("create_alias"),
        update=(call("update_alias"),),
        read=call("list_aliases", "Aliases[?AliasName=='{name}'] | [0]"),
        delete=call("delete_alias"),
        renames={"name": "AliasName", "arn": "AliasArn"},
        outputs={"targetKeyArn": "arn:aws:kms:{region}:{account}:key/{targetKeyId}"},
    ),
    "aws:ssm/parameter:Parameter": Type(
        service="ssm",
        id="{name}",
        create=call("put_parameter"),
        update=(call("put_parameter", on="value type description keyId tier dataType", Overwrite=True),),
        read=call("get_parameter", "Parameter", WithDecryption=True),
        delete=call("delete_parameter"),
        tag=call("add_tags_to_resource", ResourceType="Parameter", ResourceId="{name}"),
        untag=call("remove_tags_from_resource", ResourceType="Parameter", ResourceId="{name}"),
        local=frozenset({"overwrite"}),
    ),
    "aws:cloudwatch/logGroup:LogGroup": Type(
        service="logs",
        id="{name}",
        create=call("create_log_group"),
        then=(call("put_retention_policy", on="retentionInDays", off="delete_retention_policy"),),
        update=(call("associate_kms_key", on="kmsKeyId", off="disassociate_kms_key"),),
        read=call(
            "describe_log_groups", "logGroups[?logGroupName=='{name}'] | [0]", logGroupNamePrefix="{name}"
        ),
        delete=call("delete_log_group"),
        renames={"name": "logGroupName", "arn": "logGroupArn"},
        outputs={"arn": "arn:aws:logs:{region}:{account}:log-group:{name}"},
        local=frozenset({"skipDestroy"}),
    ),
}
