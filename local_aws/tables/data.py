"""DynamoDB tables and Secrets Manager."""

from local_aws.tables.form import Run, Step, Type, call
from local_aws.values import Props


def _table(inputs: Props) -> Props:
    """Keys as DynamoDB's schema of attribute roles, for the table and its indexes."""

    def keys(entry: Props) -> list[Props]:
        roles = (("hashKey", "HASH"), ("rangeKey", "RANGE"))
        return [{"attributeName": entry[name], "keyType": role} for name, role in roles if entry.get(name)]

    def index(entry: Props) -> Props:
        projection = {"projectionType": entry.get("projectionType", "ALL")}
        if entry.get("nonKeyAttributes"):
            projection["nonKeyAttributes"] = entry["nonKeyAttributes"]
        return {"indexName": entry["name"], "keySchema": keys(entry), "projection": projection}

    indexes = {
        name: [index(entry) for entry in inputs[name]]
        for name in ("globalSecondaryIndexes", "localSecondaryIndexes")
        if inputs.get(name)
    }
    encryption = inputs.get("serverSideEncryption") or {}
    stream = {"streamEnabled": True, "streamViewType": inputs.get("streamViewType")}
    return (
        inputs
        | indexes
        | {
            "keySchema": keys(inputs),
            "attributeDefinitions": [
                {"attributeName": entry["name"], "attributeType": entry["type"]}
                for entry in inputs.get("attributes") or ()
            ],
            "billingMode": inputs.get("billingMode", "PROVISIONED"),
            "provisionedThroughput": {
                "readCapacityUnits": inputs["readCapacity"],
                "writeCapacityUnits": inputs["writeCapacity"],
            }
            if inputs.get("readCapacity")
            else None,
            "streamSpecification": stream if inputs.get("streamEnabled") else None,
            "sseSpecification": {
                "enabled": encryption["enabled"],
                "sseType": "KMS",
                "kmsMasterKeyId": encryption.get("kmsKeyArn"),
            }
            if encryption.get("enabled")
            else None,
        }
    )


def _expiry(run: Run, table: Props, old: Props) -> None:
    ttl = table.get("ttl") or old.get("ttl") or {}
    enabled = bool(table.get("ttl")) and ttl.get("enabled", True)
    setting = {"Enabled": enabled, "AttributeName": ttl["attributeName"]}
    run("update_time_to_live", TableName=table["name"], TimeToLiveSpecification=setting)


def _recovery(run: Run, table: Props, old: Props) -> None:
    enabled = (table.get("pointInTimeRecovery") or {}).get("enabled", False)
    setting = {"PointInTimeRecoveryEnabled": enabled}
    run("update_continuous_backups", TableName=table["name"], PointInTimeRecoverySpecification=setting)


def _drop_secret(run: Run, secret: Props) -> None:
    """A window of 0 days deletes at once, as the provider has it."""
    days = secret.get("recoveryWindowInDays", 30)
    how = {"RecoveryWindowInDays": days} if days else {"ForceDeleteWithoutRecovery": True}
    run("delete_secret", SecretId=secret["id"], **how)


TABLE = {
    "aws:dynamodb/table:Table": Type(
        service="dynamodb",
        id="{name}",
        create=call("create_table"),
        then=(Step(_expiry, on=("ttl",)), Step(_recovery, on=("pointInTimeRecovery",))),
        update=(
            call(
                "update_table",
                on="billingMode readCapacity writeCapacity provisionedThroughput deletionProtectionEnabled "
                "tableClass",
            ),
        ),
        read=call("describe_table", "Table"),
        delete=call("delete_table"),
        prepare=_table,
        renames={"name": "TableName", "arn": "TableArn", "streamArn": "LatestStreamArn"},
        replace=frozenset({"attributes", "hashKey", "rangeKey", "serverSideEncryption", "streamEnabled"}),
        unread=frozenset({"attributes", "globalSecondaryIndexes", "localSecondaryIndexes"}),
    ),
    "aws:secretsmanager/secret:Secret": Type(
        service="secretsmanager",
        id="{ARN}",
        create=call("create_secret"),
        update=(call("update_secret", on="description kmsKeyId", SecretId="{id}"),),
        read=call("describe_secret", "!DeletedDate && @ || `null`", SecretId="{id}"),
        clear=_drop_secret,
        local=frozenset({"recoveryWindowInDays", "forceOverwriteReplicaSecret"}),
        tag=call("tag_resource", SecretId="{id}"),
        untag=call("untag_resource", SecretId="{id}"),
    ),
    "aws:secretsmanager/secretVersion:SecretVersion": Type(
        service="secretsmanager",
        id="{secretId}|{VersionId}",
        put=call("put_secret_value"),
        read=call("get_secret_value"),
    ),
}
