"""What starts deliveries in the whole platform, and what its events come to."""

import json

from serving import delivery_events
from tests.components.recorded import Recorded


def test_a_models_group_in_the_registry_is_one_whose_approvals_are_delivered(whole_program: Recorded) -> None:
    groups = whole_program.all("aws:sagemaker/modelPackageGroup:ModelPackageGroup")
    rules = {each.name: each.inputs for each in whole_program.all("aws:cloudwatch/eventRule:EventRule")}
    pattern = json.loads(rules["model-delivery-approved"]["eventPattern"])["detail"]["ModelPackageGroupName"]
    workers = {
        each.name.removeprefix("model-delivery-").removesuffix("-delivery"): json.loads(each.inputs["value"])
        for each in whole_program.all("aws:ssm/parameter:Parameter")
        if each.name.startswith("model-delivery-") and each.name.endswith("-delivery")
    }
    # What is not moved is refused, and the reason says what to do instead.
    assert all("environments/models.yaml" in workers[m]["unmoved"] for m in workers if m.startswith("llama"))
    moved = {model for model, known in workers.items() if known["worker"]}
    assert moved
    names = {group.name: group.inputs["modelPackageGroupName"] for group in groups}
    assert names.keys() == {f"model-delivery-{model}-packages" for model in moved}
    for model in moved:
        name = names[f"model-delivery-{model}-packages"]
        assert name.startswith(pattern[0]["prefix"])
        detail = {
            "ModelPackageGroupName": name,
            "ModelPackageVersion": 3,
            "ModelPackageArn": f"arn:aws:sagemaker:us-east-1:000000000000:model-package/{name}/3",
            "InferenceSpecification": {
                "Containers": [{"ModelDataUrl": f"s3://bucket/models/{model}/v2/model.tar.gz"}]
            },
        }
        request = delivery_events.parse({"source": "aws.sagemaker", "detail": detail}, "execution")
        assert (request["model"], request["version"]) == (model, "v2")
