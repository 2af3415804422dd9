//! Every reason the API refuses something with: HTTP-like code, error code, words. The numbers and words are
//! nats-server's, because clients compare them.

use std::borrow::Cow;

use serde::Serialize;

/// What the API answers instead of a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{description} ({err_code})")]
pub struct ApiError {
    /// As in HTTP: 400 for a request that can't be, 404 for what is not there, 5xx for what is wrong here.
    pub code: u16,
    /// What exactly.
    pub err_code: u16,
    /// For people.
    pub description: Cow<'static, str>,
}

impl ApiError {
    /// An error of any code.
    #[must_use]
    pub fn new(code: u16, err_code: u16, description: impl Into<Cow<'static, str>>) -> Self {
        Self { code, err_code, description: description.into() }
    }
}

/// An entry of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reason {
    code: u16,
    err_code: u16,
    /// `{}` stands for what is different each time.
    words: &'static str,
}

impl Reason {
    /// With its words as they are.
    #[must_use]
    pub fn err(self) -> ApiError {
        ApiError::new(self.code, self.err_code, self.words)
    }

    /// With something in the place of `{}`.
    #[must_use]
    pub fn with(self, what: impl std::fmt::Display) -> ApiError {
        ApiError::new(self.code, self.err_code, self.words.replacen("{}", &what.to_string(), 1))
    }

    /// With something in the place of each `{}`.
    #[must_use]
    pub fn with_two(self, first: &str, second: &str) -> ApiError {
        let words = self.words.replacen("{}", first, 1).replacen("{}", second, 1);
        ApiError::new(self.code, self.err_code, words)
    }

    /// The number by which clients know it.
    #[must_use]
    pub fn number(self) -> u16 {
        self.err_code
    }
}

impl From<Reason> for ApiError {
    fn from(reason: Reason) -> Self {
        reason.err()
    }
}

macro_rules! reasons {
    ($($name:ident = $code:literal, $number:literal, $words:literal;)*) => {
        $(#[allow(missing_docs, dead_code)] // The words say what each is.
        pub const $name: Reason = Reason { code: $code, err_code: $number, words: $words };)*
    };
}

reasons! {
    ACCOUNT_RESOURCES_EXCEEDED = 400, 10002, "resource limits exceeded for account";
    BAD_REQUEST = 400, 10003, "bad request";
    STREAM_EXTERNAL_API_OVERLAP = 400, 10021, "stream external api prefix {} must not overlap with {}";
    STREAM_EXTERNAL_DEL_PREFIX_OVERLAPS = 400, 10022, "stream external delivery prefix {} overlaps with stream subject {}";
    INSUFFICIENT_RESOURCES = 503, 10023, "insufficient resources";
    STREAM_INVALID_EXTERNAL_DELIVERY_SUBJ = 400, 10024, "stream external delivery prefix {} must not contain wildcards";
    INVALID_JSON = 400, 10025, "invalid JSON: {}";
    MAXIMUM_CONSUMERS_LIMIT = 400, 10026, "maximum consumers limit reached";
    MAXIMUM_STREAMS_LIMIT = 400, 10027, "maximum number of streams reached";
    MEMORY_RESOURCES_EXCEEDED = 500, 10028, "insufficient memory resources available";
    MIRROR_CONSUMER_SETUP_FAILED = 500, 10029, "{}";
    MIRROR_MAX_MESSAGE_SIZE_TOO_BIG = 400, 10030, "stream mirror must have max message size >= source";
    MIRROR_WITH_SOURCES = 400, 10031, "stream mirrors can not also contain other sources";
    MIRROR_WITH_START_SEQ_AND_TIME = 400, 10032, "stream mirrors can not have both start seq and start time configured";
    MIRROR_WITH_SUBJECT_FILTERS = 400, 10033, "stream mirrors can not contain filtered subjects";
    MIRROR_WITH_SUBJECTS = 400, 10034, "stream mirrors can not contain subjects";
    NO_ACCOUNT = 503, 10035, "account not found";
    NO_MESSAGE_FOUND = 404, 10037, "no message found";
    NOT_EMPTY_REQUEST = 400, 10038, "expected an empty request payload";
    NOT_ENABLED_FOR_ACCOUNT = 503, 10039, "JetStream not enabled for account";
    SEQUENCE_NOT_FOUND = 400, 10043, "sequence {} not found";
    SOURCE_CONSUMER_SETUP_FAILED = 500, 10045, "{}";
    SOURCE_MAX_MESSAGE_SIZE_TOO_BIG = 400, 10046, "stream source must have max message size >= target";
    STORAGE_RESOURCES_EXCEEDED = 500, 10047, "insufficient storage resources available";
    STREAM_ASSIGNMENT = 500, 10048, "{}";
    STREAM_CREATE = 500, 10049, "{}";
    STREAM_DELETE = 500, 10050, "{}";
    STREAM_GENERAL = 500, 10051, "{}";
    STREAM_INVALID_CONFIG = 500, 10052, "{}";
    STREAM_LIMITS = 500, 10053, "{}";
    STREAM_MESSAGE_EXCEEDS_MAXIMUM = 400, 10054, "message size exceeds maximum allowed";
    STREAM_MIRROR_NOT_UPDATABLE = 400, 10055, "stream mirror configuration can not be updated";
    STREAM_MISMATCH = 400, 10056, "stream name in subject does not match request";
    STREAM_MSG_DELETE_FAILED = 500, 10057, "{}";
    STREAM_NAME_EXIST = 400, 10058, "stream name already in use with a different configuration";
    STREAM_NOT_FOUND = 404, 10059, "stream not found";
    STREAM_NOT_MATCH = 400, 10060, "expected stream does not match";
    STREAM_REPLICAS_NOT_UPDATABLE = 400, 10061, "Replicas configuration can not be updated";
    STREAM_SEQUENCE_NOT_MATCH = 503, 10063, "expected stream sequence does not match";
    STREAM_SUBJECT_OVERLAP = 400, 10065, "subjects overlap with an existing stream";
    STREAM_UPDATE = 500, 10069, "{}";
    STREAM_WRONG_LAST_MSG_ID = 400, 10070, "wrong last msg ID: {}";
    STREAM_WRONG_LAST_SEQUENCE = 400, 10071, "wrong last sequence: {}";
    STREAM_REPLICAS_NOT_SUPPORTED = 500, 10074, "replicas > 1 not supported in non-clustered mode";
    NOT_ENABLED = 503, 10076, "JetStream not enabled";
    STREAM_STORE_FAILED = 503, 10077, "{}";
    STREAM_INVALID = 500, 10096, "stream not valid";
    STREAM_HEADER_EXCEEDS_MAXIMUM = 400, 10097, "header size exceeds maximum allowed of 64k";
    STREAM_SEALED = 400, 10109, "invalid operation on sealed stream";
    STREAM_PURGE_FAILED = 500, 10110, "{}";
    STREAM_ROLLUP_FAILED = 500, 10111, "{}";
    STREAM_MAX_BYTES_REQUIRED = 400, 10113, "account requires a stream config to have max bytes set";
    STREAM_INFO_MAX_SUBJECTS = 500, 10117, "subject details would exceed maximum allowed";
    STREAM_OFFLINE = 500, 10118, "stream is offline";
    NO_LIMITS = 400, 10120, "no JetStream default or applicable tiered limit present";
    STREAM_MAX_STREAM_BYTES_EXCEEDED = 400, 10122, "stream max bytes exceeds account limit max stream bytes";
    STREAM_MOVE_AND_SCALE = 400, 10123, "can not move and scale a stream in a single update";
    STREAM_MOVE_IN_PROGRESS = 400, 10124, "stream move already in progress";
    STREAM_NAME_CONTAINS_PATH_SEPARATORS = 400, 10128, "Stream name can not contain path separators";
    STREAM_RECONFIGURE_NOT_IN_PROGRESS = 400, 10129, "stream reconfiguration not in progress";
    REPLICAS_COUNT_CANNOT_BE_NEGATIVE = 400, 10133, "replicas count cannot be negative";
    SOURCE_DUPLICATE_DETECTED = 400, 10140, "duplicate source configuration detected";
    SOURCE_INVALID_STREAM_NAME = 400, 10141, "sourced stream name is invalid";
    MIRROR_INVALID_STREAM_NAME = 400, 10142, "mirrored stream name is invalid";
    MIRROR_WITH_FIRST_SEQ = 400, 10143, "stream mirrors can not have first sequence configured";
    SOURCE_MULTIPLE_FILTERS_NOT_ALLOWED = 400, 10144, "source with multiple subject transforms cannot also have a single subject filter";
    SOURCE_INVALID_SUBJECT_FILTER = 400, 10145, "source transform source: {}";
    SOURCE_INVALID_TRANSFORM_DESTINATION = 400, 10146, "source transform: {}";
    SOURCE_OVERLAPPING_SUBJECT_FILTERS = 400, 10147, "source filters can not overlap";
    MIRROR_MULTIPLE_FILTERS_NOT_ALLOWED = 400, 10150, "mirror with multiple subject transforms cannot also have a single subject filter";
    MIRROR_INVALID_SUBJECT_FILTER = 400, 10151, "mirror transform source: {}";
    MIRROR_OVERLAPPING_SUBJECT_FILTERS = 400, 10152, "mirror subject filters can not overlap";
    MIRROR_INVALID_TRANSFORM_DESTINATION = 400, 10154, "mirror transform: {}";
    STREAM_TRANSFORM_INVALID_SOURCE = 400, 10155, "stream transform source: {}";
    STREAM_TRANSFORM_INVALID_DESTINATION = 400, 10156, "stream transform: {}";
    PEDANTIC = 400, 10157, "pedantic mode: {}";
    STREAM_DUPLICATE_MESSAGE_CONFLICT = 409, 10158, "duplicate message id is in process";
    STREAM_EXPECTED_LAST_SEQ_PER_SUBJECT_NOT_READY = 503, 10163, "expected last sequence per subject temporarily unavailable";
    STREAM_WRONG_LAST_SEQUENCE_CONSTANT = 400, 10164, "wrong last sequence";
    MESSAGE_TTL_INVALID = 400, 10165, "invalid per-message TTL";
    MESSAGE_TTL_DISABLED = 400, 10166, "per-message TTL is disabled";
    STREAM_TOO_MANY_REQUESTS = 429, 10167, "too many requests";
    MESSAGE_INCR_DISABLED = 400, 10168, "message counters is disabled";
    MESSAGE_INCR_MISSING = 400, 10169, "message counter increment is missing";
    MESSAGE_INCR_PAYLOAD = 400, 10170, "message counter has payload";
    MESSAGE_INCR_INVALID = 400, 10171, "message counter increment is invalid";
    MESSAGE_COUNTER_BROKEN = 400, 10172, "message counter is broken";
    MIRROR_WITH_COUNTERS = 400, 10173, "stream mirrors can not also calculate counters";
    ATOMIC_PUBLISH_DISABLED = 400, 10174, "atomic publish is disabled";
    ATOMIC_PUBLISH_MISSING_SEQ = 400, 10175, "atomic publish sequence is missing";
    ATOMIC_PUBLISH_INCOMPLETE_BATCH = 400, 10176, "atomic publish batch is incomplete";
    ATOMIC_PUBLISH_UNSUPPORTED_HEADER_BATCH = 400, 10177, "atomic publish unsupported header used: {}";
    ATOMIC_PUBLISH_INVALID_BATCH_ID = 400, 10179, "atomic publish batch ID is invalid";
    STREAM_MIN_LAST_SEQ = 412, 10180, "min last sequence";
    REQUIRED_API_LEVEL = 412, 10185, "JetStream minimum api level required";
    MIRROR_WITH_MSG_SCHEDULES = 400, 10186, "stream mirrors can not also schedule messages";
    SOURCE_WITH_MSG_SCHEDULES = 400, 10187, "stream source can not also schedule messages";
    MESSAGE_SCHEDULES_DISABLED = 400, 10188, "message schedules is disabled";
    MESSAGE_SCHEDULES_PATTERN_INVALID = 400, 10189, "message schedules pattern is invalid";
    MESSAGE_SCHEDULES_TARGET_INVALID = 400, 10190, "message schedules target is invalid";
    MESSAGE_SCHEDULES_TTL_INVALID = 400, 10191, "message schedules invalid per-message TTL";
    MESSAGE_SCHEDULES_ROLLUP_INVALID = 400, 10192, "message schedules invalid rollup";
    STREAM_EXPECTED_LAST_SEQ_PER_SUBJECT_INVALID = 400, 10193, "missing sequence for expected last sequence per subject";
    STREAM_OFFLINE_REASON = 500, 10194, "stream is offline: {}";
    MIRROR_WITH_ATOMIC_PUBLISH = 400, 10198, "stream mirrors can not also use atomic publishing";
    ATOMIC_PUBLISH_TOO_LARGE_BATCH = 400, 10199, "atomic publish batch is too large: {}";
    ATOMIC_PUBLISH_INVALID_BATCH_COMMIT = 400, 10200, "atomic publish batch commit is invalid";
    ATOMIC_PUBLISH_CONTAINS_DUPLICATE_MESSAGE = 400, 10201, "atomic publish batch contains duplicate message id";
    MESSAGE_SCHEDULES_SOURCE_INVALID = 400, 10203, "message schedules source is invalid";
    BATCH_PUBLISH_DISABLED = 400, 10205, "batch publish is disabled";
    BATCH_PUBLISH_INVALID_PATTERN = 400, 10206, "batch publish pattern is invalid";
    BATCH_PUBLISH_INVALID_BATCH_ID = 400, 10207, "batch publish ID is invalid";
    BATCH_PUBLISH_UNKNOWN_BATCH_ID = 400, 10208, "batch publish ID unknown";
    MIRROR_WITH_BATCH_PUBLISH = 400, 10209, "stream mirrors can not also use batch publishing";
    ATOMIC_PUBLISH_TOO_MANY_INFLIGHT = 429, 10210, "atomic publish too many inflight";
    BATCH_PUBLISH_TOO_MANY_INFLIGHT = 429, 10211, "batch publish too many inflight";
    MESSAGE_SCHEDULES_SCHEDULER_INVALID = 400, 10212, "message schedules invalid scheduler";
    MIRROR_DURABLE_CONSUMER_CFG_INVALID = 400, 10213, "stream mirror consumer config is invalid";
    MIRROR_CONSUMER_REQUIRES_ACK_FC = 400, 10214, "stream mirror consumer requires flow control ack policy";
    SOURCE_DURABLE_CONSUMER_CFG_INVALID = 400, 10215, "stream source consumer config is invalid";
    SOURCE_DURABLE_CONSUMER_DUPLICATE_DETECTED = 400, 10216, "duplicate stream source consumer detected";
    SOURCE_CONSUMER_REQUIRES_ACK_FC = 400, 10217, "stream source consumer requires flow control ack policy";
    MESSAGE_SCHEDULES_TIME_ZONE_INVALID = 400, 10223, "message schedules time zone is invalid";
    STREAM_RECONFIGURE_IN_PROGRESS = 400, 10226, "stream reconfiguration already in progress";
    MESSAGE_SOURCE_HDR_NOT_ALLOWED = 400, 10227, "message stream source header is not allowed";
}
