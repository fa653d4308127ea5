"""What the model registry says of a delivery: metadata of the package whose approval started it.

    delivery.id, delivery.at      which delivery, and when it ended
    delivery.outcome              as in the history: delivered, unchanged, refused, aborted
    delivery.reason               why it was refused or aborted

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_UpdateModelPackage.html
"""

import logging
import re
from collections.abc import Mapping
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

KEPT = ("id", "at", "outcome", "reason")
LONGEST = 256
"""Characters of a value."""

# Two requests, each with all of its tries, take less than the minute that the function has.
CONFIG = Config(
    connect_timeout=3,
    read_timeout=5,
    retries={"mode": "standard", "total_max_attempts": 4},
    max_pool_connections=1,
)

# Letters, numbers, spaces and these are what a value may hold.
_OTHERS = re.compile(r"[^\w.:/=+\-@]+")

logger = logging.getLogger(__name__)


def write(sagemaker: Any, package: str, record: Mapping[str, str]) -> str:
    """Write how a delivery ended to its package (ARN), beside the metadata that it has.

    The delivery stays as it is whatever comes of this: what went wrong is returned; empty where nothing did.
    """
    try:
        known = sagemaker.describe_model_package(ModelPackageName=package).get(
            "CustomerMetadataProperties", {}
        )
        sagemaker.update_model_package(
            ModelPackageArn=package, CustomerMetadataProperties={**known, **properties(record)}
        )
    except (BotoCoreError, ClientError) as error:
        logger.exception("%s does not say how its delivery ended", package)
        return str(error)
    return ""


def properties(record: Mapping[str, str]) -> dict[str, str]:
    """A delivery's record as metadata: what a value may not hold is a space, and it ends where it must."""
    said = {f"delivery.{key}": _OTHERS.sub(" ", record[key]).strip() for key in KEPT}
    return {key: value[:LONGEST] for key, value in said.items() if value}
