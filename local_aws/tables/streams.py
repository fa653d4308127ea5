"""Firehose streams to S3."""

from local_aws.tables.form import call, held
from local_aws.values import Props


def _stream(inputs: Props) -> Props:
    """What the provider keeps flat, Firehose nests."""
    to_s3 = inputs["extendedS3Configuration"]
    hints = {
        "sizeInMBs": to_s3.get("bufferingSize", 5),
        "intervalInSeconds": to_s3.get("bufferingInterval", 300),
    }
    nested: Props = {"bufferingHints": hints}
    if to_s3.get("kmsKeyArn"):
        nested["encryptionConfiguration"] = {"kMSEncryptionConfig": {"aWSKMSKeyARN": to_s3["kmsKeyArn"]}}
    encryption = inputs.get("serverSideEncryption") or {}
    return inputs | {
        "deliveryStreamName": inputs["name"],
        "deliveryStreamType": "DirectPut",
        "extendedS3DestinationConfiguration": to_s3 | nested,
        "deliveryStreamEncryptionConfigurationInput": {
            "keyType": encryption.get("keyType", "AWS_OWNED_CMK"),
            "keyARN": encryption.get("keyArn"),
        }
        if encryption.get("enabled")
        else None,
    }


# fmt: off
TABLE = dict((
    held("kinesis:FirehoseDeliveryStream", "firehose", "{DeliveryStreamARN}", create="create_delivery_stream",
         prepare=_stream, read=call("describe_delivery_stream", "DeliveryStreamDescription",
                                    DeliveryStreamName="{name}"),
         delete=call("delete_delivery_stream", DeliveryStreamName="{name}"), outputs={"arn": "{id}"},
         tag=call("tag_delivery_stream", DeliveryStreamName="{name}"),
         untag=call("untag_delivery_stream", DeliveryStreamName="{name}"),
         replace="name destination extendedS3Configuration serverSideEncryption",
         unread="extendedS3Configuration serverSideEncryption destination"),
))
