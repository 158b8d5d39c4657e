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
}

use Planted as P;

/// Mistakes that the stories of a few seeds bring to light.
pub const FOUND: &[Planted] = &[
    P::CursorWithoutEvents,
    P::EventsWithoutCursor,
    P::CommitDoneTwice,
    P::QuarantineForgotten,
    P::GapForgotten,
    P::DoneFilesForgotten,
    P::AllFilesDoneAtOnce,
    P::LastFileLeftOut,
    P::WindowIntoTheFuture,
    P::NoOverlap,
    P::RepeatsStored,
    P::TwinsDropped,
    P::FirstPageOnly,
    P::FaultTakenForEmpty,
    P::FaultTakenForFile,
    P::DamageTakenForWhole,
    P::GateForgotten,
    P::GateWrittenLate,
    P::GateIgnored,
    P::GatePerFeed,
    P::LockTooShort,
    P::GateNotTold,
    P::WaitsEndAtOnce,
    P::QuickTriesNotCounted,
    P::CodeNotRead,
    P::RewoundToNow,
    P::BeginningForgotten,
    P::AgeUnnoticed,
    P::MovedWithoutReceipt,
    P::SkippedAtRestart,
    P::OtherIdWhenSentAgain,
    P::QuotaNotCounted,
    P::DeadLetterForgotten,
    P::StateForgotten,
    P::RetryAfterNotRead,
    P::HaltsEndAtOnce,
];

/// Mistakes that need rarer stories: only for a hunt by hand, with `PLANTED` and many seeds.
pub const RARE: &[Planted] = &[
    P::NoCompareAndSwap,
    P::SuccessNotTold,
    P::QuotaForgotten,
    P::QuotaPerFeed,
    P::RelistsNotCounted,
    P::RoomIgnored,
    P::PartTakenForWhole,
];
