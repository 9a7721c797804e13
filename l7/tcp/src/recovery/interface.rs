//! What goes into `Recovery` and what comes out of it: ranges, acknowledgements, outcomes, actions.

pub use crate::Range;
use crate::SequenceNumber;

/// A duration in microseconds; the longest is some 71 minutes.
pub type Micros = u32;

/// The timestamp that an acknowledgement echoes (RFC 7323, section 3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Echo {
    /// TSecr as it came.
    pub value: u32,
    /// How long ago this value was the one of our timestamp clock, in microseconds, rounded up to the clock's tick.
    pub age: Micros,
}

/// An acknowledgement that the connection found acceptable (RFC 9293, section 3.10.7.4; RFC 5961, section 5).
#[derive(Clone, Copy, Debug, Default)]
pub struct Ack<'a> {
    /// The acknowledgement field: the octet that the peer expects next.
    pub number: SequenceNumber,
    /// The SACK blocks in the order in which they came; a DSACK (RFC 2883) is the first. At most four are looked at.
    pub sack: &'a [Range],
    /// A duplicate in the sense of RFC 5681, section 2: no payload, no SYN or FIN, the window as before. Whether `number`
    /// moved and whether data is outstanding is checked here. It only matters to peers without SACK.
    pub duplicate: bool,
    /// The echoed timestamp, if the option is in use and the ACK bit made it valid.
    pub echo: Option<Echo>,
    /// The ECE flag, if ECN was negotiated.
    pub ecn_echo: bool,
}

/// Why octets go out again. Each retransmission has exactly one cause.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u8)]
pub enum Cause {
    /// Three duplicate acknowledgements of a peer without SACK (RFC 5681, section 3.2).
    Fast,
    /// A partial acknowledgement of a peer without SACK (RFC 6582, section 3.2).
    Partial,
    /// RACK: something sent later has arrived (RFC 8985, section 6).
    #[default]
    Rack,
    /// A tail loss probe (RFC 8985, section 7).
    Probe,
    /// The retransmission timeout (RFC 6298, section 5).
    Timeout,
}

/// What is to be sent again next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retransmission {
    /// At most one segment's worth of octets.
    pub range: Range,
    /// Why.
    pub cause: Cause,
}

/// Why a reduction of the congestion window was taken back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Undo {
    /// The acknowledgement echoes a timestamp older than the retransmission (RFC 3522, RFC 4015).
    Timestamp,
    /// Every octet that went out again was reported as a duplicate (RFC 2883, RFC 3708).
    Dsack,
    /// After a timeout, data that never went out again was acknowledged (RFC 5682).
    Timeout,
}

/// What an acknowledgement brought about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Outcome {
    /// Octets newly acknowledged cumulatively: release as many from the send buffer.
    pub acknowledged: u32,
    /// Octets that the peer is newly known to have, cumulatively or by SACK.
    pub delivered: u32,
    /// Octets newly taken for lost; zero or more of them will come out of `next_retransmission`.
    pub lost: u32,
    /// The round-trip time that this acknowledgement measured, if it did.
    pub rtt: Option<Micros>,
    /// A reduction of the congestion window was taken back.
    pub undo: Option<Undo>,
    /// Loss recovery began with this acknowledgement (fast recovery; a timeout's begins in `timer_expired`).
    pub entered_recovery: bool,
    /// Loss recovery ended with this acknowledgement.
    pub left_recovery: bool,
    /// The window was reduced because of ECN: the caller says so with CWR (RFC 3168, section 6.1.2).
    pub congestion_experienced: bool,
    /// A tail loss probe repaired a loss (RFC 8985, section 7.4).
    pub probe_recovered: bool,
    /// It carried a DSACK.
    pub duplicate_sack: bool,
    /// How many SACK blocks made no sense and were passed over.
    pub sack_refused: u8,
    /// Something arrived later than what was sent after it.
    pub reordered: bool,
}

/// What an expired timer asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Nothing: the deadline was not due after all, or only housekeeping was.
    None,
    /// Call `next_retransmission` and `may_send` again: losses were found (RACK's reordering timer) or the pacer lets more go.
    Transmit,
    /// A tail loss probe (RFC 8985, section 7.3): send one segment of new data if there is any that the peer's window
    /// allows (`may_send` allows for one), or else this again.
    Probe(Retransmission),
    /// The retransmission timeout expired for the nth time in a row, counted from 1: `next_retransmission` has the first
    /// segment. Giving up (RFC 9293, section 3.8.3; RFC 5482) is the caller's decision.
    Timeout(u8),
}

/// Where loss recovery stands, in Linux's terms.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Stage {
    /// Nothing unusual.
    #[default]
    Open,
    /// Something arrived out of order, or was lost.
    Disorder,
    /// Fast recovery, or a reduction that ECN asked for.
    Recovery,
    /// After a retransmission timeout.
    Loss,
}

/// What TCP_INFO tells of loss recovery. Windows and amounts are octets, times microseconds; zero where nothing is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RecoveryInfo {
    /// Where recovery stands.
    pub stage: Stage,
    /// The congestion window.
    pub window: u32,
    /// The slow-start threshold.
    pub threshold: u32,
    /// SND.NXT - SND.UNA.
    pub outstanding: u32,
    /// What of it is thought to be in the network.
    pub in_flight: u32,
    /// What of it the peer has beyond SND.UNA.
    pub sacked: u32,
    /// What of it is taken for lost and was not sent again.
    pub lost: u32,
    /// What of it was sent again and is in the network.
    pub resent: u32,
    /// The retransmission timeout.
    pub rto: Micros,
    /// Timeouts in a row.
    pub backoff: u8,
    /// SRTT.
    pub smoothed: Micros,
    /// RTTVAR.
    pub variation: Micros,
    /// The least round trip of the last minutes.
    pub minimum: Micros,
    /// The path has reordered segments.
    pub reordering_seen: bool,
    /// Octets a second that the pacer lets go; zero if it does not pace.
    pub pacing_rate: u64,
}
