//! Keeping neighbours alive: the kernel sees none of the traffic, so nothing else would.
//!
//! Since Linux 5.16 a neighbour can be "managed": the kernel resolves it and asks again before it gets stale. It is
//! also marked as learned by others, which exempts it from garbage collection: more backends than the kernel's table
//! holds by default (1,024) are all right. Older kernels ignore the first mark; the same request asks them once, and
//! the table comes back with it whenever the neighbour gets stale.

use std::net::IpAddr;

use rtnetlink::Handle;
use rtnetlink::packet_route::neighbour::{
    NeighbourAttribute, NeighbourExtFlags, NeighbourFlags, NeighbourState,
};
use tokio::sync::mpsc;
use tracing::debug;

use super::table::Upkeep;

/// Does what is asked until nobody can ask any more.
pub(crate) async fn run(handle: Handle, mut work: mpsc::Receiver<Upkeep>) {
    while let Some(Upkeep { keep, ask }) = work.recv().await {
        for (interface, address) in keep {
            request(&handle, interface, address, true).await;
        }
        for (interface, address) in ask {
            request(&handle, interface, address, false).await;
        }
    }
}

async fn request(handle: &Handle, interface: u32, address: IpAddr, keep: bool) {
    // "Use" leaves state and address of the neighbour as they are, and asks for it if that is due.
    let flags = if keep { NeighbourFlags::Use | NeighbourFlags::ExtLearned } else { NeighbourFlags::Use };
    let mut request =
        handle.neighbours().add(interface, address).state(NeighbourState::None).flags(flags).replace();
    if keep {
        request.message_mut().attributes.push(NeighbourAttribute::ExtFlags(NeighbourExtFlags::Managed));
    }
    // Fails while the interface is down, for one; the table asks again.
    if let Err(error) = request.execute().await {
        debug!(%address, interface, %error, keep, "the kernel refused to ask for a neighbour");
    }
}
