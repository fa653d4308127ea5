"""What all ECR repositories of the platform share."""

import json

from naming import Names


def registry_host(names: Names) -> str:
    """Host of the account's registry; image names begin with it."""
    return f"{names.account_id}.dkr.ecr.{names.region}.amazonaws.com"


def lifecycle_policy(keep_images: int) -> str:
    """A policy (JSON) that keeps the newest `keep_images` tagged images, and untagged ones for a week.

    ECR never expires an image that a kept manifest list refers to.
    https://docs.aws.amazon.com/AmazonECR/latest/userguide/LifecyclePolicies.html
    """
    untagged = {
        "tagStatus": "untagged",
        "countType": "sinceImagePushed",
        "countUnit": "days",
        "countNumber": 7,
    }
    tagged = {
        "tagStatus": "tagged",
        "tagPatternList": ["*"],
        "countType": "imageCountMoreThan",
        "countNumber": keep_images,
    }
    rules = [
        {
            "rulePriority": 1,
            "description": "Untagged images go after a week",
            "selection": untagged,
            "action": {"type": "expire"},
        },
        {
            "rulePriority": 2,
            "description": f"The newest {keep_images} stay",
            "selection": tagged,
            "action": {"type": "expire"},
        },
    ]
    return json.dumps({"rules": rules}, sort_keys=True)
