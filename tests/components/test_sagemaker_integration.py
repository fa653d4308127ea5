"""The gateway's way to SageMaker: one route of the container stands for all routes of the protocol."""

import json
import re

import pytest

from components.api_document import Authorizer, ModelRoute, api_document
from components.api_routes import MODEL_OPERATIONS
from components.sagemaker_integration import integrations, refused
from tests.components.iam_documents import statements_of
from tests.components.platform_args import ACCOUNT, REGION
from tests.components.sagemaker_programs import recorded

ROLE = f"arn:aws:iam::{ACCOUNT}:role/gateway"
FOUND = integrations(model="fraud", endpoint_name="platform-fraud-45cb", region=REGION, credentials_arn=ROLE)
ATTRIBUTES = "integration.request.header.X-Amzn-SageMaker-Custom-Attributes"


def test_every_route_is_an_invocation_that_says_what_is_meant_or_whose_request_it_is() -> None:
    assert {name: found["requestParameters"][ATTRIBUTES] for name, found in FOUND.items()} == {
        "infer": "context.authorizer.tenant",
        "metadata": "'GET /v2/models/fraud'",
        "ready": "'GET /v2/models/fraud/ready'",
    }
    uri = f"arn:aws:apigateway:{REGION}:runtime.sagemaker:path/endpoints/platform-fraud-45cb/invocations"
    for found in FOUND.values():
        assert (found["type"], found["httpMethod"], found["uri"]) == ("aws", "POST", uri)
        assert found["credentials"] == ROLE


def test_an_inference_body_goes_through_unchanged() -> None:
    infer = FOUND["infer"]
    assert "requestTemplates" not in infer
    assert infer["passthroughBehavior"] == "when_no_templates"
    assert infer["responses"]["default"] == {"statusCode": "200"}
    assert infer["requestParameters"]["integration.request.header.Content-Type"] == "'application/json'"


@pytest.mark.parametrize("operation", ["metadata", "ready"])
def test_a_question_without_a_body_gets_one(operation: str) -> None:
    assert set(FOUND[operation]["requestTemplates"].values()) == {"{}"}
    assert FOUND[operation]["passthroughBehavior"] == "never"


@pytest.mark.parametrize("status", [400, 403, 413, 424, 429, 500, 503, 530])
def test_no_error_passes_for_a_success(status: int) -> None:
    for found in FOUND.values():
        chosen = [key for key in found["responses"] if key != "default" and re.fullmatch(key, str(status))]
        assert len(chosen) == 1
        assert found["responses"][chosen[0]]["statusCode"] != "200"


def test_a_success_passes_for_no_error() -> None:
    for found in FOUND.values():
        assert not [key for key in found["responses"] if key != "default" and re.fullmatch(key, "200")]


def test_the_template_of_errors_overrides_the_status_once_on_every_way_through() -> None:
    """An override may be made once only; each branch of the template makes one at most of each kind."""
    template = FOUND["infer"]["responses"][r"[45]\d{2}"]["responseTemplates"]["application/json"]
    branches = re.split(r"^#(?:else|elseif.*)$", template, flags=re.MULTILINE)
    assert len(branches) == 4
    for branch in branches:
        assert branch.count("#set($context.responseOverride.status") <= 1
        assert branch.count("#set($context.responseOverride.header.Retry-After") <= 1
    answers = [line for line in template.splitlines() if line.startswith("{")]
    assert len(answers) == 3
    for answer in answers:
        assert set(json.loads(answer)) == {"error", "request_id"}


def test_a_refusal_says_why_as_the_protocol_does() -> None:
    found = refused("model documents takes jobs only: POST /v2/models/documents/jobs")
    assert found["type"] == "mock"
    response = found["responses"]["default"]
    assert response["statusCode"] == "404"
    assert set(found["requestTemplates"].values()) == {'{"statusCode": 404}'}
    assert "takes jobs only" in json.loads(response["responseTemplates"]["application/json"])["error"]


def test_the_gateway_may_invoke_one_endpoint_and_nothing_else() -> None:
    found = recorded("fraud")
    [name] = [r.name for r in found.resources if r.name.endswith("-invoke-role-policy")]
    [endpoint] = [r for r in found.resources if r.type == "aws:sagemaker/endpoint:Endpoint"]
    assert statements_of(found, name) == {
        "Invoke": {
            "Sid": "Invoke",
            "Effect": "Allow",
            "Action": ["sagemaker:InvokeEndpoint"],
            "Resource": [f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint/{endpoint.inputs['name']}"],
        }
    }


def test_a_model_for_jobs_refuses_synchronous_requests_and_needs_no_role_of_the_gateway() -> None:
    found = recorded("documents")
    assert {integration["type"] for integration in found.exports["integrations"].values()} == {"mock"}
    assert found.exports["integrations"].keys() == MODEL_OPERATIONS.keys()
    assert not [r for r in found.resources if r.name.endswith("-invoke-role")]


def test_a_pipeline_answers_inference_only() -> None:
    types = {name: found["type"] for name, found in recorded("ranking").exports["integrations"].items()}
    assert types == {"infer": "aws", "metadata": "mock", "ready": "mock"}


@pytest.mark.parametrize("operation", MODEL_OPERATIONS)
def test_the_api_document_takes_every_integration(operation: str) -> None:
    authorizer = Authorizer(invoke_arn="arn", credentials_arn=ROLE, cache_s=300, api_key_source="authorizer")
    document = api_document("p", [ModelRoute(model="fraud", integrations=FOUND)], authorizer)
    method, end = MODEL_OPERATIONS[operation]
    found = json.loads(json.dumps(document))["paths"][f"/v2/models/fraud{end}"][method.lower()]
    assert found["x-amazon-apigateway-integration"] == FOUND[operation]
