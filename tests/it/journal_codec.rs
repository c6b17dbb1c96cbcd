//! Records survive the journey to bytes and back, and no bytes make the decoder panic.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use paystate::journal::{
    Batch, CodecError, Entry, FORMAT_VERSION, JournalError, MAX_DEPTH, Opening, Prev, Record, decode, encode,
};
use paystate::ledger::Posting;
use paystate::machine::{Command, Event, Outcome, Timer};
use paystate::store::conformance::sample::{order_id, sources};
use paystate::types::{
    Attempt, CallId, EventId, EventName, Position, Seq, StateName, Timestamp, Value, Version, WorkflowName,
};
use proptest::prelude::*;

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1.0e12..1.0e12).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        json().prop_map(|result| Outcome::Ok { result }),
        (any::<String>(), any::<bool>(), json()).prop_map(|(code, soft, result)| Outcome::Declined {
            code,
            soft,
            result
        }),
        (any::<String>(), any::<Option<u64>>())
            .prop_map(|(reason, retry_after_ms)| Outcome::NotSent { reason, retry_after_ms }),
        (any::<Option<String>>(), json()).prop_map(|(reference, result)| Outcome::Pending { reference, result }),
        Just(Outcome::NotFound),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        json().prop_map(|input| Event::Started { input, parent: None }),
        (any::<String>(), any::<String>(), json(), any::<String>()).prop_map(|(id, name, payload, source)| {
            Event::Received { id: EventId::new(id), name: EventName::new(name), payload, source }
        }),
        (any::<u32>(), any::<u32>(), outcome()).prop_map(|(call, attempt, outcome)| Event::Settled {
            call: CallId(call),
            attempt: Attempt(attempt),
            outcome
        }),
        any::<u32>().prop_map(|call| Event::TimerFired { timer: Timer::Retry { call: CallId(call) } }),
    ]
}

prop_compose! {
    fn entry()(
        order in 0..1000_u64,
        seq in any::<u64>(),
        at in -60_000_000_000_000..250_000_000_000_000_i64,
        key in any::<Option<(String, String)>>(),
        opened in any::<bool>(),
        event in event(),
        to in any::<String>(),
        amounts in prop::collection::vec(any::<i64>(), 0..4),
        timer in any::<u32>(),
    ) -> Entry {
        let opening = Opening { workflow: WorkflowName::new("card"), version: Version::new("v"), key };
        Entry {
            v: FORMAT_VERSION,
            order: order_id(order),
            seq: Seq(seq),
            at: Timestamp::from_unix_ms(at),
            opening: opened.then_some(opening),
            event,
            to: StateName::new(to),
            commands: vec![Command::StartTimer { timer: Timer::After { index: timer }, at: Timestamp::from_unix_ms(at) }],
            postings: amounts
                .into_iter()
                .map(|amount| Posting { account: "a/b".into(), amount, currency: "CNY".parse().unwrap() })
                .collect(),
            prev: None,
        }
    }
}

proptest! {
    #[test]
    fn a_record_comes_back_as_it_was(entry in entry()) {
        let mut bytes = Vec::new();
        let record = Record::Entry(entry);
        encode(&record, &mut bytes).unwrap();
        prop_assert_eq!(decode(&bytes).unwrap(), record);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&bytes);
    }

    #[test]
    fn no_damage_makes_it_panic(entry in entry(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = Vec::new();
        encode(&Record::Entry(entry), &mut bytes).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = decode(&bytes);
        let _ = decode(&bytes[..at]);
    }
}

#[test]
fn a_definition_comes_back_as_it_was() {
    let record = Record::Definition {
        v: FORMAT_VERSION,
        workflow: WorkflowName::new("card"),
        version: Version::new("v1"),
        at: Timestamp::from_unix_ms(5),
        sources: sources("card"),
    };
    let mut bytes = Vec::new();
    encode(&record, &mut bytes).unwrap();
    assert_eq!(decode(&bytes).unwrap(), record);
}

#[test]
fn a_newer_version_is_named() {
    let bytes = br#"{"record":"prophecy","v":7,"what":"is not known"}"#;
    let error = decode(bytes).unwrap_err();
    assert!(matches!(error, CodecError::Newer(7)), "{error}");
    assert_eq!(error.to_string(), "format version 7 is newer than 1, the newest that this Paystate reads");
}

#[test]
fn what_could_not_be_read_again_is_not_written() {
    let nested = |depth: usize| (0..depth).fold(Value::Null, |inner, _| Value::Array(vec![inner]));
    let entry = |input| Entry {
        v: FORMAT_VERSION,
        order: order_id(1),
        seq: Seq(1),
        at: Timestamp::from_unix_ms(0),
        opening: None,
        event: Event::Started { input, parent: None },
        to: StateName::new("a"),
        commands: Vec::new(),
        postings: Vec::new(),
        prev: Some(Position(77)),
    };
    let mut batch = Batch::new();
    let error = batch.push_entry(&entry(nested(120)), Prev::None).unwrap_err();
    assert!(matches!(error, JournalError::TooDeep { depth: 122, limit: MAX_DEPTH }), "{error}");
    batch.push_entry(&entry(nested(90)), Prev::None).unwrap();
    assert_eq!(batch.len(), 1);
}
