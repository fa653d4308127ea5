"""IAM: roles and policies."""

from local_aws.tables.form import Run, call, held, step
from local_aws.values import Props


def _detach(run: Run, role: Props) -> None:
    """What the role still carries when the program asked for `forceDetachPolicies`."""
    if not role.get("forceDetachPolicies"):
        return
    for attached in run("list_attached_role_policies", RoleName=role["name"])["AttachedPolicies"]:
        run("detach_role_policy", RoleName=role["name"], PolicyArn=attached["PolicyArn"])
    for name in run("list_role_policies", RoleName=role["name"])["PolicyNames"]:
        run("delete_role_policy", RoleName=role["name"], PolicyName=name)


def _drop_versions(run: Run, policy: Props) -> None:
    for version in run("list_policy_versions", PolicyArn=policy["id"])["Versions"]:
        if not version["IsDefaultVersion"]:
            run("delete_policy_version", PolicyArn=policy["id"], VersionId=version["VersionId"])


def _new_version(run: Run, policy: Props, old: Props) -> None:
    """A policy keeps at most five versions: the ones before go first."""
    _drop_versions(run, policy)
    document = {"PolicyDocument": policy["policy"], "SetAsDefault": True}
    run("create_policy_version", PolicyArn=policy["id"], **document)


# fmt: off
TABLE = dict((
    held("iam:Role", "iam", "{name}", create="create_role", read=call("get_role", "Role"),
         delete="delete_role", clear=_detach, tag="tag_role", untag="untag_role",
         update=("update_role", "update_assume_role_policy"),
         renames={"assumeRolePolicy": ("AssumeRolePolicyDocument", "PolicyDocument"), "uniqueId": "RoleId"},
         local="forceDetachPolicies"),
    held("iam:RolePolicy", "iam", "{role}:{name}", put="put_role_policy", read="get_role_policy",
         delete="delete_role_policy", renames={"name": "PolicyName"}),
    held("iam:Policy", "iam", "{Arn}", create="create_policy", made="Policy", delete="delete_policy",
         update=(step(_new_version, on="policy"),), read=call("get_policy", "Policy", PolicyArn="{id}"),
         facts={"policy": call("list_policy_versions", "Versions[?IsDefaultVersion].Document | [0]",
                               PolicyArn="{id}")},
         clear=_drop_versions, tag="tag_policy", untag="untag_policy"),
    held("iam:RolePolicyAttachment", "iam", "{role}/{policyArn}", put="attach_role_policy",
         read=call("list_attached_role_policies", "AttachedPolicies[?PolicyArn=='{policyArn}'] | [0]"),
         delete="detach_role_policy"),
))
