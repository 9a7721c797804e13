//! Reading the kernel's tables whole.

use std::net::{Ipv4Addr, Ipv6Addr};

use futures_util::{Stream, TryStreamExt};
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::route::{RouteMessage, RouteProtocol, RouteType};
use rtnetlink::{Error, Handle, RouteMessageBuilder};

use super::event::{Family, KernelRoute, Outdated};
use super::table::Table;
use super::translate;

/// Reads what is outdated into `table`.
pub(crate) async fn outdated(handle: &Handle, table: &mut Table, outdated: Outdated) -> Result<(), Error> {
    if outdated.neighbours {
        let mut neighbours = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut dump = handle.neighbours().get().set_address_family(family).execute();
            while let Some(message) = dump.try_next().await? {
                neighbours.extend(translate::neighbour(&message));
            }
        }
        table.replace_neighbours(neighbours);
    }
    if outdated.routes_v4 {
        let request = main_table(RouteMessageBuilder::<Ipv4Addr>::new().build());
        table.replace_routes(Family::V4, routes(handle.route().get(request).execute()).await?);
    }
    if outdated.routes_v6 {
        let request = main_table(RouteMessageBuilder::<Ipv6Addr>::new().build());
        table.replace_routes(Family::V6, routes(handle.route().get(request).execute()).await?);
    }
    Ok(())
}

/// A request for the whole main table of the family of `route`.
fn main_table(mut route: RouteMessage) -> RouteMessage {
    route.header.protocol = RouteProtocol::Unspec;
    route.header.kind = RouteType::Unspec;
    route
}

async fn routes(dump: impl Stream<Item = Result<RouteMessage, Error>>) -> Result<Vec<KernelRoute>, Error> {
    dump.try_filter_map(|message| std::future::ready(Ok(translate::route(&message)))).try_collect().await
}
