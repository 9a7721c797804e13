//! What a service or backend must fulfil to be added at run time: the checks that the file gets from `evenkeel-config`,
//! with the fields of requests.

use std::net::{IpAddr, SocketAddr};

use evenkeel_config::{Config, Mode, limits, units};
use evenkeel_datapath::maglev::is_prime;

use super::{DesiredState, NewService, Service};
use crate::protocol::{BackendSpec, Refusal, RefusalKind};

impl DesiredState {
    pub(super) fn check_service(&self, wanted: &NewService) -> Result<(), Refusal> {
        let refuse = |kind, field, message: String| Err(Refusal::new(kind, message).field(field));
        if let Err(problem) = units::service_name(&wanted.name) {
            return refuse(RefusalKind::BadValue, "service", problem);
        }
        if self.services.iter().any(|known| known.name == wanted.name) {
            let message = format!("there is a service {:?} already", wanted.name);
            return refuse(RefusalKind::Duplicate, "service", message);
        }
        let same_vip = |known: &&Service| known.vip == wanted.vip && known.protocol == wanted.protocol;
        if let Some(known) = self.services.iter().find(same_vip) {
            let message =
                format!("{} {} is the VIP of {:?} already", wanted.vip, wanted.protocol, known.name);
            return refuse(RefusalKind::Duplicate, "vip", message);
        }
        if self.config.full_nat.local_addresses.contains(&wanted.vip.ip()) {
            let message = format!("{} is an address that full NAT sends from", wanted.vip.ip());
            return refuse(RefusalKind::Conflict, "vip", message);
        }
        let slots = limits::MAGLEV_TABLE;
        if !slots.contains(&u64::from(wanted.maglev_table)) || !is_prime(wanted.maglev_table) {
            let message =
                format!("{} is not a prime of {} to {}", wanted.maglev_table, slots.start(), slots.end());
            return refuse(RefusalKind::BadValue, "maglev_table", message);
        }
        let same_family = |local: &IpAddr| local.is_ipv4() == wanted.vip.is_ipv4();
        if wanted.mode == Mode::FullNat && !self.config.full_nat.local_addresses.iter().any(same_family) {
            let message =
                "full NAT needs an address of the VIP's family in full_nat.local_addresses".to_owned();
            return refuse(RefusalKind::Conflict, "mode", message);
        }
        Ok(())
    }

    pub(super) fn check_backend(
        &self,
        service: &Service,
        wanted: &BackendSpec,
        path: &str,
    ) -> Result<(), Refusal> {
        let field = if path.is_empty() { "backend".to_owned() } else { format!("{path}address") };
        let refuse = |kind, message: String| Err(Refusal::new(kind, message).field(field.as_str()));
        let address = wanted.address;
        if service.backends.iter().any(|known| known.address == address) {
            let message = format!("the service {:?} has a backend {address} already", service.name);
            return refuse(RefusalKind::Duplicate, message);
        }
        if address.is_ipv4() != service.vip.is_ipv4() {
            let message = format!("{address} and the VIP {} are of different families", service.vip);
            return refuse(RefusalKind::Conflict, message);
        }
        if service.mode == Mode::DsrMac && address.port() != service.vip.port() {
            let message = format!(
                "DSR changes no port: the backend's must be the VIP's, {}, and not {}",
                service.vip.port(),
                address.port()
            );
            return refuse(RefusalKind::Conflict, message);
        }
        if service.mode == Mode::DsrMac && !is_on_link(&self.config, address) {
            let message = format!("DSR by MAC reaches only neighbours: {address} is in no port's subnet");
            return refuse(RefusalKind::Conflict, message);
        }
        match wanted.weight {
            Some(chosen) => weight(chosen, &format!("{path}weight")),
            None => Ok(()),
        }
    }
}

/// Refuses weights past the bound.
pub(super) fn weight(weight: u32, field: &str) -> Result<(), Refusal> {
    let allowed = limits::WEIGHT;
    if allowed.contains(&u64::from(weight)) {
        return Ok(());
    }
    let message = format!("a weight is {} to {}, and not {weight}", allowed.start(), allowed.end());
    Err(Refusal::new(RefusalKind::BadValue, message).field(field))
}

fn is_on_link(config: &Config, backend: SocketAddr) -> bool {
    let subnets = config.ports.iter().flat_map(|port| &port.addresses);
    subnets.into_iter().any(|subnet| subnet.contains(backend.ip()))
        || config.neighbors.iter().any(|neighbor| neighbor.address == backend.ip())
}
