"""The way into the cluster: who may use it, and that nothing of it is left to a controller."""

from typing import Any

import pytest

from tests.components.gpu_programs import built
from tests.components.recorded import Recorded

CERTIFICATE = "arn:aws:acm:us-east-1:111111111111:certificate/1"
INGRESS = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
EGRESS = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    return built(certificate_arn=CERTIFICATE)


def rules(recorded: Recorded, kind: str) -> set[tuple[Any, ...]]:
    """(group, peer, port) of each rule."""
    return {
        (rule.inputs["securityGroupId"], rule.inputs.get("referencedSecurityGroupId"), rule.inputs["toPort"])
        for rule in recorded.all(kind)
    }


def test_the_load_balancer_is_internal_and_spreads_over_zones(recorded: Recorded) -> None:
    balancer = recorded.named("cluster-entry-nlb").inputs
    assert (balancer["loadBalancerType"], balancer["internal"]) == ("network", True)
    assert balancer["enableCrossZoneLoadBalancing"] is True
    assert balancer["enableDeletionProtection"] is True
    assert balancer["securityGroups"] == ["cluster-entry-balancer-id"]


def test_only_callers_reach_the_load_balancer_and_only_it_reaches_the_router(recorded: Recorded) -> None:
    assert rules(recorded, INGRESS) == {
        ("cluster-entry-balancer-id", "cluster-entry-callers-id", 443),
        ("sg-nodes", "cluster-entry-balancer-id", 8080),
    }
    assert rules(recorded, EGRESS) == {
        ("cluster-entry-callers-id", "cluster-entry-balancer-id", 443),
        ("cluster-entry-balancer-id", "sg-nodes", 8080),
    }


def test_groups_and_rules_say_what_they_are_for(recorded: Recorded) -> None:
    groups = recorded.all("aws:ec2/securityGroup:SecurityGroup")
    for described in (*groups, *recorded.all(INGRESS), *recorded.all(EGRESS)):
        assert described.inputs["description"], described.name


def test_with_a_certificate_the_listener_takes_tls_only(recorded: Recorded) -> None:
    listener = recorded.named("cluster-entry-listener").inputs
    assert (listener["port"], listener["protocol"]) == (443, "TLS")
    assert listener["certificateArn"] == CERTIFICATE
    assert "TLS13" in listener["sslPolicy"]


def test_without_a_certificate_the_listener_is_plain_tcp() -> None:
    plain = built()
    listener = plain.named("cluster-entry-listener").inputs
    assert (listener["port"], listener["protocol"]) == (80, "TCP")
    assert "certificateArn" not in listener
    assert ("cluster-entry-balancer-id", "cluster-entry-callers-id", 80) in rules(plain, INGRESS)


def test_targets_are_pods_whose_readiness_is_asked_for(recorded: Recorded) -> None:
    targets = recorded.named("cluster-entry-targets").inputs
    assert (targets["targetType"], targets["port"]) == ("ip", 8080)
    check = targets["healthCheck"]
    assert (check["protocol"], check["path"]) == ("HTTP", "/v2/health/ready")


def test_api_gateways_link_is_a_caller(recorded: Recorded) -> None:
    assert recorded.named("cluster-entry-vpc-link").inputs["securityGroupIds"] == ["cluster-entry-callers-id"]


def test_the_cluster_knows_the_target_group_and_makes_no_load_balancer(recorded: Recorded) -> None:
    binding = recorded.named("router-targets").inputs["spec"]
    assert binding["targetGroupARN"] == "arn:aws:mock:us-east-1:111111111111:cluster-entry-targets"
    assert binding["serviceRef"] == {"name": "router", "port": 8080}
    services = recorded.all("kubernetes:core/v1:Service")
    assert services
    assert all(service.inputs["spec"].get("type", "ClusterIP") == "ClusterIP" for service in services)


def test_pods_are_deregistered_before_the_controller_goes(recorded: Recorded) -> None:
    controller = recorded.named("cluster-charts-load-balancer-controller")
    assert controller.urn in recorded.named("router-targets").depends_on
