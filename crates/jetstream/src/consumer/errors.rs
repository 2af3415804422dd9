//! Why the API refuses to make or change a consumer, with nats-server's codes and words.

use crate::errors::ApiError;

/// A refusal whose words never differ: HTTP-like code, error code, description.
pub(crate) type Known = (u16, u16, &'static str);

macro_rules! known {
    ($($name:ident = $code:literal, $number:literal, $words:literal;)*) => {
        $(#[allow(dead_code)] // A table: not every line is needed everywhere.
        pub(crate) const $name: Known = ($code, $number, $words);)*
    };
}

known! {
    NAME_IN_USE = 400, 10013, "consumer name already in use";
    NOT_FOUND = 404, 10014, "consumer not found";
    NO_DURABLE_IN_SUBJECT = 400, 10016, "consumer expected to be durable but no durable name set in subject";
    DURABLE_MISMATCH = 400, 10017, "consumer name in subject does not match durable name in request";
    NO_DURABLE = 400, 10018, "consumer expected to be durable but a durable name was not set";
    EPHEMERAL_WITH_DURABLE = 400, 10020, "consumer expected to be ephemeral but a durable name was set in request";
    TOO_MANY = 400, 10026, "maximum consumers limit reached";
    WILDCARD_DELIVERY = 400, 10079, "consumer deliver subject has wildcards";
    PUSH_MAX_WAITING = 400, 10080, "consumer in push mode can not set max waiting";
    CYCLE = 400, 10081, "consumer deliver subject forms a cycle";
    MAX_PENDING_NEEDS_ACKS = 400, 10082, "consumer requires ack policy for max ack pending";
    SMALL_HEARTBEAT = 400, 10083, "consumer idle heartbeat needs to be >= 100ms";
    PULL_NEEDS_ACKS = 400, 10084, "consumer in pull mode requires explicit ack policy on workqueue stream";
    PULL_RATE_LIMIT = 400, 10086, "consumer in pull mode can not have rate limit set";
    HEARTBEAT_NEEDS_PUSH = 400, 10088, "consumer idle heartbeat requires a push based consumer";
    FLOW_NEEDS_PUSH = 400, 10089, "consumer flow control requires a push based consumer";
    DIRECT_NEEDS_PUSH = 400, 10090, "consumer direct requires a push based consumer";
    DIRECT_NEEDS_EPHEMERAL = 400, 10091, "consumer direct requires an ephemeral consumer";
    WORKQUEUE_NEEDS_EXPLICIT = 400, 10098, "workqueue stream requires explicit ack";
    WORKQUEUE_UNFILTERED = 400, 10099, "multiple non-filtered consumers not allowed on workqueue stream";
    WORKQUEUE_NOT_UNIQUE = 400, 10100, "filtered consumer not unique on workqueue stream";
    WORKQUEUE_NOT_ALL = 400, 10101, "consumer must be deliver all on workqueue stream";
    BAD_DURABLE = 400, 10103, "durable name can not contain '.', '*', '>'";
    STILL_ACTIVE = 400, 10105, "consumer already exists and is still active";
    FLOW_NEEDS_HEARTBEAT = 400, 10108, "consumer with flow control also needs heartbeats";
    INVALID_DELIVERY = 400, 10112, "invalid push consumer deliver subject";
    SMALL_EXPIRES = 400, 10115, "consumer max request expires needs to be >= 1ms";
    BACKOFF_TOO_LONG = 400, 10116, "max deliver is required to be > length of backoff values";
    REPLICAS_OVER_STREAM = 400, 10126, "consumer config replica count exceeds parent stream";
    PATH_IN_NAME = 400, 10127, "Consumer name can not contain path separators";
    FILTER_MISMATCH = 400, 10131, "Consumer create request did not match filtered subject from create subject";
    NAME_NOT_DURABLE = 400, 10132, "Consumer Durable and Name have to be equal if both are provided";
    NEGATIVE_REPLICAS = 400, 10133, "replicas count cannot be negative";
    REPLICAS_NOT_STREAM = 400, 10134, "consumer config replicas must match interest retention stream's replicas";
    BOTH_FILTERS = 400, 10136, "consumer cannot have both FilterSubject and FilterSubjects specified";
    MANY_FILTERS_IN_SUBJECT = 400, 10137, "consumer with multiple subject filters cannot use subject based API";
    FILTERS_OVERLAP = 400, 10138, "consumer subject filters cannot overlap";
    EMPTY_FILTER = 400, 10139, "consumer filter in FilterSubjects cannot be empty";
    EXISTS = 400, 10148, "consumer already exists";
    DOES_NOT_EXIST = 400, 10149, "consumer does not exist";
    POLICY_WITHOUT_GROUP = 400, 10159, "Setting PriorityPolicy requires at least one PriorityGroup to be set";
    UNKNOWN_GROUP = 400, 10160, "Provided priority group does not exist for this consumer";
    EMPTY_GROUP = 400, 10161, "Group name cannot be an empty string";
    INVALID_GROUP = 400, 10162, "Valid priority group name must match A-Z, a-z, 0-9, -_/=)+ and may not exceed 16 characters";
    GROUPS_NEED_PULL = 400, 10178, "priority groups can not be used with push consumers";
    NEGATIVE_ACK_WAIT = 400, 10183, "consumer ack wait needs to be positive";
    NEGATIVE_BACKOFF = 400, 10184, "consumer backoff needs to be positive";
    GROUP_WITHOUT_POLICY = 400, 10196, "consumer can not have priority groups when policy is none";
    PIN_WITHOUT_POLICY = 400, 10197, "PinnedTTL cannot be set when PriorityPolicy is none";
    ACK_FLOW_NEEDS_PUSH = 400, 10218, "flow control ack policy requires a push based consumer";
    ACK_FLOW_NEEDS_FLOW = 400, 10219, "flow control ack policy requires flow control";
    ACK_FLOW_NEEDS_MAX = 400, 10220, "flow control ack policy requires max ack pending";
    ACK_FLOW_NEEDS_NO_WAIT = 400, 10221, "flow control ack policy requires unset ack wait";
    ACK_FLOW_NEEDS_NO_MAX = 400, 10222, "flow control ack policy requires unset max deliver";
}

/// A refusal in fixed words.
pub(crate) fn refuse<T>((code, number, words): Known) -> Result<T, ApiError> {
    Err(ApiError::new(code, number, words))
}

/// nats-server's catch-all for a configuration that can't be (it says so of streams too).
pub(crate) fn invalid<T>(words: &'static str) -> Result<T, ApiError> {
    Err(ApiError::new(500, 10052, words))
}

/// A start that does not go with the deliver policy.
pub(crate) fn bad_policy<T>(words: String) -> Result<T, ApiError> {
    Err(ApiError::new(400, 10094, words))
}

/// What pedantic requests may not leave to the server.
pub(crate) fn pedantic<T>(words: &str) -> Result<T, ApiError> {
    Err(ApiError::new(400, 10157, format!("pedantic mode: {words}")))
}

/// An update of something that can't be updated.
pub(crate) fn not_updatable<T>(words: &'static str) -> Result<T, ApiError> {
    Err(ApiError::new(500, 10012, words))
}
