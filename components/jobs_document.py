"""The jobs routes of the API's document."""

from collections.abc import Mapping, Sequence
from typing import Any

Json = dict[str, Any]

JOB_SCHEMAS: Json = {
    "JobRequest": {
        "type": "object",
        "properties": {
            "client_token": {"type": "string", "minLength": 1, "maxLength": 128},
            "rows": {"type": "array", "minItems": 1, "maxItems": 1000, "items": {"type": "object"}},
            "upload": {"type": "string", "minLength": 1, "maxLength": 800},
        },
    },
    "Job": {
        "type": "object",
        "required": ["id", "model", "state", "rows"],
        "properties": {
            "id": {"type": "string"},
            "model": {"type": "string"},
            "state": {
                "type": "string",
                "enum": ["awaiting_upload", "splitting", "running", "succeeded", "failed", "cancelled"],
            },
            "rows": {"type": "object"},
            "parts": {"type": "object"},
            "usage": {"type": "object"},
            "input": {"type": "string"},
            "output": {"type": "string"},
            "reason": {"type": "string"},
            "upload": {"type": "object"},
            "download": {"type": "object"},
        },
    },
}


def jobs_paths(
    models: Sequence[str],
    integration: Mapping[str, Any],
    security: Sequence[Mapping[str, Any]],
    errors: Mapping[str, Any],
) -> Json:
    """Submitting, listing, showing and cancelling jobs; one function answers for all models."""

    def operation(
        operation_id: str,
        summary: str,
        status: int,
        *parameters: str,
        answer: Json | None = None,
        **more: Any,
    ) -> Json:
        """`answer`: what `status` comes with, a job where it is left out."""
        answer = {"description": summary, "content": _content("Job")} if answer is None else answer
        return {
            "operationId": operation_id,
            "summary": summary,
            "security": list(security),
            "parameters": [
                {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
                for name in parameters
            ],
            "responses": {str(status): answer, **errors},
            "x-amazon-apigateway-integration": dict(integration),
            **more,
        }

    body = {"requestBody": {"required": True, "content": _content("JobRequest")}}
    newest = "The caller's jobs, the newest first"
    listed = operation("listJobs", newest, 200, answer={"description": newest})
    summary = "Leave a job: some rows, or a file to upload"
    submit = {
        # The gateway looks no further than the first path that begins alike: each model has its own.
        f"/v2/models/{model}/jobs": {
            "post": operation(f"submitJob_{model.replace('-', '_')}", summary, 202, **body)
        }
        for model in models
    }
    refused = errors["default"]
    unknown = operation("submitUnknownJob", "A job of an unknown model", 404, "model", answer=refused, **body)
    return {
        **submit,
        "/v2/models/{model}/jobs": {"post": unknown},
        "/v2/jobs": {"get": listed},
        "/v2/jobs/{job}": {"get": operation("job", "State and result of a job", 200, "job")},
        "/v2/jobs/{job}/cancel": {"post": operation("cancelJob", "Stop working on a job", 200, "job")},
    }


def _content(schema: str) -> Json:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
