"""Images and their builds, the web firewall, SageMaker's endpoints and GuardDuty (both in moto)."""

from local_aws.tables.form import Run, Step, Type, call
from local_aws.values import Props


def _redeploy(run: Run, endpoint: Props, old: Props) -> None:
    """What UpdateEndpoint comes to: moto has no such operation."""
    run("delete_endpoint", EndpointName=endpoint["name"])
    run("create_endpoint", EndpointName=endpoint["name"], EndpointConfigName=endpoint["endpointConfigName"])


def _acl(inputs: Props) -> Props:
    """The bodies of refusals are a list with keys for Pulumi, and a map for AWS."""
    bodies = {body["key"]: body | {"key": None} for body in inputs.get("customResponseBodies") or ()}
    return inputs | {"customResponseBodies": bodies or None}


TABLE = {
    "aws:ecr/repository:Repository": Type(
        service="ecr",
        id="{name}",
        create=call("create_repository"),
        update=(
            call("put_image_tag_mutability", on="imageTagMutability"),
            call("put_image_scanning_configuration", on="imageScanningConfiguration"),
        ),
        read=call("describe_repositories", "repositories[0]", repositoryNames=["{name}"]),
        delete=call("delete_repository", force="{forceDelete}"),
        made="repository",
        renames={
            "name": "repositoryName",
            "arn": "repositoryArn",
            "repositoryUrl": "repositoryUri",
            "encryptionConfigurations": "encryptionConfiguration",
            "encryptionConfigurations.kmsKey": "kmsKey",
        },
        local=frozenset({"forceDelete"}),
    ),
    "aws:ecr/lifecyclePolicy:LifecyclePolicy": Type(
        service="ecr",
        id="{repository}",
        put=call("put_lifecycle_policy"),
        read=call("get_lifecycle_policy"),
        delete=call("delete_lifecycle_policy"),
        renames={"repository": "repositoryName", "policy": "lifecyclePolicyText"},
    ),
    "aws:codebuild/project:Project": Type(
        service="codebuild",
        id="{arn}",
        create=call("create_project"),
        update=(call("update_project"),),
        read=call("batch_get_projects", "projects[0]", names=["{name}"]),
        delete=call("delete_project"),
        made="project",
        tag=None,
        renames={"buildTimeout": "timeoutInMinutes", "queuedTimeout": "queuedTimeoutInMinutes"},
    ),
    "aws:wafv2/webAcl:WebAcl": Type(
        service="wafv2",
        id="{Id}",
        create=call("create_web_acl"),
        update=(call("update_web_acl", Id="{id}"),),
        read=call("get_web_acl", "WebACL", Id="{id}"),
        facts={"lockToken": call("get_web_acl", "LockToken", Id="{id}")},
        delete=call("delete_web_acl", Id="{id}"),
        made="Summary",
        prepare=_acl,
        unread=frozenset({"rules", "defaultAction", "customResponseBodies"}),
    ),
    "aws:wafv2/webAclAssociation:WebAclAssociation": Type(
        service="wafv2",
        id="{webAclArn},{resourceArn}",
        put=call("associate_web_acl"),
        read=call("get_web_acl_for_resource", "WebACL"),
        delete=call("disassociate_web_acl"),
    ),
    "aws:guardduty/detector:Detector": Type(
        service="guardduty",
        id="{DetectorId}",
        create=call("create_detector"),
        update=(call("update_detector", DetectorId="{id}"),),
        read=call("get_detector", DetectorId="{id}"),
        delete=call("delete_detector", DetectorId="{id}"),
        outputs={"arn": "arn:aws:guardduty:{region}:{account}:detector/{id}"},
    ),
    "aws:sagemaker/model:Model": Type(
        service="sagemaker",
        id="{name}",
        create=call("create_model"),
        read=call("describe_model"),
        unread=frozenset({"enableNetworkIsolation"}),
        delete=call("delete_model"),
        renames={"name": "ModelName", "arn": "ModelArn"},
        tag=call("add_tags", ResourceArn="{arn}"),
        untag=call("delete_tags", ResourceArn="{arn}"),
    ),
    "aws:sagemaker/endpointConfiguration:EndpointConfiguration": Type(
        service="sagemaker",
        id="{name}",
        create=call("create_endpoint_config"),
        read=call("describe_endpoint_config"),
        delete=call("delete_endpoint_config"),
        renames={"name": "EndpointConfigName", "arn": "EndpointConfigArn", "kmsKeyArn": "KmsKeyId"},
        tag=call("add_tags", ResourceArn="{arn}"),
        untag=call("delete_tags", ResourceArn="{arn}"),
    ),
    "aws:sagemaker/endpoint:Endpoint": Type(
        service="sagemaker",
        id="{name}",
        create=call("create_endpoint"),
        update=(Step(_redeploy, on=("endpointConfigName",)),),
        read=call("describe_endpoint"),
        delete=call("delete_endpoint"),
        renames={"name": "EndpointName", "arn": "EndpointArn"},
        tag=call("add_tags", ResourceArn="{arn}"),
        untag=call("delete_tags", ResourceArn="{arn}"),
    ),
}
