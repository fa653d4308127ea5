"""Arguments that mean the same wherever they stand, so that no component has to say it again."""

from collections.abc import Iterator, Mapping

from pydantic import BaseModel

from environments import catalogue, schema

TERMS: Mapping[str, str] = {
    "cluster_name": "Name of the EKS cluster.",
    "data_key_arn": "KMS key of models, datasets, results and function settings.",
    "description": "What it is for, as the console shows it.",
    "kms_key_arn": "KMS key of the default encryption.",
    "labels": "Kubernetes labels of its objects.",
    "log_retention_days": "Days that logs are kept.",
    "logs_key_arn": "KMS key of the log groups.",
    "model": "Name of the model in the catalogue.",
    "models_bucket": "Bucket that holds the models.",
    "namespace": "Kubernetes namespace of its objects.",
    "queue_url": "SQS queue of the model's jobs.",
    "secrets_key_arn": "KMS key of the tenants' credentials.",
    "service_account": "Kubernetes service account that gets the role.",
    "statements": "IAM statements of its role.",
    "subnet_ids": "Subnets that it stands in.",
    "tags": "Tags of its resources.",
    "vpc_id": "VPC that it stands in.",
    "vpc_cidr": "IPv4 range of the VPC.",
}


def sentences() -> Mapping[str, str]:
    """Name of an argument -> what it means: the terms, and every setting whose name is unique."""
    found: dict[str, set[str]] = {}
    for name, text in _settings():
        found.setdefault(name, set()).add(text)
    return {**{name: texts.pop() for name, texts in found.items() if len(texts) == 1}, **TERMS}


def _settings() -> Iterator[tuple[str, str]]:
    for module in (schema, catalogue):
        for section in vars(module).values():
            if isinstance(section, type) and issubclass(section, BaseModel):
                for name, field in section.model_fields.items():
                    if field.description:
                        yield name, field.description
