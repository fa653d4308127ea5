"""Cognito user pools."""

from local_aws.tables.form import Run, Step, Type, call
from local_aws.values import Props


def _mfa(run: Run, pool: Props, old: Props) -> None:
    settings = {"MfaConfiguration": pool.get("mfaConfiguration", "OFF")}
    token = pool.get("softwareTokenMfaConfiguration")
    if token is not None:
        settings["SoftwareTokenMfaConfiguration"] = {"Enabled": token["enabled"]}
    run("set_user_pool_mfa_config", UserPoolId=pool["id"], **settings)


TABLE = {
    "aws:cognito/userPool:UserPool": Type(
        service="cognito-idp",
        id="{Id}",
        create=call("create_user_pool", wrap="Policies"),
        made="UserPool",
        then=(Step(_mfa, on=("mfaConfiguration", "softwareTokenMfaConfiguration")),),
        update=(call("update_user_pool", wrap="Policies"),),
        read=call("describe_user_pool", "UserPool"),
        facts={"passwordPolicy": call("describe_user_pool", "UserPool.Policies.PasswordPolicy")},
        delete=call("delete_user_pool"),
        renames={
            "id": "UserPoolId",
            "name": ("PoolName", "Name"),
            "tags": "UserPoolTags",
            "schemas": "Schema",
            # It needs the token settings beside it, and has an operation of its own.
            "mfaConfiguration": (),
        },
        outputs={
            "arn": "arn:aws:cognito-idp:{region}:{account}:userpool/{id}",
            "endpoint": "cognito-idp.{region}.amazonaws.com/{id}",
        },
        replace=frozenset({"name", "usernameAttributes", "aliasAttributes"}),
    ),
    "aws:cognito/resourceServer:ResourceServer": Type(
        service="cognito-idp",
        id="{userPoolId}|{identifier}",
        create=call("create_resource_server"),
        update=(call("update_resource_server"),),
        read=call("describe_resource_server", "ResourceServer"),
        facts={
            "scopeIdentifiers": call(
                "describe_resource_server",
                "ResourceServer.Scopes[].join('/', ['{identifier}', ScopeName])",
            )
        },
        delete=call("delete_resource_server"),
    ),
    "aws:cognito/userPoolClient:UserPoolClient": Type(
        service="cognito-idp",
        id="{ClientId}",
        create=call("create_user_pool_client"),
        update=(call("update_user_pool_client"),),
        read=call("describe_user_pool_client", "UserPoolClient"),
        made="UserPoolClient",
        delete=call("delete_user_pool_client"),
        renames={"id": "ClientId", "name": "ClientName"},
    ),
    "aws:cognito/userPoolDomain:UserPoolDomain": Type(
        service="cognito-idp",
        id="{domain}",
        create=call("create_user_pool_domain"),
        update=(call("update_user_pool_domain"),),
        read=call("describe_user_pool_domain", "DomainDescription.UserPoolId && DomainDescription"),
        delete=call("delete_user_pool_domain"),
        replace=frozenset({"userPoolId"}),
    ),
    "aws:cognito/userGroup:UserGroup": Type(
        service="cognito-idp",
        id="{userPoolId}/{name}",
        create=call("create_group"),  # the embedded AWS has no UpdateGroup: a changed group is made anew
        read=call("get_group", "Group"),
        delete=call("delete_group"),
        renames={"name": "GroupName"},
    ),
}
