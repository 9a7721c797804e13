//! Answers to questions about connections: a bounded number of places each, in the memory that came with the question.

use evenkeel_datapath::packet::Packet;
use evenkeel_tcp::Time;

use super::Running;
use crate::proxy::Whose;
use crate::query::{ConnectionView, PLACES_PER_ANSWER, Query};
use crate::survey::{About, Survey};

impl<P: Packet> Running<P> {
    pub(super) fn answer_survey(&mut self, survey: &mut Survey, now: Time) {
        match survey.about {
            About::Backends => survey.see_backends(self.proxy.proxy(), now),
            About::Routes(slot) => {
                if let Some(served) = self.listening.of_service(slot).map(|listener| listener.served()) {
                    survey.see_routes(&served);
                }
            }
        }
    }

    pub(super) fn answer(&mut self, query: &mut Query) {
        let numbers = self.stack.counters().iter().map(|(_, value)| value);
        let gauges = [u64::from(self.stack.connections()), self.stack.time_wait(), self.stack.memory()];
        let room = query.counters.capacity();
        query.counters.extend(numbers.chain(gauges).take(room));
        let end = query.from.saturating_add(PLACES_PER_ANSWER);
        for place in query.from..end.min(self.proxy.places()) {
            let Some(Whose { id, service, backend }) = self.proxy.at(place) else { continue };
            let Some((tuple, info)) = self.stack.tuple(id).zip(self.stack.info(id)) else { continue };
            if query.only.is_some_and(|only| only != tuple && only.reversed() != tuple) {
                continue;
            }
            if query.connections.len() == query.connections.capacity() {
                query.next = Some(place);
                return;
            }
            query.connections.push(ConnectionView { tuple, info, service, backend });
            if let Some(is_on) = query.trace {
                let room = query.steps.capacity() - query.steps.len();
                let behind = self.stack.steps(id).count().saturating_sub(room);
                query.steps.extend(self.stack.steps(id).skip(behind));
                self.stack.trace(id, is_on);
            }
        }
        query.next = (end < self.proxy.places()).then_some(end);
    }
}
