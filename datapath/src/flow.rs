//! What a flow is, seen from outside.

use crate::key::{Endpoint, Protocol};
use crate::snapshot::{BackendId, ServiceSlot};

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
    /// TCP: both have sent FIN, or one a RST.
    Closed = 5,
    /// UDP: only the client has been heard.
    OneWay = 6,
    /// UDP: both sides have been heard.
    TwoWay = 7,
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
