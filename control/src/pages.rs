//! The pages of services at layer 7, each made once.
//!
//! Invariant: whoever still sends a page has a reference, and one is kept here too until nobody else has any, so that no worker
//! ever frees one.

use std::collections::HashMap;
use std::sync::Arc;

use evenkeel_config::Respond;
use evenkeel_l7::Page;

use crate::desired::{Id, Service};

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pages {
    made: HashMap<Id, (Respond, Arc<Page>)>,
    /// Pages that no service has any more, but perhaps a connection.
    retired: Vec<Arc<Page>>,
}

impl Pages {
    /// The page that a service answers with: the one of before if nothing has changed.
    pub(crate) fn of(&mut self, service: &Service, before: &Self) -> Option<Arc<Page>> {
        let respond = service.respond.as_ref()?;
        let page = match before.made.get(&service.id) {
            Some((known, page)) if known == respond => Arc::clone(page),
            _ => Arc::new(Page::new(respond.status, &respond.content_type, &respond.octets())),
        };
        self.made.insert(service.id, (respond.clone(), Arc::clone(&page)));
        Some(page)
    }

    /// Keeps what was there before and is not any more, as long as somebody else has it.
    pub(crate) fn retire(&mut self, before: &Self) {
        let is_kept = |id: &Id, page| self.made.get(id).is_some_and(|(_, made)| Arc::ptr_eq(made, page));
        let gone = before.made.iter().filter(|(id, (_, page))| !is_kept(id, page)).map(|(_, (_, page))| page);
        // The one reference that is sure to be there is the one of before.
        let is_held = |page: &&Arc<Page>| Arc::strong_count(page) > 1;
        self.retired = gone.chain(&before.retired).filter(is_held).map(Arc::clone).collect();
    }
}

#[cfg(test)]
mod tests {
    use evenkeel_config::Config;
    use evenkeel_datapath::time::Time;

    use super::*;
    use crate::desired::DesiredState;

    /// The pages of a balancer whose only service has this body.
    fn pages(before: &Pages, body: &str, id_of: Option<&Service>) -> (Pages, Arc<Page>, Service) {
        let config = Config {
            services: vec![evenkeel_config::Service {
                name: "hello".to_owned(),
                vip: "192.0.2.10:80".parse().unwrap(),
                protocol: evenkeel_config::Protocol::Tcp,
                mode: evenkeel_config::Mode::L7,
                maglev_table: 251,
                respond: Some(Respond { body: Some(body.to_owned()), ..Respond::default() }),
                backends: vec![],
            }],
            ..Config::default()
        };
        let mut service = DesiredState::new(config, Time(0)).services.remove(0);
        if let Some(known) = id_of {
            service.id = known.id;
        }
        let mut pages = Pages::default();
        let page = pages.of(&service, before).unwrap();
        pages.retire(before);
        (pages, page, service)
    }

    #[test]
    fn a_page_stays_what_it_is_and_goes_when_nobody_has_it() {
        let (first, page, service) = pages(&Pages::default(), "a", None);
        let (second, same, _) = pages(&first, "a", Some(&service));
        assert!(Arc::ptr_eq(&page, &same));
        drop((first, same));
        let (third, other, _) = pages(&second, "b", Some(&service));
        drop(second);
        assert!(!Arc::ptr_eq(&page, &other));
        assert_eq!((third.retired.len(), Arc::strong_count(&page)), (1, 2), "a connection has it still");
        drop(page);
        let (fourth, ..) = pages(&third, "b", Some(&service));
        assert!(fourth.retired.is_empty());
    }
}
