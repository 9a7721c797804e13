//! What is served: as the control thread says it, and as connections look it up.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use evenkeel_datapath::snapshot::{ForL7, ServiceSlot};
use evenkeel_tcp::Endpoint;

use crate::Page;

/// All services at layer 7: what a snapshot carries for the stage.
#[derive(Debug, Default)]
pub struct Services(pub Vec<Service>);

/// A service at layer 7.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its slot in the snapshot.
    pub slot: ServiceSlot,
    /// Where clients find it.
    pub vip: Endpoint,
    /// What becomes of requests.
    pub action: Action,
}

/// What becomes of a request.
#[derive(Clone, Debug)]
pub enum Action {
    /// It is answered with this.
    Respond(Arc<Page>),
}

impl Services {
    /// The form that a snapshot carries it in.
    #[must_use]
    pub fn sealed(self) -> ForL7 {
        ForL7(Some(Arc::new(self)))
    }

    /// Those of a snapshot.
    pub(crate) fn of(sealed: &ForL7) -> &[Service] {
        let services = sealed.0.as_deref().and_then(|any| any.downcast_ref::<Self>());
        services.map_or(&[], |services| &services.0)
    }
}

/// A service as its connections know it, on one worker.
#[derive(Debug)]
pub struct Listener {
    /// Its slot in the snapshot.
    pub slot: ServiceSlot,
    /// Where clients find it.
    pub vip: Endpoint,
    action: RefCell<Action>,
    is_gone: Cell<bool>,
}

impl Listener {
    pub(crate) fn new(service: &Service) -> Self {
        let action = RefCell::new(service.action.clone());
        Self { slot: service.slot, vip: service.vip, action, is_gone: Cell::new(false) }
    }

    /// What becomes of requests from now on.
    #[must_use]
    pub fn action(&self) -> Action {
        self.action.borrow().clone()
    }

    /// True if the service is no more, and its connections are to end.
    #[must_use]
    pub const fn is_gone(&self) -> bool {
        self.is_gone.get()
    }

    pub(crate) fn change(&self, service: &Service) {
        self.action.replace(service.action.clone());
    }

    pub(crate) fn end(&self) {
        self.is_gone.set(true);
    }
}
