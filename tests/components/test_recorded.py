"""The recorder itself: it must not let a mistake in a component pass for a deployment."""

import pulumi
import pulumi_aws as aws
import pytest

from tests.components.recorded import Recorded, deployed


def test_a_component_that_asks_aws_fails() -> None:
    with pytest.raises(Exception, match="getCallerIdentity is called"):
        deployed(lambda: aws.get_caller_identity())


def test_what_an_apply_raises_is_raised() -> None:
    def build() -> None:
        pulumi.Output.from_input(1).apply(lambda _: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        deployed(build)


def test_what_a_registration_cannot_be_made_of_is_raised() -> None:
    def build() -> None:
        topic = aws.sns.Topic("topic")
        aws.sns.Topic("other", name=topic.arn.apply(lambda arn: str(1 / 0)))

    with pytest.raises(ZeroDivisionError):
        deployed(build)


def test_deployments_know_nothing_of_each_other() -> None:
    def build() -> None:
        aws.sns.Topic("topic")

    first, second = deployed(build, stack="one"), deployed(build, stack="two")
    assert [len(recorded.resources) for recorded in (first, second)] == [1, 1]
    assert second.one("aws:sns/topic:Topic").urn.startswith("urn:pulumi:two::")
    assert second.one("aws:sns/topic:Topic").parent.startswith("urn:pulumi:two::")


def test_options_and_secrets_are_recorded() -> None:
    def build() -> None:
        topic = aws.sns.Topic("topic")
        aws.ssm.Parameter(
            "parameter",
            type="SecureString",
            value=pulumi.Output.secret("hidden"),
            opts=pulumi.ResourceOptions(protect=True, ignore_changes=["tags"], depends_on=[topic]),
        )

    recorded: Recorded = deployed(build)
    parameter = recorded.one("aws:ssm/parameter:Parameter")
    assert parameter.inputs["value"] == "hidden"
    assert parameter.secrets == {"value"}
    assert parameter.protect
    assert parameter.ignore_changes == ("tags",)
    assert parameter.depends_on == (recorded.one("aws:sns/topic:Topic").urn,)
