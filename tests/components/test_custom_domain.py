"""The API's own domain: a proven certificate, modern TLS, and a record that leads to it."""

from components.custom_domain import CustomDomain, CustomDomainArgs
from components.tags import Tags
from tests.components.recorded import Recorded, deployed

TAGS = Tags(platform="inference-platform", environment="dev", owner="team", cost_center="ml")


def custom_domain() -> Recorded:
    args = CustomDomainArgs(
        tags=TAGS,
        domain_name="inference.example.com",
        zone_id="Z123",
        api_id="abcdefghij",
        stage_name="live",
    )
    return deployed(lambda: CustomDomain("domain", args))


def test_the_certificate_is_proven_in_the_zone_before_the_domain_uses_it() -> None:
    recorded = custom_domain()
    proof = next(r.inputs for r in recorded.all("aws:route53/record:Record") if r.inputs["type"] == "CNAME")
    assert (proof["zoneId"], proof["name"]) == ("Z123", "_proof.example.com.")
    assert proof["records"] == ["_value.acm-validations.aws."]
    validation = recorded.one("aws:acm/certificateValidation:CertificateValidation").inputs
    assert validation["certificateArn"].endswith(":domain-certificate")
    domain = recorded.one("aws:apigateway/domainName:DomainName").inputs
    assert domain["regionalCertificateArn"] == validation["certificateArn"] + "/validated"


def test_the_domain_is_regional_and_takes_no_tls_below_1_2() -> None:
    domain = custom_domain().one("aws:apigateway/domainName:DomainName").inputs
    assert domain["endpointConfiguration"] == {"types": "REGIONAL"}
    assert domain["securityPolicy"].startswith("SecurityPolicy_TLS13_1_2_PFS")
    assert domain["endpointAccessMode"] == "STRICT"


def test_the_whole_domain_is_the_stage() -> None:
    mapping = custom_domain().one("aws:apigateway/basePathMapping:BasePathMapping").inputs
    assert (mapping["restApi"], mapping["stageName"]) == ("abcdefghij", "live")
    assert "basePath" not in mapping


def test_the_name_is_an_alias_of_the_regional_domain() -> None:
    recorded = custom_domain()
    record = next(r.inputs for r in recorded.all("aws:route53/record:Record") if r.inputs["type"] == "A")
    assert (record["zoneId"], record["name"]) == ("Z123", "inference.example.com")
    [alias] = record["aliases"]
    assert alias["name"] == "d-regional.execute-api.us-east-1.amazonaws.com"
