"""Baselines: readable, free of secrets and of digests, and compared resource by resource."""

from typing import Any

from inferctl import baseline

STACK = "urn:pulumi:dev::p::pulumi:pulumi:Stack::p-dev"
STORAGE = "urn:pulumi:dev::p::p:storage:Storage::storage"
BUCKET = "urn:pulumi:dev::p::p:storage:Storage$aws:s3/bucket:Bucket::models"


def export(**inputs: Any) -> dict[str, Any]:
    return {
        "deployment": {
            "resources": [
                {"urn": STACK, "type": "pulumi:pulumi:Stack"},
                {"urn": STORAGE, "type": "p:storage:Storage", "parent": STACK},
                {
                    "urn": BUCKET,
                    "type": "aws:s3/bucket:Bucket",
                    "parent": STORAGE,
                    "custom": True,
                    "protect": True,
                    "inputs": {"__defaults": [], **inputs},
                },
            ]
        }
    }


def test_a_resource_is_a_block_under_its_components() -> None:
    assert baseline.render(export(bucket="b", policy='{"Statement": [{"Effect": "Deny"}]}')) == (
        "storage  [p:storage:Storage]\n\n"
        "storage/models  [aws:s3/bucket:Bucket]\n"
        "  (protected)\n"
        "  bucket: b\n"
        "  policy:\n"
        "    Statement:\n"
        "    - Effect: Deny\n"
    )


def test_secrets_and_digests_do_not_show() -> None:
    signature = "4dabf18193072939515e22adb298388d"
    text = baseline.render(
        export(
            value={signature: "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "v1:abcdef"},
            source={signature: "c44067f5952c0a294b673a41bacd8c17", "hash": "0123456789"},
            key="packages/model-server-0123456789abcdef.zip",
            sourceCodeHash="c29tZQ==",
        )
    )
    for hidden in ("v1:abcdef", "0123456789", "c29tZQ=="):
        assert hidden not in text
    assert "value: <secret>" in text
    assert "packages/model-server-<digest>.zip" in text


def test_a_difference_names_what_came_went_and_changed() -> None:
    before = baseline.render(export(bucket="b"))
    changed = baseline.difference(before, baseline.render(export(bucket="c")))
    assert changed.lines() == ["~ storage/models  [aws:s3/bucket:Bucket]"]
    gone = baseline.difference(before, "storage  [p:storage:Storage]\n")
    assert gone.lines() == ["- storage/models  [aws:s3/bucket:Bucket]"]
    assert baseline.difference("", before).added == (
        "storage  [p:storage:Storage]",
        "storage/models  [aws:s3/bucket:Bucket]",
    )
    assert not baseline.difference(before, before)
