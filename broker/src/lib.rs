//! A single-node, durable broker that speaks Kafka's wire protocol
