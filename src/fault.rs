//! Fault points: places at which a test ends the process, or looks at what a crash there would leave. Only the feature
//! `failpoints` makes them code; without it a point is nothing at all, and the library is not even linked.
//!
//! A point stands before and after every `.await` of an order's way and every step that something on disk depends on, so
//! that between two of them nothing happens that a restart could see. `POINTS` says for each what would show there if it
//! were wrong. docs/decisions/0013 says why this library, and why pictures.

#[cfg(all(feature = "failpoints", not(debug_assertions)))]
compile_error!("fault points are for tests: a release build must not have them, so leave out the feature `failpoints`");

/// A fault point. With a second argument, a closure: what to do instead of going on when a test asks for `return`.
#[cfg(feature = "failpoints")]
macro_rules! fault_point {
    ($name:literal) => {
        fail::fail_point!($name)
    };
    ($name:literal, $instead:expr) => {
        fail::fail_point!($name, $instead)
    };
}

#[cfg(not(feature = "failpoints"))]
macro_rules! fault_point {
    ($name:literal) => {};
    ($name:literal, $instead:expr) => {};
}

/// Every point, and why it is where it is. tests/crash_points holds this list to the source, and walks all of it.
#[cfg(feature = "failpoints")]
pub const POINTS: &[(&str, &str)] = &[
    // The way of a request.
    ("submit::after-key", "the key is held in memory only: it must be free again after a crash"),
    ("submit::opened", "the order is durable and the client does not know: sending again must find it"),
    ("event::applied", "the event is durable and its sender does not know: sending again must be a duplicate"),
    // The loop that owns an order.
    ("executor::before-waiting", "everything decided so far is committed, answered and sent"),
    ("executor::woken", "a message or a timer has come, and nothing was done with it"),
    ("executor::loaded", "an order was read from the store; what was under way in it is taken for interrupted"),
    ("executor::looked-for-duplicate", "the event is not known, and not yet applied"),
    ("executor::before-commit", "decided, and nowhere written: nothing of it may have been sent or told"),
    ("executor::after-commit", "durable, and nobody was told and nothing sent"),
    (
        "executor::after-replies",
        "whoever asked was told, and nothing sent: what is asked for must be sent after the start",
    ),
    ("executor::between-dispatches", "some of what an entry asks for was sent, and some not"),
    ("executor::after-dispatches", "all was sent, and no answer is durable"),
    // A call.
    ("dispatch::before-call", "the intent is durable and the request has not left"),
    ("dispatch::answered", "the provider has done it, and its answer is lost: it must not be done again"),
    ("dispatch::delivered", "the answer is in the loop's queue, which is lost"),
    ("dispatch::before-report", "a child has ended, and its parent does not know"),
    // A commit.
    ("store::before-room", "checked, encoded, and its orders claimed in memory"),
    ("store::before-journal", "there is room behind the journal, and nothing written"),
    ("store::after-journal", "durable, and no reader sees it"),
    ("store::shown", "readers see it, and the loop does not know"),
    ("store::definition-written", "a version's texts are durable, and not known to be kept"),
    ("store::before-wake", "the working store is about to fall in with the journal"),
    // The journal's writer.
    ("journal::before-write", "a group has its place, and nothing of it is on disk"),
    ("journal::between-write-and-sync", "written, and not durable: it may be found, and was told to nobody"),
    ("journal::after-sync-before-tip", "durable, and the tip is one group behind"),
    ("journal::after-tip", "durable, with its tip, and told to nobody"),
    ("journal::before-roll", "the segment is full, and the next one is not begun"),
    ("journal::rolled", "the new segment is there, and nothing in it"),
    ("segment::head-written", "a spare has a head and no name"),
    ("segment::before-name", "the head is durable, the name is not"),
    ("segment::named", "the name is there, and not durable"),
    ("spares::filled", "a spare is full of zeros under its passing name"),
    ("spares::named", "the spare has its name, and the name is not durable"),
    // The working store, written behind.
    ("behind::waiting", "nothing is being written behind"),
    ("behind::before-layer", "a layer is being written, and nothing of it is"),
    ("behind::write-out", "for `return`: the rows so far reach the file now, as sled's own clock might have it"),
    ("behind::before-row", "some rows of the layer are in the file, and some not"),
    ("behind::before-mark", "all rows are, and the mark says that none is"),
    ("behind::before-flush", "the mark too is written, in sled's memory"),
    ("behind::after-flush", "all of it is in the file, and memory has it still"),
    // A start.
    ("open::locked", "the directory is ours, and nothing was looked at"),
    ("journal::dir-made", "there is a directory and no journal"),
    ("journal::tip-opened", "the tip is there before the first segment"),
    ("journal::first-filled", "the first segment has neither head nor name"),
    ("journal::end-found", "an unfinished write was cleared, and nothing settled"),
    ("journal::settled", "what was found is durable, and what is left over is still there"),
    ("journal::before-tidying", "some left over files are removed, and some not"),
    ("recovery::before-aside", "the working store is not believed, and still there"),
    ("recovery::set-aside", "it is out of the way, and there is no new one"),
    ("recovery::store-opened", "a working store is there, and not noted to be in use"),
    ("recovery::before-note", "the note is written under its passing name"),
    ("recovery::noted", "the note says that it is in use, or that it was closed"),
    ("recovery::between-entries", "some entries are folded, in memory"),
    ("recovery::version-kept", "a version is kept, and not in use"),
    ("recovery::page-read", "the open orders are read, and none is taken up"),
    ("recovery::between-orders", "some are taken up, and some not"),
    ("recovery::taken-up", "all are"),
    // An orderly end.
    ("shutdown::before-stop", "nothing is taken any more, and the loops still run"),
    ("shutdown::before-close", "the loops have ended, and the files are open"),
    ("close::before-journal", "the last group may be on its way"),
    ("close::before-store", "the journal is closed, and the working store is not"),
    ("close::before-clean", "the working store is durable, and not noted to be closed"),
];
