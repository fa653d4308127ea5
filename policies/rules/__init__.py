"""All rules, by subject."""

from collections.abc import Sequence

from policies.model import Rule
from policies.rules import cost, gateway, iam, kms, lambda_, logs, platform, s3

RULES: Sequence[Rule] = (
    *lambda_.RULES,
    *gateway.RULES,
    *s3.RULES,
    *kms.RULES,
    *iam.RULES,
    *logs.RULES,
    *cost.RULES,
    *platform.RULES,
)
