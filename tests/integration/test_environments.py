"""Every environment, brought up by the plan provider with the real engine: complete, tagged, as reviewed."""

from typing import Any

from environments import loader
from inferctl import baseline


def test_the_plan_is_the_reviewed_one(env: str, export: dict[str, Any]) -> None:
    changes = baseline.difference(baseline.read(env), baseline.render(export))
    assert not changes, f"run `make baseline`, review and commit:\n{chr(10).join(changes.lines())}"


def test_every_resource_belongs_to_a_component(
    export: dict[str, Any], aws_resources: list[dict[str, Any]]
) -> None:
    stack = next(r["urn"] for r in export["deployment"]["resources"] if r["type"] == "pulumi:pulumi:Stack")
    assert aws_resources
    assert [r["urn"] for r in aws_resources if r.get("parent", stack) == stack] == []


def test_every_taggable_resource_says_who_owns_and_pays(
    env: str, aws_resources: list[dict[str, Any]]
) -> None:
    settings = loader.from_file(env)
    wanted = {
        "platform": "inference-platform",
        "environment": env,
        "owner": settings.owner,
        "cost-center": settings.cost_center,
    }
    tagged = [resource for resource in aws_resources if "tagsAll" in resource["outputs"]]
    assert len(tagged) >= 10
    for resource in tagged:
        tags = resource["inputs"].get("tags") or {}
        assert tags | wanted == tags, f"{resource['urn']}: {tags}"
        assert tags.get("component"), resource["urn"]


def test_no_secret_is_in_clear_text(aws_resources: list[dict[str, Any]]) -> None:
    """Keys and client secrets are ciphertext; the parameters that hold them too."""
    secret = {
        "aws:apigateway/apiKey:ApiKey": ("outputs", "value"),
        "aws:ssm/parameter:Parameter": ("inputs", "value"),
    }
    seen = 0
    for resource in aws_resources:
        if place := secret.get(resource["type"]):
            value = resource[place[0]][place[1]]
            assert "ciphertext" in value, resource["urn"]
            seen += 1
    assert seen >= 2


def test_what_names_an_alias_is_made_after_it(aws_resources: list[dict[str, Any]]) -> None:
    """Lambda refuses a qualifier that is not there yet; a name alone tells the engine no order."""
    by_urn = {resource["urn"]: resource for resource in aws_resources}
    aliases = {
        (resource["inputs"]["functionName"], resource["inputs"]["name"]): urn
        for urn, resource in by_urn.items()
        if resource["type"] == "aws:lambda/alias:Alias"
    }

    def earlier(urn: str) -> set[str]:
        return {urn}.union(*map(earlier, by_urn.get(urn, {}).get("dependencies", ())))

    named = 0
    for urn, resource in by_urn.items():
        inputs = resource["inputs"]
        function = inputs.get("functionName") or inputs.get("function")
        alias = aliases.get((function, inputs.get("qualifier", "")))
        if alias:
            named += 1
            assert alias in earlier(urn), urn
    assert named
