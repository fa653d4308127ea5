"""Glue's catalogue and Athena's workgroups."""

from local_aws.tables.form import Run, call, held, step
from local_aws.values import Props


def _configure(run: Run, group: Props, old: Props) -> None:
    """A changed configuration; Athena calls its parts otherwise where it updates them."""
    wanted = group.get("configuration") or {}
    result = wanted.get("resultConfiguration") or {}
    encryption = result.get("encryptionConfiguration")
    names = {"encryptionOption": "EncryptionOption", "kmsKeyArn": "KmsKey"}
    updates: Props = {
        "EnforceWorkGroupConfiguration": wanted.get("enforceWorkgroupConfiguration", True),
        "PublishCloudWatchMetricsEnabled": wanted.get("publishCloudwatchMetricsEnabled", True),
        "ResultConfigurationUpdates": {
            "OutputLocation": result.get("outputLocation", ""),
            **(
                {"EncryptionConfiguration": {names[name]: value for name, value in encryption.items()}}
                if encryption
                else {"RemoveEncryptionConfiguration": True}
            ),
        },
    }
    if limit := wanted.get("bytesScannedCutoffPerQuery"):
        updates["BytesScannedCutoffPerQuery"] = limit
    else:
        updates["RemoveBytesScannedCutoffPerQuery"] = True
    run("update_work_group", WorkGroup=group["name"], ConfigurationUpdates=updates)


# fmt: off
TABLE = dict((
    held("glue:CatalogDatabase", "glue", "{account}:{name}",
         create=call("create_database", wrap="DatabaseInput"), read=call("get_database", "Database"),
         update=(call("update_database", on="name description locationUri parameters",
                      wrap="DatabaseInput"),),
         delete="delete_database", renames={"name": "Name"},
         outputs={"arn": "arn:aws:glue:{region}:{account}:database/{name}"}),
    held("glue:CatalogTable", "glue", "{account}:{databaseName}:{name}",
         create=call("create_table", wrap="TableInput"), read=call("get_table", "Table"),
         update=(call("update_table", wrap="TableInput"),), delete="delete_table", renames={"name": "Name"},
         outputs={"arn": "arn:aws:glue:{region}:{account}:table/{databaseName}/{name}"}),
    held("athena:Workgroup", "athena", "{name}", create="create_work_group",
         update=(call("update_work_group", on="description state", WorkGroup="{name}"),
                 step(_configure, on="configuration")),
         read=call("get_work_group", "WorkGroup", WorkGroup="{name}"),
         delete=call("delete_work_group", WorkGroup="{name}"),
         renames={"name": "Name",
                  "configuration.resultConfiguration.encryptionConfiguration.kmsKeyArn": "KmsKey"},
         local="forceDestroy", outputs={"arn": "arn:aws:athena:{region}:{account}:workgroup/{name}"}),
))
