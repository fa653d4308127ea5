"""The model registry before a destruction: SageMaker deletes no group that has packages."""

from collections.abc import Mapping, Sequence
from typing import Any

from toolchain.progress import Step

GROUP = "aws:sagemaker/modelPackageGroup:ModelPackageGroup"


def empty(resources: Sequence[Mapping[str, Any]], sagemaker: Any, step: Step) -> str:
    """Delete the packages of a stack's groups; their files stay in the models bucket."""
    deleted = 0
    for group in (resource["id"] for resource in resources if resource["type"] == GROUP):
        pages = sagemaker.get_paginator("list_model_packages").paginate(ModelPackageGroupName=group)
        for package in [each for page in pages for each in page["ModelPackageSummaryList"]]:
            sagemaker.delete_model_package(ModelPackageName=package["ModelPackageArn"])
            deleted += 1
            step.detail = f"{deleted} packages of models deleted"
    return f"{deleted} packages of models deleted"
