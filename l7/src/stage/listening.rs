//! Which services the stack listens for.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use evenkeel_tcp::{Buf, ListenerConfig, ListenerId, Settings, Stack};

use crate::{Listener, Service};

/// Octets that wait to be sent on one connection, by true size: at first, and at most where the path carries as much in a round trip.
const SEND_BUFFER: u32 = 64 << 10;
const LARGEST_SEND_BUFFER: u32 = 4 << 20;
/// Octets received and not yet read on one connection.
const RECEIVE_BUFFER: u32 = 64 << 10;
/// A client that acknowledges nothing for so long is gone.
const USER_TIMEOUT: Duration = Duration::from_secs(60);

/// The listeners of a stack, each with its service.
#[derive(Debug, Default)]
pub(super) struct Listening {
    listeners: BTreeMap<ListenerId, Rc<Listener>>,
}

impl Listening {
    pub(super) fn listener(&self, id: ListenerId) -> Option<&Rc<Listener>> {
        self.listeners.get(&id)
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
            let settings = Settings {
                mtu,
                initial_send_buffer: SEND_BUFFER,
                send_buffer: LARGEST_SEND_BUFFER,
                initial_window: RECEIVE_BUFFER,
                receive_buffer: RECEIVE_BUFFER,
                no_delay: true,
                user_timeout: Some(USER_TIMEOUT),
                ..Settings::default()
            };
            let config = ListenerConfig { settings, ..ListenerConfig::default() };
            // The configuration bounds services far below what a stack has room for, and no two have one VIP.
            if let Ok(id) = stack.listen(service.vip, &config) {
                self.listeners.insert(id, Rc::new(Listener::new(service)));
            }
        }
    }
}
