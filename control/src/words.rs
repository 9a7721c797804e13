//! From the configuration's words to the datapath's and back.

use evenkeel_config as config;
use evenkeel_datapath::key::Protocol;
use evenkeel_datapath::snapshot::{BackendState, Mode};

pub(crate) const fn protocol(word: config::Protocol) -> Protocol {
    match word {
        config::Protocol::Tcp => Protocol::Tcp,
        config::Protocol::Udp => Protocol::Udp,
    }
}

pub(crate) const fn protocol_word(protocol: Protocol) -> config::Protocol {
    match protocol {
        Protocol::Tcp => config::Protocol::Tcp,
        Protocol::Udp => config::Protocol::Udp,
    }
}

pub(crate) const fn mode(word: config::Mode) -> Mode {
    match word {
        config::Mode::FullNat => Mode::FullNat,
        config::Mode::Nat => Mode::Nat,
        config::Mode::DsrMac => Mode::DsrMac,
        config::Mode::L7 => Mode::L7,
    }
}

pub(crate) const fn state_word(state: BackendState) -> config::BackendState {
    match state {
        BackendState::Active => config::BackendState::Active,
        BackendState::Draining { .. } => config::BackendState::Draining,
        BackendState::Down => config::BackendState::Down,
    }
}
