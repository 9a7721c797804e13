//! What is served: as the control thread says it, and as connections look it up.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use evenkeel_datapath::snapshot::{ForL7, ServiceSlot};
use evenkeel_tcp::Endpoint;

use crate::proxy::{Served, Site};

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
    /// What becomes of requests. Whoever made it frees it: workers only ever hold other references.
    pub site: Arc<Site>,
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
    served: RefCell<Rc<Served>>,
    is_gone: Cell<bool>,
}

impl Listener {
    /// One that begins now.
    #[must_use]
    pub fn new(service: &Service) -> Self {
        let served = RefCell::new(Served::new(Arc::clone(&service.site)));
        Self { slot: service.slot, vip: service.vip, served, is_gone: Cell::new(false) }
    }

    /// What becomes of requests that come now.
    #[must_use]
    pub fn served(&self) -> Rc<Served> {
        Rc::clone(&self.served.borrow())
    }

    /// True if the service is no more, and its connections are to end.
    #[must_use]
    pub const fn is_gone(&self) -> bool {
        self.is_gone.get()
    }

    /// The service is another one from now on.
    pub fn change(&self, service: &Service) {
        if !Arc::ptr_eq(&self.served.borrow().site, &service.site) {
            let next = self.served.borrow().replaced(Arc::clone(&service.site));
            self.served.replace(next);
        }
    }

    /// The service is no more.
    pub fn end(&self) {
        self.is_gone.set(true);
    }
}
