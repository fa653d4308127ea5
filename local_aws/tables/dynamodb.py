"""DynamoDB tables."""

from local_aws.tables.form import Run, call, held, step
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


# fmt: off
TABLE = dict((
    held("dynamodb:Table", "dynamodb", "{name}", create="create_table", prepare=_table, delete="delete_table",
         then=(step(_expiry, on="ttl"), step(_recovery, on="pointInTimeRecovery")),
         update=(call("update_table", on="billingMode readCapacity writeCapacity provisionedThroughput "
                                         "deletionProtectionEnabled tableClass"),),
         read=call("describe_table", "Table"), renames={"streamArn": "LatestStreamArn"},
         replace="attributes hashKey rangeKey serverSideEncryption streamEnabled",
         unread="attributes globalSecondaryIndexes localSecondaryIndexes"),
))
