"""Images and their builds, the web firewall, SageMaker's endpoints and GuardDuty (both in moto)."""

from typing import Any

from local_aws.tables.form import Run, Type, call, held, step
from local_aws.values import Props


def _redeploy(run: Run, endpoint: Props, old: Props) -> None:
    """What UpdateEndpoint comes to: moto has no such operation."""
    run("delete_endpoint", EndpointName=endpoint["name"])
    run("create_endpoint", EndpointName=endpoint["name"], EndpointConfigName=endpoint["endpointConfigName"])


def _acl(inputs: Props) -> Props:
    """The bodies of refusals are a list with keys for Pulumi, and a map for AWS."""
    bodies = {body["key"]: body | {"key": None} for body in inputs.get("customResponseBodies") or ()}
    return inputs | {"customResponseBodies": bodies or None}


def _inference(kind: str, noun: str, **more: Any) -> tuple[str, Type]:
    """A type of SageMaker, with the operations named after its noun."""
    more = {"create": f"create_{noun}", "read": f"describe_{noun}", "delete": f"delete_{noun}"} | more
    return held(f"sagemaker:{kind}", "sagemaker", "{name}", tag="add_tags", untag="delete_tags", **more)


# fmt: off
TABLE = dict((
    held("ecr:Repository", "ecr", "{name}", create="create_repository", made="repository",
         update=(call("put_image_tag_mutability", on="imageTagMutability"),
                 call("put_image_scanning_configuration", on="imageScanningConfiguration")),
         read=call("describe_repositories", "repositories[0]", repositoryNames=["{name}"]),
         delete=call("delete_repository", force="{forceDelete}"), local="forceDelete",
         renames={"repositoryUrl": "repositoryUri"}),
    held("ecr:LifecyclePolicy", "ecr", "{repository}", put="put_lifecycle_policy",
         read="get_lifecycle_policy", delete="delete_lifecycle_policy",
         renames={"policy": "lifecyclePolicyText"}),
    held("codebuild:Project", "codebuild", "{arn}", create="create_project", made="project",
         update=("update_project",), read=call("batch_get_projects", "projects[0]", names=["{name}"]),
         delete="delete_project", tag="",
         renames={"buildTimeout": "timeoutInMinutes", "queuedTimeout": "queuedTimeoutInMinutes"}),
    held("wafv2:WebAcl", "wafv2", "{Id}", create="create_web_acl", made="Summary", prepare=_acl,
         update=(call("update_web_acl", Id="{id}"),), read=call("get_web_acl", "WebACL", Id="{id}"),
         lookup=call("list_web_acls", "WebACLs[?Name=='{name}'] | [0]"),
         facts={"lockToken": call("get_web_acl", "LockToken", Id="{id}")},
         delete=call("delete_web_acl", Id="{id}"), unread="rules defaultAction customResponseBodies"),
    held("wafv2:WebAclAssociation", "wafv2", "{webAclArn},{resourceArn}", put="associate_web_acl",
         read=call("get_web_acl_for_resource", "WebACL"), delete="disassociate_web_acl"),
    held("guardduty:Detector", "guardduty", "{DetectorId}", create="create_detector",
         update=("update_detector",), read="get_detector", delete="delete_detector",
         tag="", local="tags",  # moto takes them at creation only
         outputs={"arn": "arn:aws:guardduty:{region}:{account}:detector/{id}"}),
    _inference("Model", "model", unread="enableNetworkIsolation"),
    _inference("EndpointConfiguration", "endpoint_config",
               renames={"name": "EndpointConfigName", "arn": "EndpointConfigArn", "kmsKeyArn": "KmsKeyId"}),
    _inference("Endpoint", "endpoint", update=(step(_redeploy, on="endpointConfigName"),)),
))
