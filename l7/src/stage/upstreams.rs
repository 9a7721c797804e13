//! Where connections to backends leave from: flows of the datapath, each for as long as the stack has its connection.
//!
//! Invariant: every flow that was opened belongs to a connection, is [`Upstreams::leaving`], or has been closed.

use std::collections::VecDeque;
use std::time::Duration;

use evenkeel_datapath::flow_table::FlowId;
use evenkeel_datapath::pipeline::Pipeline;
use evenkeel_datapath::snapshot::{BackendId, Snapshot};
use evenkeel_datapath::time::Time;
use evenkeel_tcp::{Addr, Buf, ConnectionId, Endpoint, Stack};

use super::tcp_time;
use crate::proxy::Locals;
use crate::proxy::site::Backend;

/// Connections that are looked at in one turn, whether the stack has let go of them.
const A_FEW: usize = 64;
/// How often that is looked at if nothing else happens.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Upstreams {
    /// By index of the connection.
    flows: Vec<Option<(ConnectionId, FlowId)>>,
    /// Of connections that the proxy has let go and the stack has not yet.
    leaving: VecDeque<(ConnectionId, FlowId)>,
    /// Drawn, and not yet anybody's.
    drawn: Option<FlowId>,
    next_look: Time,
}

impl Upstreams {
    /// Closes flows of connections that are no more; of those in TIME-WAIT too, whose other ends have said everything.
    pub(super) fn forget_some<B: Buf>(&mut self, stack: &Stack<B>, pipeline: &mut Pipeline, now: Time) {
        for _ in 0..self.leaving.len().min(A_FEW) {
            let Some((id, flow)) = self.leaving.pop_front() else { break };
            if stack.state(id).is_some() {
                self.leaving.push_back((id, flow));
            } else {
                pipeline.close_upstream(flow);
            }
        }
        self.next_look = now + LOOK_EVERY;
    }

    /// When it wants to be called next.
    pub(super) fn deadline(&self) -> Option<evenkeel_tcp::Time> {
        (!self.leaving.is_empty()).then_some(tcp_time(self.next_look))
    }
}

/// What it takes to draw the local end of a connection.
pub(super) struct Ways<'a> {
    pub(super) upstreams: &'a mut Upstreams,
    pub(super) pipeline: &'a mut Pipeline,
    pub(super) snapshot: &'a Snapshot,
    pub(super) now: Time,
}

impl Locals for Ways<'_> {
    fn draw(&mut self, to: Backend) -> Option<Endpoint> {
        let id = BackendId { slot: to.slot, epoch: to.epoch };
        // Why there is none the caller cannot help: it says that it has no room.
        let (flow, local) = self.pipeline.open_upstream(self.snapshot, self.now, id).ok()?;
        self.upstreams.drawn = Some(flow);
        Some(Endpoint { addr: Addr(local.addr.octets()), port: local.port })
    }

    fn drawn_for(&mut self, id: Option<ConnectionId>) {
        let Some(flow) = self.upstreams.drawn.take() else { return };
        let Some(id) = id else { return self.pipeline.close_upstream(flow) };
        let (flows, index) = (&mut self.upstreams.flows, id.index() as usize);
        if flows.len() <= index {
            flows.resize(index + 1, None);
        }
        if let Some(place) = flows.get_mut(index) {
            *place = Some((id, flow));
        }
    }

    fn let_go(&mut self, id: ConnectionId) {
        let place = self.upstreams.flows.get_mut(id.index() as usize);
        let its = place.and_then(|place| place.take_if(|(its, _)| *its == id));
        self.upstreams.leaving.extend(its);
    }
}
