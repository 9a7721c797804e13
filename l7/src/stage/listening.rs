//! Which services the stack listens for.

use std::collections::BTreeMap;
use std::rc::Rc;

use evenkeel_datapath::snapshot::ServiceSlot;
use evenkeel_tcp::{Buf, ListenerConfig, ListenerId, Settings, Stack};

use super::settings;
use crate::{Listener, Service};

/// The listeners of a stack, each with its service.
#[derive(Debug, Default)]
pub(super) struct Listening {
    listeners: BTreeMap<ListenerId, Rc<Listener>>,
}

impl Listening {
    pub(super) fn listener(&self, id: ListenerId) -> Option<&Rc<Listener>> {
        self.listeners.get(&id)
    }

    /// The listener of a service.
    pub(super) fn of_service(&self, slot: ServiceSlot) -> Option<&Rc<Listener>> {
        self.listeners.values().find(|listener| listener.slot == slot)
    }

    /// Listens for these services and no others. Connections of those that are gone end when they next have a turn.
    pub(super) fn adopt<B: Buf>(&mut self, stack: &mut Stack<B>, services: &[Service], mtu: u16) {
        let stays = |listener: &Listener| {
            services.iter().find(|service| service.vip == listener.vip && service.slot == listener.slot)
        };
        self.listeners.retain(|id, listener| match stays(listener) {
            Some(service) => {
                listener.change(service);
                true
            }
            None => {
                listener.end();
                stack.unlisten(*id);
                false
            }
        });
        for service in services {
            let is_known = |known: &Rc<Listener>| known.vip == service.vip && known.slot == service.slot;
            if self.listeners.values().any(is_known) {
                continue;
            }
            let settings = settings(&Settings { mtu, ..Settings::default() });
            let config = ListenerConfig { settings, ..ListenerConfig::default() };
            // The configuration bounds services far below what a stack has room for, and no two have one VIP.
            if let Ok(id) = stack.listen(service.vip, &config) {
                self.listeners.insert(id, Rc::new(Listener::new(service)));
            }
        }
    }
}
