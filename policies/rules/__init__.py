"""All rules, by subject."""

from collections.abc import Sequence
from types import ModuleType

from policies.rule import Rule
from policies.rules import (
    audit,
    budgets,
    cognito,
    cost,
    ecr,
    eks,
    eks_network,
    eks_nodes,
    gateway,
    gateway_stages,
    iam,
    iam_escalation,
    iam_roles,
    instances,
    kms,
    kubernetes,
    lambda_,
    lambda_limits,
    logs,
    nodes,
    platform,
    s3,
    s3_data,
    sagemaker,
    sagemaker_scaling,
    security_groups,
    volumes,
    vpc,
    vpc_traffic,
    waf,
)

SUBJECTS: Sequence[ModuleType] = (
    eks,
    eks_network,
    eks_nodes,
    nodes,
    volumes,
    instances,
    kubernetes,
    sagemaker,
    sagemaker_scaling,
    lambda_,
    lambda_limits,
    gateway,
    gateway_stages,
    waf,
    cognito,
    s3,
    s3_data,
    kms,
    iam,
    iam_escalation,
    iam_roles,
    security_groups,
    vpc,
    vpc_traffic,
    logs,
    audit,
    budgets,
    cost,
    ecr,
    platform,
)
"""Modules, each with the `RULES` of its subject."""

RULES: Sequence[Rule] = [rule for subject in SUBJECTS for rule in subject.RULES]
