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
    /// Nobody notices that a position has become too old, nor what expires while it is read.
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
    /// Windows follow our clock, wherever it is set.
    ClockTakenForMimecasts,
    /// What the gate waits for does not move when our clock is set.
    LockMovesWithTheClock,
    /// A wait written down by a clock that was ahead is taken at its word.
    AheadTakenAtItsWord,
    /// A feed that the configuration does not name any more goes on.
    RemovedFeedGoesOn,
    /// A feed that is added again begins in the present.
    AddedFeedBeginsAnew,
    /// An answer that trickles is waited for without end.
    DripWaitedFor,
    /// What has trickled in when the time is up counts as the file.
    DripTakenForWhole,
}

use Planted as P;

/// All of them, each with a seed whose story brings it to light. A change of the core changes the stories; then the
/// test looks for another seed and says which.
pub const FOUND: &[(Planted, u64)] = &[
    (P::CursorWithoutEvents, 0),
    (P::EventsWithoutCursor, 0),
    (P::CommitDoneTwice, 0),
    (P::QuarantineForgotten, 0),
    (P::GapForgotten, 16),
    (P::DoneFilesForgotten, 0),
    (P::AllFilesDoneAtOnce, 0),
    (P::LastFileLeftOut, 0),
    (P::WindowIntoTheFuture, 1),
    (P::NoOverlap, 1),
    (P::RepeatsStored, 1),
    (P::TwinsDropped, 1),
    (P::FirstPageOnly, 1),
    (P::FaultTakenForEmpty, 1),
    (P::FaultTakenForFile, 1),
    (P::DamageTakenForWhole, 1),
    (P::GateForgotten, 3),
    (P::GateWrittenLate, 6),
    (P::GateIgnored, 0),
    (P::GatePerFeed, 1),
    (P::LockTooShort, 2),
    (P::GateNotTold, 0),
    (P::WaitsEndAtOnce, 0),
    (P::QuickTriesNotCounted, 2),
    (P::CodeNotRead, 1),
    (P::RewoundToNow, 0),
    (P::BeginningForgotten, 10),
    (P::AgeUnnoticed, 16),
    (P::MovedWithoutReceipt, 18),
    (P::SkippedAtRestart, 0),
    (P::OtherIdWhenSentAgain, 0),
    (P::QuotaNotCounted, 1),
    (P::DeadLetterForgotten, 9),
    (P::StateForgotten, 22),
    (P::RetryAfterNotRead, 44),
    (P::HaltsEndAtOnce, 4),
    (P::NoCompareAndSwap, 32),
    (P::SuccessNotTold, 0),
    (P::QuotaForgotten, 26),
    (P::QuotaPerFeed, 1),
    (P::RelistsNotCounted, 61),
    (P::RoomIgnored, 1),
    (P::PartTakenForWhole, 93),
    (P::LateTokenKept, 0),
    (P::ClockTakenForMimecasts, 4),
    (P::LockMovesWithTheClock, 15),
    (P::AheadTakenAtItsWord, 117),
    (P::RemovedFeedGoesOn, 3),
    (P::AddedFeedBeginsAnew, 3),
    (P::DripWaitedFor, 25),
    (P::DripTakenForWhole, 11),
];
