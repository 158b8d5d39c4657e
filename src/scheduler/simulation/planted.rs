//! Mistakes that can be put into the simulated daemon, to see that the invariants notice them. Each sits at a seam
//! between two parts; the product's own code knows nothing of them.

/// One mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Planted {
    /// Every ninth commit moves the cursor and forgets the events.
    CursorWithoutEvents,
    /// Every ninth commit stores the events and forgets the cursor.
    EventsWithoutCursor,
    /// A commit that was done already is done again.
    CommitDoneTwice,
    /// The store does not look where it stands.
    NoCompareAndSwap,
    /// Unreadable lines are not kept.
    QuarantineForgotten,
    /// A file is given up without a word.
    GapForgotten,
    /// The cursor does not say which files are done, and no list of files is kept.
    DoneFilesForgotten,
    /// The first file of a listing marks all of them.
    AllFilesDoneAtOnce,
    /// The last file of a listing is left out.
    LastFileLeftOut,
    /// Windows reach into the future.
    WindowIntoTheFuture,
    /// Windows do not overlap.
    NoOverlap,
    /// What windows read twice is stored twice.
    RepeatsStored,
    /// Twins are taken for repeats.
    TwinsDropped,
    /// Only the first page of a window is read.
    FirstPageOnly,
    /// A fault on a window is taken for an empty answer.
    FaultTakenForEmpty,
    /// A fault on a file is taken for success.
    FaultTakenForFile,
    /// A damaged file is stored as far as it goes, as if it were whole.
    DamageTakenForWhole,
    /// A restart begins with a fresh gate.
    GateForgotten,
    /// The gate is written down after the login, not before.
    GateWrittenLate,
    /// Nobody looks whether the gate is closed.
    GateIgnored,
    /// Every feed has a gate of its own.
    GatePerFeed,
    /// Lock periods are half an hour too short.
    LockTooShort,
    /// What functions say about the credential does not reach the gate.
    GateNotTold,
    /// A good answer of a function never reaches the gate.
    SuccessNotTold,
    /// Calls are not counted.
    QuotaNotCounted,
    /// A restart begins with a fresh count.
    QuotaForgotten,
    /// Every feed counts for itself.
    QuotaPerFeed,
    /// Waits after a failure end at once.
    WaitsEndAtOnce,
    /// Halted feeds go on at once.
    HaltsEndAtOnce,
    /// Tries within a cycle are not counted.
    QuickTriesNotCounted,
    /// Fresh listings within a cycle are not counted.
    RelistsNotCounted,
    /// A restart forgets what held a feed back.
    StateForgotten,
    /// Codes in answers are not read.
    CodeNotRead,
    /// The service's own waiting time is not read.
    RetryAfterNotRead,
    /// A refused position is replaced by the present.
    RewoundToNow,
    /// Where a feed begins is worked out anew until something is stored.
    BeginningForgotten,
    /// Nobody notices that a position has become too old.
    AgeUnnoticed,
    /// The store takes more than it may.
    RoomIgnored,
    /// A sink's position moves although it refused.
    MovedWithoutReceipt,
    /// A batch taken in part counts as taken.
    PartTakenForWhole,
    /// A restart skips one event of each sink.
    SkippedAtRestart,
    /// What is sent again has another id.
    OtherIdWhenSentAgain,
    /// A dead letter is not kept.
    DeadLetterForgotten,
    /// A token that is refused is used on.
    LateTokenKept,
}

use Planted as P;

/// All of them, each with a seed whose story brings it to light. A change of the core changes the stories; then the
/// test looks for another seed and says which.
pub const FOUND: &[(Planted, u64)] = &[
    (P::CursorWithoutEvents, 0),
    (P::EventsWithoutCursor, 1),
    (P::CommitDoneTwice, 0),
    (P::QuarantineForgotten, 0),
    (P::GapForgotten, 8),
    (P::DoneFilesForgotten, 0),
    (P::AllFilesDoneAtOnce, 0),
    (P::LastFileLeftOut, 0),
    (P::WindowIntoTheFuture, 1),
    (P::NoOverlap, 1),
    (P::RepeatsStored, 1),
    (P::TwinsDropped, 1),
    (P::FirstPageOnly, 1),
    (P::FaultTakenForEmpty, 1),
    (P::FaultTakenForFile, 8),
    (P::DamageTakenForWhole, 14),
    (P::GateForgotten, 1),
    (P::GateWrittenLate, 28),
    (P::GateIgnored, 0),
    (P::GatePerFeed, 0),
    (P::LockTooShort, 3),
    (P::GateNotTold, 0),
    (P::WaitsEndAtOnce, 0),
    (P::QuickTriesNotCounted, 1),
    (P::CodeNotRead, 1),
    (P::RewoundToNow, 16),
    (P::BeginningForgotten, 16),
    (P::AgeUnnoticed, 16),
    (P::MovedWithoutReceipt, 3),
    (P::SkippedAtRestart, 0),
    (P::OtherIdWhenSentAgain, 0),
    (P::QuotaNotCounted, 2),
    (P::DeadLetterForgotten, 29),
    (P::StateForgotten, 11),
    (P::RetryAfterNotRead, 44),
    (P::HaltsEndAtOnce, 2),
    (P::NoCompareAndSwap, 9),
    (P::SuccessNotTold, 0),
    (P::QuotaForgotten, 38),
    (P::QuotaPerFeed, 2),
    (P::RelistsNotCounted, 28),
    (P::RoomIgnored, 111),
    (P::PartTakenForWhole, 9),
    (P::LateTokenKept, 0),
];
