"""Who on GitHub takes which role, with a provider of the stack's own or the account's."""

from fnmatch import fnmatchcase

import pytest

from components.delivery_access import DeliveryAccess, DeliveryAccessArgs
from tests.components.iam_documents import documents
from tests.components.platform_args import ACCOUNT, NAMES, TAGS
from tests.components.recorded import Recorded, deployed

PROVIDER = "aws:iam/openIdConnectProvider:OpenIdConnectProvider"
ISSUER = "token.actions.githubusercontent.com"
REPOSITORY = "repo:example/inference-platform"
MAIN = f"{REPOSITORY}:environment:prod:ref:refs/heads/main"
PULL_REQUEST = f"{REPOSITORY}:pull_request:ref:refs/pull/7/merge"


def access(oidc_provider: str) -> Recorded:
    args = DeliveryAccessArgs(
        names=NAMES,
        tags=TAGS,
        owner="example",
        repository="inference-platform",
        branch="main",
        github_environment="prod",
        oidc_provider=oidc_provider,  # type: ignore[arg-type]
    )
    return deployed(lambda: DeliveryAccess("delivery", args))


@pytest.fixture(scope="module", params=["create", "existing"])
def made(request: pytest.FixtureRequest) -> Recorded:
    return access(request.param)


def test_an_account_that_has_githubs_provider_gets_no_second_one() -> None:
    """An account takes one provider for a URL: making a second one fails,
    https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateOpenIDConnectProvider.html
    """
    assert access("existing").all(PROVIDER) == []
    created = access("create")
    provider = created.one(PROVIDER)
    assert provider.inputs["url"] == f"https://{ISSUER}"
    assert provider.inputs["clientIdLists"] == ["sts.amazonaws.com"]
    roles = created.all("aws:iam/role:Role")
    assert len(roles) == 2
    assert all(provider.urn in role.depends_on for role in roles)


def test_both_ways_roles_trust_the_accounts_provider_and_its_audience(made: Recorded) -> None:
    trusts = [d for d in documents(made) if d.kind == "trust"]
    assert len(trusts) == 2
    for trust in trusts:
        [statement] = trust.statements
        assert statement["Principal"] == {"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/{ISSUER}"}
        assert statement["Action"] == "sts:AssumeRoleWithWebIdentity"
        assert statement["Condition"]["StringEquals"] == {f"{ISSUER}:aud": "sts.amazonaws.com"}


@pytest.mark.parametrize(
    ("subject", "takes"),
    [
        (MAIN, {"plan", "deploy"}),
        (PULL_REQUEST, {"plan"}),
        (MAIN.replace("main", "feature"), set()),
        (MAIN.replace("prod", "dev"), set()),
        (MAIN.replace("example", "stranger"), set()),
        (MAIN.replace("inference-platform", "inference-platform-fork"), set()),
        (f"{REPOSITORY}:ref:refs/heads/main", set()),
    ],
)
def test_a_token_takes_the_roles_of_its_branch_and_environment(
    made: Recorded, subject: str, takes: set[str]
) -> None:
    found = {
        document.holder.name.rpartition("-")[2]
        for document in documents(made)
        if document.kind == "trust"
        for statement in document.statements
        if any(fnmatchcase(subject, each) for each in statement["Condition"]["StringLike"][f"{ISSUER}:sub"])
    }
    assert found == takes
