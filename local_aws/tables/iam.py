"""IAM: roles and policies."""

from local_aws.tables.form import Run, Step, Type, call
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
    run(
        "create_policy_version",
        PolicyArn=policy["id"],
        PolicyDocument=policy["policy"],
        SetAsDefault=True,
    )


TABLE = {
    "aws:iam/role:Role": Type(
        service="iam",
        id="{name}",
        create=call("create_role"),
        update=(call("update_role"), call("update_assume_role_policy")),
        read=call("get_role", "Role"),
        delete=call("delete_role"),
        renames={
            "name": "RoleName",
            "assumeRolePolicy": ("AssumeRolePolicyDocument", "PolicyDocument"),
            "uniqueId": "RoleId",
        },
        clear=_detach,
        tag=call("tag_role"),
        untag=call("untag_role"),
        local=frozenset({"forceDetachPolicies"}),
    ),
    "aws:iam/rolePolicy:RolePolicy": Type(
        service="iam",
        id="{role}:{name}",
        put=call("put_role_policy"),
        read=call("get_role_policy"),
        delete=call("delete_role_policy"),
        renames={"role": "RoleName", "name": "PolicyName", "policy": "PolicyDocument"},
    ),
    "aws:iam/policy:Policy": Type(
        service="iam",
        id="{Arn}",
        create=call("create_policy"),
        made="Policy",
        update=(Step(_new_version, on=("policy",)),),
        read=call("get_policy", "Policy", PolicyArn="{id}"),
        facts={
            "policy": call(
                "list_policy_versions", "Versions[?IsDefaultVersion].Document | [0]", PolicyArn="{id}"
            ),
        },
        delete=call("delete_policy", PolicyArn="{id}"),
        renames={"name": "PolicyName", "policy": "PolicyDocument"},
        clear=_drop_versions,
        tag=call("tag_policy"),
        untag=call("untag_policy"),
    ),
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": Type(
        service="iam",
        id="{role}/{policyArn}",
        put=call("attach_role_policy"),
        read=call("list_attached_role_policies", "AttachedPolicies[?PolicyArn=='{policyArn}'] | [0]"),
        delete=call("detach_role_policy"),
        renames={"role": "RoleName"},
    ),
}
