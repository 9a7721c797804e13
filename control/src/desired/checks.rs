//! What a service or backend must fulfil to be added at run time: what `evenkeel-config` checks of a file, told in the
//! fields of requests.

use evenkeel_config::{self as config, Config, Severity, limits, units};
use evenkeel_datapath::maglev::is_prime;

use super::{DesiredState, NewService, Service};
use crate::protocol::{BackendSpec, Refusal, RefusalKind};
use crate::words;

impl DesiredState {
    /// What is wrong with a service by itself, or because it is there already.
    pub(super) fn check_new_service(&self, wanted: &NewService) -> Result<(), Refusal> {
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
        let slots = limits::MAGLEV_TABLE;
        if !slots.contains(&u64::from(wanted.maglev_table)) || !is_prime(wanted.maglev_table) {
            let message =
                format!("{} is not a prime of {} to {}", wanted.maglev_table, slots.start(), slots.end());
            return refuse(RefusalKind::BadValue, "maglev_table", message);
        }
        for (at, backend) in wanted.backends.iter().enumerate() {
            check_new_backend(wanted.backends[..at].iter().map(|earlier| earlier.address), backend).map_err(
                |(kind, field, message)| Refusal::new(kind, message).field(format!("backends[{at}].{field}")),
            )?;
        }
        Ok(())
    }

    /// The same of a backend.
    pub(super) fn check_new_backend(service: &Service, wanted: &BackendSpec) -> Result<(), Refusal> {
        check_new_backend(service.backends.iter().map(|known| known.address), wanted).map_err(
            |(kind, field, message)| {
                let field = if field == "address" { "backend" } else { field };
                Refusal::new(kind, message).field(field)
            },
        )
    }

    /// What is wrong with all of it together. `field_of` names the request's field for a value of the configuration
    /// inside `service[at].`; what is found elsewhere comes from the field `otherwise`.
    pub(super) fn check_together(
        &self,
        at: usize,
        field_of: impl Fn(&str) -> String,
        otherwise: &str,
    ) -> Result<(), Refusal> {
        let findings = self.as_config().check();
        let Some(error) = findings.iter().find(|finding| finding.severity == Severity::Error) else {
            return Ok(());
        };
        let inside = error.path.strip_prefix(&format!("service[{at}]."));
        let field = inside.map_or_else(|| otherwise.to_owned(), field_of);
        let details = [Some(&error.label), error.help.as_ref()];
        let details = details.into_iter().flatten().filter(|detail| !detail.is_empty());
        let message = details.fold(error.message.clone(), |message, detail| format!("{message}: {detail}"));
        Err(Refusal::new(RefusalKind::Conflict, message).field(field))
    }

    /// What is wanted, as a file would say it.
    fn as_config(&self) -> Config {
        let backend = |backend: &super::Backend| config::Backend {
            address: backend.address,
            weight: backend.weight,
            state: words::state_word(backend.state),
            pool: backend.pool.clone(),
        };
        let service = |service: &Service| config::Service {
            name: service.name.clone(),
            vip: service.vip,
            protocol: service.protocol,
            mode: service.mode,
            maglev_table: service.maglev_table,
            respond: service.respond.clone(),
            site: service.site.as_ref().clone(),
            backends: service.backends.iter().map(backend).collect(),
        };
        let fixed = self.config.as_ref();
        Config {
            services: self.services.iter().map(service).collect(),
            balancer: config::Balancer {
                // How many there may be is a matter of free slots.
                max_services: u32::MAX,
                max_backends: u32::MAX,
                ..fixed.balancer.clone()
            },
            ..fixed.clone()
        }
    }
}

type Flaw = (RefusalKind, &'static str, String);

fn check_new_backend(
    mut known: impl Iterator<Item = std::net::SocketAddr>,
    wanted: &BackendSpec,
) -> Result<(), Flaw> {
    if known.any(|known| known == wanted.address) {
        let message = format!("the service has a backend {} already", wanted.address);
        return Err((RefusalKind::Duplicate, "address", message));
    }
    wanted.weight.map_or(Ok(()), |chosen| weight(chosen).map_err(|(kind, message)| (kind, "weight", message)))
}

/// Refuses weights past the bound.
pub(super) fn weight(weight: u32) -> Result<(), (RefusalKind, String)> {
    let allowed = limits::WEIGHT;
    if allowed.contains(&u64::from(weight)) {
        return Ok(());
    }
    Err((
        RefusalKind::BadValue,
        format!("a weight is {} to {}, and not {weight}", allowed.start(), allowed.end()),
    ))
}
