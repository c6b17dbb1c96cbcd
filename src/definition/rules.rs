//! Every rule of the checker: its stable id, and what it means in one line.

/// A rule that a definition can break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Rule {
    /// Stable: people write it in reviews and filter by it.
    pub id: &'static str,
    pub explanation: &'static str,
}

macro_rules! rules {
    ($($name:ident = $id:literal, $explanation:literal;)*) => {
        $(pub(super) const $name: &str = $id;)*

        /// All rules, in the order in which the documentation has them.
        pub const RULES: &[Rule] = &[$(Rule { id: $id, explanation: $explanation }),*];
    };
}

rules! {
    YAML_SYNTAX = "yaml-syntax", "the text is not YAML 1.2";
    YAML_FEATURE = "yaml-feature", "anchors, aliases, tags, merge keys and several documents are not part of the language";
    UNREADABLE_FILE = "unreadable-file", "a file is there and cannot be read";
    MISSING_TESTS = "missing-tests", "`tests` names a folder of scenarios that is not there, or has none";
    TOO_LARGE = "too-large", "the file is too long, too deep or has too many parts";
    DUPLICATE_KEY = "duplicate-key", "a key stands twice in one map";
    UNKNOWN_KEY = "unknown-key", "the language has no such key here";
    MISSING_KEY = "missing-key", "a key that must be there is not";
    WRONG_TYPE = "wrong-type", "a value is of another type than the key wants";
    BAD_VALUE = "bad-value", "a value is none of those that the key takes";
    BAD_NAME = "bad-name", "a name has characters that names do not have";
    BAD_DURATION = "bad-duration", "a duration is written with its unit, such as 30s";
    CONFLICTING_KEYS = "conflicting-keys", "two keys exclude each other";
    CONTRADICTING_VALUES = "contradicting-values", "two values cannot both have an effect";
    NAME_MISMATCH = "name-mismatch", "a connector is named like its file";
    DUPLICATE_WORKFLOW = "duplicate-workflow", "two files of a directory are the same workflow";
    BAD_SCHEMA = "bad-schema", "the schema of the input is missing or is not a JSON Schema";
    BAD_EXPRESSION = "bad-expression", "an expression cannot be understood";
    UNKNOWN_VARIABLE = "unknown-variable", "an expression reads something that is never there";
    TYPE_MISMATCH = "type-mismatch", "the types in an expression can never give what its place is about";
    SECRET_OUTSIDE_AUTH = "secret-outside-auth", "a secret is used where it could leak into data, a log or the journal";
    HOST_FROM_ORDER = "host-from-order", "the address of a provider is built from the data of an order";
    PLAIN_HTTP = "plain-http", "a provider that is not on this machine is reached by https only";
    VOLATILE_READ = "volatile-read", "a volatile field is read where it would be written down, or is not there";
    UNKNOWN_STATE = "unknown-state", "a transition leads to a state that does not exist";
    UNKNOWN_CALL = "unknown-call", "a call names a connector or an operation that does not exist";
    UNKNOWN_RETRY = "unknown-retry", "a call names a retry policy that does not exist";
    UNUSED_RETRY = "unused-retry", "no call uses this retry policy";
    MISSING_ARGUMENT = "missing-argument", "an operation reads an argument that the call does not give";
    UNUSED_ARGUMENT = "unused-argument", "a call gives an argument that the operation never reads";
    UNREACHABLE_STATE = "unreachable-state", "no way leads from the initial state to this one";
    UNREACHABLE_TRANSITION = "unreachable-transition", "an earlier transition of the list always fits";
    NO_WAY_TO_FINAL = "no-way-to-final", "no way leads from this state to a final one";
    WAIT_WITHOUT_AFTER = "wait-without-after", "a state waits for something that may never come";
    ALWAYS_WITHOUT_ELSE = "always-without-else", "no branch of a choice may fit, and then nothing happens for ever";
    ALWAYS_LOOP = "always-loop", "states lead to one another at once, round and round";
    FINAL_WITH_TRANSITIONS = "final-with-transitions", "a final state does nothing and leads nowhere";
    LATE_ON_OPEN_STATE = "late-on-open-state", "`late` is for final states";
    MISSING_LATE = "missing-late", "a notification of a provider can come after the end, and the state does not say what then";
    OUTCOME_NOT_HANDLED = "outcome-not-handled", "a call can end in a way that the state does not handle";
    OUTCOME_NEVER_GIVEN = "outcome-never-given", "the state handles an outcome that never comes";
    PENDING_MONEY_LEFT = "pending-money-left", "an order would leave a call behind that may still move money";
    UNANSWERED_TAKEN_FOR_NO = "unanswered-taken-for-no", "a question that nobody answered counts as answered with no";
    UNKNOWN_OUTCOME = "unknown-outcome", "a name is no outcome, and no event: the name of an event has a dot";
    ALWAYS_OK = "always-ok", "a reply counts as success whatever it says";
    OUTCOME_NEVER_READ = "outcome-never-read", "no reply can ever be read as this outcome";
    GUESSED_OUTCOME = "guessed-outcome", "a reply that cannot know what happened counts as a definite outcome";
    MONEY_WITHOUT_INQUIRE = "money-without-inquire", "an operation moves money and cannot be asked about";
    MONEY_WITHOUT_IDEMPOTENCY = "money-without-idempotency", "an operation moves money and does not say what a repeat does";
    KEY_NOT_SENT = "key-not-sent", "a request does not say which call it is about";
    RETRY_OUTLIVES_WINDOW = "retry-outlives-window", "retries go on when the provider has forgotten the key";
    FLOAT_AMOUNT = "float-amount", "an amount is a whole number of minor units";
    BAD_MONEY = "bad-money", "what moves is not certain to be a whole, positive amount of a known currency";
    CAPTURE_WITHOUT_HOLD = "capture-without-hold", "money would be captured that no call has held";
    UNDO_MISMATCH = "undo-mismatch", "an operation does not undo what it is declared to undo";
    NOTHING_TO_COMPENSATE = "nothing-to-compensate", "`compensate: all` stands where a call that moved money, or every call, does not say how it is undone";
}
