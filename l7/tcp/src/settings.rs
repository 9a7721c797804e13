//! What a stack, a listener and a connection are told when they are made.

use core::time::Duration;

/// How a stack of one worker is made. Every table has its full size from the start, so that nothing ever rehashes.
#[derive(Clone, Debug)]
pub struct Config {
    /// The most connections at one time, those not yet accepted included; at most 2^24.
    pub max_connections: u32,
    /// The most connections remembered in TIME-WAIT; the oldest is forgotten for a new one. At most 2^24.
    pub max_time_wait: u32,
    /// Octets of buffers, counted by true size, that all connections together may hold.
    pub memory: u64,
    /// How long a closed connection is remembered: twice the MSL (RFC 9293, section 3.4.2).
    pub time_wait: Duration,
    /// Who fills in and verifies checksums.
    pub checksums: Checksums,
    /// Challenge ACKs (RFC 5961, section 7) and resets that a stack sends in a second at most, each.
    pub answers_per_second: u32,
    /// Traced steps that a connection remembers once it is traced.
    pub trace_length: u16,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_connections: 65_536,
            max_time_wait: 65_536,
            memory: 1 << 30,
            time_wait: Duration::from_secs(60),
            checksums: Checksums::Whole,
            answers_per_second: 1_000,
            trace_length: 128,
        }
    }
}

/// Who fills in and verifies TCP checksums.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Checksums {
    /// The stack verifies and fills in whole checksums.
    #[default]
    Whole,
    /// The device verifies; it also fills in, from the sum of the pseudo-header, which the stack puts into the field.
    Offloaded,
    /// Nobody does: both ends share memory.
    Absent,
}

/// How a connection behaves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// The MTU of the route: segments are no larger, until ICMP says that they have to be smaller still.
    pub mtu: u16,
    /// What waits to be sent or acknowledged at first, by true size; no more than `send_buffer`.
    pub initial_send_buffer: u32,
    /// The same at most. In between, the budget follows what the path carries: twice the congestion window, or twice the other side's
    /// receive window if that is less, so that a window can be on its way while the application fills up the next one. It does not
    /// grow while the memory of all connections is scarce ([`Config::memory`]). [`Event::Writable`](crate::Event::Writable) comes when half
    /// of the budget is free again. The buffer that reaches the budget is still taken, whole.
    pub send_buffer: u32,
    /// The receive window at first, which grows as the application reads up to `receive_buffer`.
    pub initial_window: u32,
    /// Octets received and not yet read, or on their way, at most. What buffers weigh beyond what they carry may be as much again.
    pub receive_buffer: u32,
    /// Small segments are sent at once: Nagle's algorithm is off (RFC 9293, section 3.7.4).
    pub no_delay: bool,
    /// Probes on a silent connection (RFC 9293, section 3.8.4); off by default, as MUST-25 says.
    pub keepalive: Option<Keepalive>,
    /// A connection whose data is not acknowledged for so long is given up (RFC 9293, section 3.8.3, R2); `None`: after
    /// [`Settings::retries`] alone.
    pub user_timeout: Option<Duration>,
    /// Retransmissions of the same data before a connection is given up.
    pub retries: u8,
    /// Retransmissions of a SYN, or of the answer to one, before it is given up: seven take 183 seconds (RFC 9293, MUST-23: three minutes
    /// at least). Those of [`Settings::steady_syns`] come on top.
    pub syn_retries: u8,
    /// So many retransmissions of a SYN come a second after one another, before each takes twice the time of the last: four, as
    /// Linux has it since 6.5, so that a short spell of losses does not keep a client waiting for long. With none it is RFC 6298,
    /// section 5.5, to the letter. Answers to a SYN double from the first on.
    pub steady_syns: u8,
    /// The least retransmission timeout: 200 ms towards clients.
    pub min_rto: Duration,
    /// How long the other end may delay its acknowledgements, if the least timeout is shorter than that: the margin that is
    /// added to a timeout for a single segment.
    pub delayed_ack_margin: Duration,
    /// Congestion control.
    pub congestion: Congestion,
    /// SACK is offered (RFC 2018).
    pub sack: bool,
    /// Timestamps are offered (RFC 7323).
    pub timestamps: bool,
    /// Window scaling is offered (RFC 7323).
    pub window_scaling: bool,
    /// Explicit congestion notification is offered, and agreed to where it is offered (RFC 3168).
    pub ecn: bool,
    /// How long a connection that the application has let go waits for the other end's FIN.
    pub fin_wait: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mtu: 1500,
            initial_send_buffer: 64 << 10,
            send_buffer: 4 << 20,
            initial_window: 64 << 10,
            receive_buffer: 6 << 20,
            no_delay: false,
            keepalive: None,
            user_timeout: None,
            retries: 15,
            syn_retries: 7,
            steady_syns: 4,
            min_rto: Duration::from_millis(200),
            delayed_ack_margin: Duration::ZERO,
            congestion: Congestion::Cubic,
            sack: true,
            timestamps: true,
            window_scaling: true,
            ecn: true,
            fin_wait: Duration::from_secs(60),
        }
    }
}

impl Settings {
    /// Towards a backend that is near: a timeout may be as short as 5 ms, and a delayed acknowledgement does not trip it.
    #[must_use]
    pub fn towards_backends() -> Self {
        Self {
            min_rto: Duration::from_millis(5),
            delayed_ack_margin: Duration::from_millis(40),
            no_delay: true,
            ..Self::default()
        }
    }
}

/// How a sender finds out how much the network carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Congestion {
    /// RFC 9438 with HyStart++ (RFC 9406).
    #[default]
    Cubic,
    /// RFC 5681 and 6582.
    NewReno,
}

/// Probes on a silent connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Keepalive {
    /// Silence before the first probe: two hours by default (RFC 9293, MUST-28).
    pub idle: Duration,
    /// Between probes.
    pub interval: Duration,
    /// Probes without an answer before the connection is given up.
    pub probes: u8,
}

impl Default for Keepalive {
    fn default() -> Self {
        Self { idle: Duration::from_secs(7_200), interval: Duration::from_secs(75), probes: 9 }
    }
}

/// How a listener is made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListenerConfig {
    /// Connections that have sent a SYN and nothing more, at most; above that, SYN cookies answer without any memory.
    pub syn_queue: u32,
    /// Connections that are established and wait to be accepted, at most; above that, SYNs are dropped.
    pub accept_queue: u32,
    /// Connections of this listener behave so.
    pub settings: Settings,
}

impl Default for ListenerConfig {
    fn default() -> Self {
        Self { syn_queue: 1_024, accept_queue: 1_024, settings: Settings::default() }
    }
}
