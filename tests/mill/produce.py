"""Produces one video-uploaded event: produce.py KAFKA REGISTRY KEY OWNER"""

import sys

from confluent_kafka import Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

kafka, registry, key, owner = sys.argv[1:]
registry = SchemaRegistryClient({"url": registry})
schema = registry.get_latest_version("video-uploaded-value").schema.schema_str
serialize = AvroSerializer(registry, schema, conf={"auto.register.schemas": False, "use.latest.version": True})
event = {"bucket": "reelmill", "key": key, "owner": owner}
failed = []
producer = Producer({"bootstrap.servers": kafka, "message.timeout.ms": 20000})
producer.produce(
    "video-uploaded",
    serialize(event, SerializationContext("video-uploaded", MessageField.VALUE)),
    on_delivery=lambda error, _: failed.append(error) if error else None,
)
if producer.flush(30) or failed:
    sys.exit(f"not delivered: {failed}")
