"""Cognito user pools."""

from local_aws.tables.form import Run, call, held, step
from local_aws.values import Props


def _mfa(run: Run, pool: Props, old: Props) -> None:
    settings = {"MfaConfiguration": pool.get("mfaConfiguration", "OFF")}
    token = pool.get("softwareTokenMfaConfiguration")
    if token is not None:
        settings["SoftwareTokenMfaConfiguration"] = {"Enabled": token["enabled"]}
    run("set_user_pool_mfa_config", UserPoolId=pool["id"], **settings)


_POOL = call("describe_user_pool", "UserPool")
_SCOPES = "ResourceServer.Scopes[].join('/', ['{identifier}', ScopeName])"

# fmt: off
TABLE = dict((
    held("cognito:UserPool", "cognito-idp", "{Id}", create=call("create_user_pool", wrap="Policies"),
         made="UserPool", then=(step(_mfa, on="mfaConfiguration softwareTokenMfaConfiguration"),),
         update=(call("update_user_pool", wrap="Policies"),), read=_POOL, delete="delete_user_pool",
         facts={"passwordPolicy": call("describe_user_pool", "UserPool.Policies.PasswordPolicy")},
         # MFA needs the token settings beside it, and has an operation of its own.
         renames={"name": ("PoolName", "Name"), "tags": "UserPoolTags", "schemas": "Schema",
                  "mfaConfiguration": ()},
         outputs={"arn": "arn:aws:cognito-idp:{region}:{account}:userpool/{id}",
                  "endpoint": "cognito-idp.{region}.amazonaws.com/{id}"},
         replace="name usernameAttributes aliasAttributes"),
    held("cognito:ResourceServer", "cognito-idp", "{userPoolId}|{identifier}", renames={"name": "Name"},
         create="create_resource_server", update=("update_resource_server",), delete="delete_resource_server",
         read=call("describe_resource_server", "ResourceServer"),
         facts={"scopeIdentifiers": call("describe_resource_server", _SCOPES)}),
    held("cognito:UserPoolClient", "cognito-idp", "{ClientId}", create="create_user_pool_client",
         made="UserPoolClient", update=("update_user_pool_client",), delete="delete_user_pool_client",
         read=call("describe_user_pool_client", "UserPoolClient"),
         renames={"id": "ClientId", "name": "ClientName"}),
    held("cognito:UserPoolDomain", "cognito-idp", "{domain}", create="create_user_pool_domain",
         update=("update_user_pool_domain",), delete="delete_user_pool_domain", replace="userPoolId",
         read=call("describe_user_pool_domain", "DomainDescription.UserPoolId && DomainDescription")),
    # The embedded AWS has no UpdateGroup: a changed group is made anew.
    held("cognito:UserGroup", "cognito-idp", "{userPoolId}/{name}", create="create_group",
         read=call("get_group", "Group"), delete="delete_group", renames={"name": "GroupName"}),
))
