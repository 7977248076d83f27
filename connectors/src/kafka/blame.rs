//! Whose fault an error of Kafka is.

use ports::Trouble;
use rdkafka::{
    error::KafkaError,
    types::RDKafkaErrorCode::{self, *},
};

/// How trouble with TLS and the login begins.
pub(super) const NOT_LET_IN: &str = "kafka does not accept our credentials";

/// Sorts an error by blame. Nothing Kafka reports is an event's fault; what is not known to be
/// ours is the world's.
#[must_use]
pub fn blame(error: &KafkaError) -> Trouble {
    match error {
        KafkaError::AdminOp(code)
        | KafkaError::ConsumerCommit(code)
        | KafkaError::ConsumerQueueClose(code)
        | KafkaError::Flush(code)
        | KafkaError::Global(code)
        | KafkaError::GroupListFetch(code)
        | KafkaError::MessageConsumption(code)
        | KafkaError::MessageConsumptionFatal(code)
        | KafkaError::MessageProduction(code)
        | KafkaError::MetadataFetch(code)
        | KafkaError::OffsetFetch(code)
        | KafkaError::Rebalance(code)
        | KafkaError::SetPartitionOffset(code)
        | KafkaError::StoreOffset(code)
        | KafkaError::MockCluster(code) => by_code(*code, error.to_string()),
        KafkaError::Transaction(error) => by_code(error.code(), error.string()),
        KafkaError::Canceled
        | KafkaError::NoMessageReceived
        | KafkaError::PartitionEOF(_)
        | KafkaError::PauseResume(_)
        | KafkaError::Seek(_) => Trouble::transient("kafka", error.to_string()),
        KafkaError::AdminOpCreation(_)
        | KafkaError::ClientConfig(..)
        | KafkaError::ClientCreation(_)
        | KafkaError::Nul(_)
        | KafkaError::Subscription(_) => {
            Trouble::fatal(format!("kafka settings are wrong, correct them: {error}"))
        }
        other => Trouble::transient("kafka", other.to_string()),
    }
}

fn by_code(code: RDKafkaErrorCode, text: String) -> Trouble {
    match code {
        BrokerTransportFailure
        | AllBrokersDown
        | Resolve
        | OperationTimedOut
        | MessageTimedOut
        | RequestTimedOut
        | TimedOutQueue
        | BrokerNotAvailable
        | NetworkException
        | LeaderNotAvailable
        | NotLeaderForPartition
        | ReplicaNotAvailable
        | CoordinatorLoadInProgress
        | CoordinatorNotAvailable
        | NotCoordinator
        | WaitingForCoordinator
        | NotEnoughReplicas
        | NotEnoughReplicasAfterAppend
        | UnknownBroker
        | NotController
        | KafkaStorageError => Trouble::transient("broker_unavailable", text),
        IllegalGeneration | UnknownMemberId | RebalanceInProgress | AssignmentLost
        | PollExceeded => Trouble::transient("rebalanced", text),
        Fenced
        | InvalidProducerEpoch
        | InvalidProducerIdMapping
        | UnknownProducerId
        | TransactionCoordinatorFenced
        | ConcurrentTransactions => Trouble::transient(
            "fenced",
            format!("{text} (does another process run with the same instance name?)"),
        ),
        UnknownTopicOrPartition | UnknownTopic | UnknownPartition => Trouble::transient(
            "topic_missing",
            format!("{text} (create the topics with `reelmill topics create`)"),
        ),
        Authentication
        | SaslAuthenticationFailed
        | SSL
        | SecurityDisabled
        | UnsupportedSASLMechanism
        | IllegalSASLState => Trouble::fatal(format!("{NOT_LET_IN}, correct them: {text}")),
        TopicAuthorizationFailed
        | GroupAuthorizationFailed
        | ClusterAuthorizationFailed
        | TransactionalIdAuthorizationFailed => {
            Trouble::fatal(format!("kafka does not allow this, grant it: {text}"))
        }
        MessageSizeTooLarge | InvalidMessageSize | MessageBatchTooLarge => Trouble::fatal(format!(
            "a record is larger than kafka takes, raise max.message.bytes of its topic: {text}"
        )),
        InvalidArgument
        | InvalidTopic
        | InvalidGroupId
        | InvalidSessionTimeout
        | InvalidTransactionTimeout
        | InvalidRequiredAcks
        | InvalidConfig
        | InvalidRequest
        | InvalidPartitions
        | InvalidReplicationFactor
        | InvalidReplicaAssignment
        | PolicyViolation
        | InconsistentGroupProtocol
        | UnsupportedVersion
        | UnsupportedFeature
        | NotImplemented
        | NotConfigured => {
            Trouble::fatal(format!("kafka refuses how we ask, correct the settings: {text}"))
        }
        _ => Trouble::transient("kafka", text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::types::RDKafkaConfRes;

    #[test]
    fn every_kind_of_error_has_someone_to_blame() {
        let consumption = KafkaError::MessageConsumption;
        let production = KafkaError::MessageProduction;
        let config = |name: &str| {
            let code = RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN;
            KafkaError::ClientConfig(code, "no such".into(), name.into(), "x".into())
        };
        let table = [
            (consumption(BrokerTransportFailure), Some("broker_unavailable")),
            (KafkaError::Global(AllBrokersDown), Some("broker_unavailable")),
            (KafkaError::Flush(OperationTimedOut), Some("broker_unavailable")),
            (KafkaError::MetadataFetch(Resolve), Some("broker_unavailable")),
            (production(MessageTimedOut), Some("broker_unavailable")),
            (consumption(PollExceeded), Some("rebalanced")),
            (KafkaError::ConsumerCommit(IllegalGeneration), Some("rebalanced")),
            (KafkaError::Rebalance(AssignmentLost), Some("rebalanced")),
            (KafkaError::MessageConsumptionFatal(Fenced), Some("fenced")),
            (production(InvalidProducerEpoch), Some("fenced")),
            (consumption(UnknownTopicOrPartition), Some("topic_missing")),
            (KafkaError::Canceled, Some("kafka")),
            (KafkaError::PauseResume("x".into()), Some("kafka")),
            (production(OutOfOrderSequenceNumber), Some("kafka")),
            (consumption(Authentication), None),
            (KafkaError::Global(SSL), None),
            (KafkaError::AdminOp(ClusterAuthorizationFailed), None),
            (KafkaError::GroupListFetch(GroupAuthorizationFailed), None),
            (production(MessageSizeTooLarge), None),
            (KafkaError::AdminOp(InvalidConfig), None),
            (KafkaError::Subscription("x".into()), None),
            (KafkaError::ClientCreation("x".into()), None),
            (config("sasl.usernam"), None),
        ];
        for (error, reason) in table {
            match (blame(&error), reason) {
                (Trouble::Transient { reason, .. }, Some(expected)) => {
                    assert_eq!(reason, expected, "{error}");
                }
                (Trouble::Fatal(_), None) => {}
                (other, _) => unreachable!("{error} is blamed on {other:?}"),
            }
        }
    }
}
