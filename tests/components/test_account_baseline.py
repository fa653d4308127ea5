"""What exists once per account and region."""

from components.account_baseline import AccountBaseline, AccountBaselineArgs
from tests.components.iam_documents import documents
from tests.components.platform_args import ACCOUNT, NAMES, TAGS
from tests.components.recorded import deployed


def test_api_gateway_may_write_logs_before_the_account_names_its_role() -> None:
    recorded = deployed(lambda: AccountBaseline("account", AccountBaselineArgs(names=NAMES, tags=TAGS)))
    attachment = recorded.one("aws:iam/rolePolicyAttachment:RolePolicyAttachment")
    assert attachment.inputs["policyArn"].endswith(
        ":policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"
    )
    account = recorded.one("aws:apigateway/account:Account")
    assert account.inputs["cloudwatchRoleArn"].endswith(":account-apigateway-logs-role")
    assert attachment.urn in account.depends_on
    [trust] = documents(recorded)
    assert [(s["Principal"], s["Condition"]) for s in trust.statements] == [
        ({"Service": "apigateway.amazonaws.com"}, {"StringEquals": {"aws:SourceAccount": ACCOUNT}})
    ]


def test_new_volumes_are_encrypted() -> None:
    recorded = deployed(lambda: AccountBaseline("account", AccountBaselineArgs(names=NAMES, tags=TAGS)))
    assert recorded.one("aws:ebs/encryptionByDefault:EncryptionByDefault").inputs["enabled"] is True
