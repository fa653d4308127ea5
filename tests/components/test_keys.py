"""KMS keys: three that rotate, the account's policies decide, and only log groups use the logs key."""

import pytest

from components.keys import Keys, KeysArgs
from tests.components.iam_documents import statements_of
from tests.components.platform_args import ACCOUNT, NAMES, REGION, TAGS
from tests.components.recorded import Recorded, deployed

ROLES = ["data", "logs", "secrets"]


@pytest.fixture(scope="module")
def keys() -> Recorded:
    return deployed(lambda: Keys("keys", KeysArgs(names=NAMES, tags=TAGS, deletion_window_days=7)))


def test_each_role_has_a_key_that_rotates_and_an_alias(keys: Recorded) -> None:
    assert {key.name for key in keys.all("aws:kms/key:Key")} == {f"keys-{role}" for role in ROLES}
    for key in keys.all("aws:kms/key:Key"):
        assert key.inputs["enableKeyRotation"] is True
        assert key.inputs["deletionWindowInDays"] == 7
    aliases = {alias.inputs["name"] for alias in keys.all("aws:kms/alias:Alias")}
    assert aliases == {f"alias/inference-platform-dev-{role}" for role in ROLES}


@pytest.mark.parametrize("role", ROLES)
def test_the_account_administers_each_key(keys: Recorded, role: str) -> None:
    statement = statements_of(keys, f"keys-{role}")["AccountPolicies"]
    assert statement["Principal"] == {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}


def test_nobody_but_the_account_is_in_the_policy_of_secrets(keys: Recorded) -> None:
    assert set(statements_of(keys, "keys-secrets")) == {"AccountPolicies"}


def test_messages_of_this_account_only_reach_queues_that_the_data_key_encrypts(keys: Recorded) -> None:
    statements = statements_of(keys, "keys-data")
    assert set(statements) == {"AccountPolicies", "MessagesToQueues"}
    events = statements["MessagesToQueues"]
    assert events["Principal"] == {"Service": ["events.amazonaws.com", "sns.amazonaws.com"]}
    assert events["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]
    assert events["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}


def test_cloudwatch_uses_the_logs_key_for_log_groups_of_this_account_only(keys: Recorded) -> None:
    statements = statements_of(keys, "keys-logs")
    assert set(statements) == {"AccountPolicies", "CloudWatchLogs"}
    logs = statements["CloudWatchLogs"]
    assert logs["Principal"] == {"Service": f"logs.{REGION}.amazonaws.com"}
    assert logs["Condition"] == {
        "ArnLike": {"kms:EncryptionContext:aws:logs:arn": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:*"}
    }
    assert not [action for action in logs["Action"] if action.startswith(("kms:Create", "kms:Put"))]
    assert "kms:*" not in logs["Action"]
