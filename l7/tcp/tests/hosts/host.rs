//! A stack and what runs on it, as an end of the link.

use evenkeel_tcp::{Config, Event, HeapBuf, Incoming, Stack, Time};

use super::ip;
use crate::network::Endpoint;

/// What runs on a stack.
pub trait Application {
    /// Does what is to be done before anything has happened.
    fn start(&mut self, now: Time, stack: &mut Stack<HeapBuf>);

    /// Answers an event.
    fn event(&mut self, now: Time, stack: &mut Stack<HeapBuf>, event: Event);

    /// When it wants [`Application::timer`] to be called.
    fn deadline(&self) -> Option<Time>;

    /// True when all that it set out for has happened.
    fn is_done(&self) -> bool {
        false
    }

    /// Does what is to be done at its deadline.
    fn timer(&mut self, now: Time, stack: &mut Stack<HeapBuf>);
}

/// A host.
pub struct Host<A> {
    /// Its stack.
    pub stack: Stack<HeapBuf>,
    /// What runs on it.
    pub application: A,
    /// Something has happened since it had nothing more to send.
    is_awake: bool,
}

impl<A: Application> Host<A> {
    /// A host that starts now.
    pub fn new(config: &Config, seed: u64, now: Time, application: A) -> Self {
        let mut host = Self { stack: Stack::new(config, seed, now), application, is_awake: true };
        host.application.start(now, &mut host.stack);
        host
    }

    /// What happens by itself: timers, and the application's answers to events.
    fn wake(&mut self, now: Time) {
        if self.stack.deadline().is_some_and(|deadline| deadline <= now) {
            self.stack.advance(now);
        }
        if self.application.deadline().is_some_and(|deadline| deadline <= now) {
            self.application.timer(now, &mut self.stack);
        }
        while let Some(event) = self.stack.next_event() {
            self.application.event(now, &mut self.stack, event);
        }
    }

    fn next_packet(&mut self, now: Time) -> Option<Vec<u8>> {
        let outgoing = self.stack.poll_transmit(now)?;
        let length = outgoing.header.len() + outgoing.payload.len();
        let mut packet = ip::header(outgoing.local.addr, outgoing.remote.addr, outgoing.ecn, length);
        packet.reserve(length);
        packet.extend_from_slice(outgoing.header);
        outgoing.payload.slices().for_each(|slice| packet.extend_from_slice(slice));
        Some(packet)
    }

    /// Takes a packet; one that is damaged in its IP header is dropped.
    pub fn take(&mut self, now: u64, packet: &[u8]) {
        let Some(packet) = ip::parse(packet) else { return };
        let segment = HeapBuf::from(packet.segment);
        let (local, remote, ecn) = (packet.destination, packet.source, packet.ecn);
        self.stack.receive(Time(now), Incoming { local, remote, ecn, segment });
        self.is_awake = true;
    }
}

impl<A: Application> Endpoint for Host<A> {
    fn receive(&mut self, now: u64, packet: Vec<u8>) {
        self.take(now, &packet);
        self.wake(Time(now));
    }

    fn transmit(&mut self, now: u64) -> Option<Vec<u8>> {
        if !self.is_awake && self.deadline().is_none_or(|deadline| deadline > now) {
            return None;
        }
        self.wake(Time(now));
        let packet = self.next_packet(Time(now));
        self.is_awake = packet.is_some();
        packet
    }

    fn deadline(&self) -> Option<u64> {
        let deadlines = [self.stack.deadline(), self.application.deadline()];
        deadlines.into_iter().flatten().min().map(|deadline| deadline.0)
    }
}
