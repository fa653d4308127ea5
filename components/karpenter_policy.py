"""What Karpenter's controller may do, statement by statement as its documentation gives it.

https://karpenter.sh/v1.14/reference/cloudformation/#controller-authorization, less what this platform does
otherwise: the instance profile exists already, and zonal shifts are not followed.
"""

from components import iam
from naming import Names

_CREATED = ("fleet", "instance", "volume", "network-interface", "launch-template", "spot-instances-request")


def controller_statements(
    *,
    names: Names,
    cluster_name: str,
    node_role_arn: str,
    queue_arn: str,
    key_arn: str,
    isolated_vpc: bool,
) -> list[iam.Statement]:
    """Permissions to run instances that carry this cluster's tag, and to touch no other instance."""
    owned = {f"kubernetes.io/cluster/{cluster_name}": "owned"}
    of_cluster = {**owned, "eks:eks-cluster-name": cluster_name}
    reads = [] if isolated_vpc else _reads_outside_the_vpc(names)
    return [
        iam.allow(
            "UseWhatInstancesNeed",
            ["ec2:RunInstances", "ec2:CreateFleet"],
            [
                f"arn:aws:ec2:{names.region}::image/*",
                f"arn:aws:ec2:{names.region}::snapshot/*",
                *_own(names, "security-group", "subnet", "capacity-reservation"),
            ],
        ),
        iam.allow(
            "UseOwnLaunchTemplates",
            ["ec2:RunInstances", "ec2:CreateFleet"],
            _own(names, "launch-template"),
            _tagged("aws:ResourceTag", owned),
        ),
        iam.allow(
            "Create",
            ["ec2:RunInstances", "ec2:CreateFleet", "ec2:CreateLaunchTemplate"],
            _own(names, *_CREATED),
            _tagged("aws:RequestTag", of_cluster),
        ),
        iam.allow(
            "TagOnCreation",
            ["ec2:CreateTags"],
            _own(names, *_CREATED),
            _tagged(
                "aws:RequestTag",
                of_cluster,
                {"ec2:CreateAction": ["RunInstances", "CreateFleet", "CreateLaunchTemplate"]},
            ),
        ),
        iam.allow(
            "TagInstances",
            ["ec2:CreateTags"],
            _own(names, "instance"),
            {
                **_tagged("aws:ResourceTag", owned),
                "StringEqualsIfExists": {"aws:RequestTag/eks:eks-cluster-name": cluster_name},
                "ForAllValues:StringEquals": {
                    "aws:TagKeys": ["eks:eks-cluster-name", "karpenter.sh/nodeclaim", "Name"]
                },
            },
        ),
        iam.allow(
            "Delete",
            ["ec2:TerminateInstances", "ec2:DeleteLaunchTemplate"],
            _own(names, "instance", "launch-template"),
            _tagged("aws:ResourceTag", owned),
        ),
        iam.allow(
            "PassNodeRole",
            ["iam:PassRole"],
            [node_role_arn],
            {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}},
        ),
        iam.allow("FindCluster", ["eks:DescribeCluster"], [names.arn("eks", f"cluster/{cluster_name}")]),
        iam.allow(
            "Interruptions", ["sqs:DeleteMessage", "sqs:GetQueueUrl", "sqs:ReceiveMessage"], [queue_arn]
        ),
        iam.allow(
            "Read",
            [
                "ec2:DescribeCapacityReservations",
                "ec2:DescribeImages",
                "ec2:DescribeInstanceStatus",
                "ec2:DescribeInstanceTypeOfferings",
                "ec2:DescribeInstanceTypes",
                "ec2:DescribeInstances",
                "ec2:DescribeLaunchTemplates",
                "ec2:DescribeSecurityGroups",
                "ec2:DescribeSpotPriceHistory",
                "ec2:DescribeSubnets",
            ],
            ["*"],  # EC2 knows no resources for Describe actions
            {"StringEquals": {"aws:RequestedRegion": names.region}},
        ),
        iam.allow(
            "FindImages", ["ssm:GetParameter"], [f"arn:aws:ssm:{names.region}::parameter/aws/service/*"]
        ),
        *_encrypt_volumes(names, key_arn),
        *reads,
    ]


def _own(names: Names, *kinds: str) -> list[str]:
    return [names.arn("ec2", f"{kind}/*") for kind in kinds]


def _tagged(
    key: str, equal: dict[str, str], beside: dict[str, list[str]] | None = None
) -> dict[str, dict[str, str | list[str]]]:
    """The condition that a resource, or a request, carries these tags and the name of a NodePool."""
    tags = {f"{key}/{tag}": value for tag, value in equal.items()}
    return {
        "StringEquals": {**tags, **(beside or {})},
        "StringLike": {f"{key}/karpenter.sh/nodepool": "*"},
    }


def _encrypt_volumes(names: Names, key_arn: str) -> list[iam.Statement]:
    # https://karpenter.sh/v1.14/troubleshooting/ (nodes that terminate on encrypted EBS volumes)
    via_ec2 = {"StringEquals": {"kms:ViaService": f"ec2.{names.region}.amazonaws.com"}}
    return [
        iam.allow(
            "EncryptVolumes",
            [
                "kms:Decrypt",
                "kms:DescribeKey",
                "kms:GenerateDataKeyWithoutPlaintext",
                "kms:ReEncryptFrom",
                "kms:ReEncryptTo",
            ],
            [key_arn],
            via_ec2,
        ),
        iam.allow(
            "AttachVolumes",
            ["kms:CreateGrant"],
            [key_arn],
            {**via_ec2, "Bool": {"kms:GrantIsForAWSResource": "true"}},
        ),
    ]


def _reads_outside_the_vpc(names: Names) -> list[iam.Statement]:
    profiles = f"arn:aws:iam::{names.account_id}:instance-profile/*"
    return [
        iam.allow("ReadPrices", ["pricing:GetProducts"], ["*"]),  # prices are nobody's resources
        iam.allow("ListInstanceProfiles", ["iam:ListInstanceProfiles"], ["*"]),  # a list has no resource
        iam.allow("ReadInstanceProfiles", ["iam:GetInstanceProfile"], [profiles]),
    ]
