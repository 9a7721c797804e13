//! What a flow is, seen from outside.

use crate::key::{Endpoint, Protocol};
use crate::snapshot::{BackendId, ServiceSlot};
use crate::wire::tcp;

/// How far a flow has come.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(u8)]
pub enum FlowState {
    /// The place in the table is free.
    #[default]
    Free = 0,
    /// TCP: a SYN, and no answer yet.
    Handshake = 1,
    /// TCP: open.
    Established = 2,
    /// TCP: the client has sent FIN.
    ClientClosed = 3,
    /// TCP: the backend has sent FIN.
    BackendClosed = 4,
    /// TCP: both have sent FIN.
    Closed = 5,
    /// UDP: only the client has been heard.
    OneWay = 6,
    /// UDP: both sides have been heard.
    TwoWay = 7,
    /// TCP: the client has sent RST. If it goes on talking, the RST was not its own (RFC 5961's attacker): open again.
    ClientReset = 8,
    /// TCP: the backend has sent RST; likewise.
    BackendReset = 9,
    /// TCP: its backend keeps no flows any more. Whatever its ends still send is answered by resets, and it stays cut.
    Cut = 10,
    /// TCP: a connection of the layer 7 stage's own to the backend. Its local end stands in the client's place, and it lasts until the
    /// stage closes it.
    Upstream = 11,
}

const fn bit(state: FlowState) -> u32 {
    1 << state as u32
}

/// Which way a packet of a flow goes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Direction {
    /// From the client.
    Forward,
    /// From the backend.
    Reverse,
}

impl FlowState {
    /// How many states there are.
    pub const COUNT: usize = 12;

    /// All of them, in order of their number.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Free,
        Self::Handshake,
        Self::Established,
        Self::ClientClosed,
        Self::BackendClosed,
        Self::Closed,
        Self::OneWay,
        Self::TwoWay,
        Self::ClientReset,
        Self::BackendReset,
        Self::Cut,
        Self::Upstream,
    ];

    /// The state of a new flow whose first packet has these TCP `flags` (`None` for UDP).
    #[must_use]
    pub const fn at_first(flags: Option<u8>) -> Self {
        match flags {
            None => Self::OneWay,
            Some(flags) if flags & tcp::RST != 0 => Self::ClientReset,
            Some(flags) if flags & tcp::FIN != 0 => Self::ClientClosed,
            Some(flags) if flags & tcp::SYN != 0 => Self::Handshake,
            Some(_) => Self::Established,
        }
    }

    /// The state after a packet. [`FlowState::Free`] says that the flow is over at once: its handshake was reset.
    /// `one_sided` is true where the backend's packets do not come this way (DSR).
    #[must_use]
    #[inline]
    pub const fn after(self, direction: Direction, flags: Option<u8>, one_sided: bool) -> Self {
        let Some(flags) = flags else {
            return match direction {
                Direction::Forward => self,
                Direction::Reverse => Self::TwoWay,
            };
        };
        if matches!(self, Self::Established) && flags & (tcp::RST | tcp::FIN) == 0 {
            return self; // nearly all packets
        }
        let forward = matches!(direction, Direction::Forward);
        if flags & tcp::RST != 0 {
            return match self {
                Self::Handshake => Self::Free,
                Self::ClientReset | Self::BackendReset | Self::Cut | Self::Upstream => self,
                _ if forward => Self::ClientReset,
                _ => Self::BackendReset,
            };
        }
        if flags & tcp::FIN != 0 {
            return match self {
                Self::Closed | Self::Cut | Self::Upstream => self,
                Self::BackendClosed if forward => Self::Closed,
                Self::ClientClosed if !forward => Self::Closed,
                _ if forward => Self::ClientClosed,
                _ => Self::BackendClosed,
            };
        }
        match self {
            Self::Handshake if forward && one_sided && flags & tcp::ACK != 0 => Self::Established,
            Self::Handshake if !forward && flags & tcp::SYN != 0 => Self::Established,
            Self::ClientReset if forward => Self::Established,
            Self::BackendReset if !forward => Self::Established,
            state => state,
        }
    }

    /// True if a packet in this direction with none of SYN, FIN and RST leaves the state as [`FlowState::after`] has it: as
    /// it is.
    #[must_use]
    #[inline]
    pub const fn is_steady(self, direction: Direction, one_sided: bool) -> bool {
        const OPEN: u32 = bit(FlowState::Established)
            | bit(FlowState::ClientClosed)
            | bit(FlowState::BackendClosed)
            | bit(FlowState::Closed)
            | bit(FlowState::TwoWay);
        let steady = match direction {
            Direction::Forward => OPEN | bit(Self::OneWay) | bit(Self::BackendReset),
            Direction::Reverse => OPEN | bit(Self::ClientReset),
        };
        let steady = if one_sided { steady } else { steady | bit(Self::Handshake) };
        steady >> self as u32 & 1 == 1
    }

    /// True if both sides are done, so that a SYN on the same tuple is a new connection.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Free | Self::Closed | Self::ClientReset | Self::BackendReset | Self::Cut)
    }

    /// True if both ends have a TCP connection, as far as is known, or are being told that they have it no more.
    #[must_use]
    pub const fn has_ends_to_reset(self) -> bool {
        matches!(self, Self::Established | Self::ClientClosed | Self::BackendClosed | Self::Cut)
    }

    /// The name in JSON and on the terminal.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Handshake => "handshake",
            Self::Established => "established",
            Self::ClientClosed => "client-closed",
            Self::BackendClosed => "backend-closed",
            Self::Closed => "closed",
            Self::OneWay => "one-way",
            Self::TwoWay => "two-way",
            Self::ClientReset => "client-reset",
            Self::BackendReset => "backend-reset",
            Self::Cut => "cut",
            Self::Upstream => "upstream",
        }
    }
}

/// One flow, copied out of the table for a person or a test.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FlowView {
    /// The client.
    pub client: Endpoint,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The service.
    pub service: ServiceSlot,
    /// The backend that it is assigned to.
    pub backend: BackendId,
    /// Full NAT: index of the local address, and the port.
    pub local: Option<(u8, u16)>,
    /// How far it has come.
    pub state: FlowState,
    /// Milliseconds since its last packet.
    pub idle_ms: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_state_is_one_that_a_quiet_packet_leaves() {
        for state in FlowState::ALL {
            let is_udp = matches!(state, FlowState::OneWay | FlowState::TwoWay);
            let flags = (!is_udp).then_some(tcp::ACK);
            for (direction, one_sided) in
                [(Direction::Forward, false), (Direction::Forward, true), (Direction::Reverse, false)]
            {
                let is_flow = !matches!(state, FlowState::Free | FlowState::Cut | FlowState::Upstream);
                let stays = is_flow && state.after(direction, flags, one_sided) == state;
                assert_eq!(
                    state.is_steady(direction, one_sided),
                    stays,
                    "{state:?} {direction:?} {one_sided}"
                );
            }
        }
    }
}
