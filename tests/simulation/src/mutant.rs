//! Faults that break a promise on purpose, put in around the machines. The checker must find each: one
//! that finds nothing proves nothing.

/// A fault of what stands around the machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// What a turn sends goes out before its commit, which then does not come.
    SentBeforeCommit,
    /// A turn's transaction is reported through and is not.
    CommitNotDurable,
    /// A restart loses the newest row of the log.
    LogRowLost,
    /// One in three ids of messages is not kept.
    DedupeRowLost,
    /// A restart loses the newest row of the journal.
    JournalRowLost,
    /// One in three people in a room is not stored there.
    RosterRowLost,
    /// One in three linked lobbies is not stored.
    LinkRowLost,
    /// A request between objects is answered by nobody, with "done".
    PushUnseen,
    /// Alarms never ring.
    AlarmForgotten,
    /// Timers never ring.
    TimerForgotten,
    /// The object does not hear that a socket is closed, and the socket stays with it.
    CloseSwallowed,
    /// After a sleep two sockets have each other's attachment.
    AttachmentsSwapped,
    /// A frame goes out twice.
    FrameTwice,
    /// Frames of a turn go out in the wrong order.
    FramesReversed,
    /// A frame is lost, and its connection goes on.
    FrameLost,
    /// Everyone's token opens everything.
    EveryoneMayAll,
    /// A membership's end is answered, and never done.
    ExpelForgotten,
    /// A client's recovery is granted, and what it missed is left out.
    MissedLeftOut,
    /// After a panic who waits for an answer out of the lost memory stays, and waits.
    WaitsForEver,
}

/// All of them.
pub const MUTANTS: &[Mutant] = &[
    Mutant::SentBeforeCommit,
    Mutant::CommitNotDurable,
    Mutant::LogRowLost,
    Mutant::DedupeRowLost,
    Mutant::JournalRowLost,
    Mutant::RosterRowLost,
    Mutant::LinkRowLost,
    Mutant::PushUnseen,
    Mutant::AlarmForgotten,
    Mutant::TimerForgotten,
    Mutant::CloseSwallowed,
    Mutant::AttachmentsSwapped,
    Mutant::FrameTwice,
    Mutant::FramesReversed,
    Mutant::FrameLost,
    Mutant::EveryoneMayAll,
    Mutant::ExpelForgotten,
    Mutant::MissedLeftOut,
    Mutant::WaitsForEver,
];
