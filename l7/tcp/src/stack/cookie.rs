//! SYN cookies (RFC 4987, section 3.6): answers to SYNs that no memory is kept of.

use super::Stack;
use crate::connection::{Bits, State, announced_mss, default_mss, offers_ecn};
use crate::cookie::Offer;
use crate::counters::Counter;
use crate::receive::ReceiveWindow;
use crate::segment::{Flags, Options, Segment, Timestamps};
use crate::{Buf, Tuple};

impl<B: Buf> Stack<B> {
    /// Answers a SYN with a cookie.
    pub(super) fn answer_with_cookie(&mut self, listener: u32, tuple: &Tuple, syn: &Segment) {
        let Some(listener) = self.shared.listeners.at(listener) else { return };
        let settings = self.shared.settings(listener.profile);
        let (mtu, window, most) = (settings.mtu, settings.initial_window, settings.receive_buffer);
        let (sack, stamps, scaling) = (settings.sack, settings.timestamps, settings.window_scaling);
        let ecn = settings.ecn;
        let theirs = &syn.options;
        let clock = self.timestamp_now(tuple);
        let offer = Offer {
            mss: theirs.mss.unwrap_or_else(|| default_mss(tuple)),
            window_scale: theirs.window_scale.filter(|_| scaling),
            sack_permitted: theirs.sack_permitted && sack,
            ecn: ecn && theirs.timestamps.is_some() && stamps && offers_ecn(syn.flags),
            timestamp: theirs.timestamps.filter(|_| stamps).map(|_| clock),
        };
        let cookie = self.cookies.make(tuple, syn.sequence, &offer, self.now);
        let timestamps = theirs
            .timestamps
            .zip(cookie.timestamp)
            .map(|(theirs, value)| Timestamps { value, echo: theirs.value });
        let scale = ReceiveWindow::scale_for(most);
        let answer = Flags::SYN | Flags::ACK;
        let segment = Segment {
            source_port: tuple.local.port,
            destination_port: tuple.remote.port,
            sequence: cookie.isn,
            acknowledgement: syn.sequence + 1,
            flags: if offer.ecn { answer | Flags::ECE } else { answer },
            window: u16::try_from(window).unwrap_or(u16::MAX),
            options: Options {
                mss: Some(announced_mss(tuple, mtu)),
                window_scale: offer.window_scale.map(|_| scale),
                sack_permitted: offer.sack_permitted,
                timestamps,
                ..Options::NONE
            },
            ..Segment::default()
        };
        self.shared.counters.count(Counter::SyncookiesSent);
        self.shared.counters.count(Counter::OutSegs);
        self.shared.answer(tuple, segment);
    }

    /// An acknowledgement for a listener: if it brings a cookie back, there is a connection now. False if it does not.
    pub(super) fn open_by_cookie(
        &mut self,
        number: u32,
        tuple: &Tuple,
        hash: u32,
        segment: &Segment,
        packet: B,
    ) -> bool {
        if segment.flags.intersects(Flags::SYN | Flags::RST) {
            return false;
        }
        let theirs = segment.sequence - 1;
        let ours = segment.acknowledgement - 1;
        let echo = segment.options.timestamps.map(|timestamps| timestamps.echo);
        let Some(offer) = self.cookies.check(tuple, theirs, ours, echo, self.now) else {
            self.shared.counters.count(Counter::SyncookiesFailed);
            return false;
        };
        self.shared.counters.count(Counter::SyncookiesRecv);
        let Some(listener) = self.shared.listeners.at(number) else { return false };
        if !listener.has_room() || self.connections.is_full() {
            // The other side sends again, and the cookie is still good then.
            self.shared.counters.count(Counter::ListenOverflows);
            return true;
        }
        let profile = listener.profile;
        // As if its SYN had been remembered.
        let syn = Segment {
            sequence: theirs,
            flags: if offer.ecn { Flags::SYN | Flags::ECE | Flags::CWR } else { Flags::SYN },
            window: segment.window,
            options: Options {
                mss: Some(offer.mss),
                window_scale: offer.window_scale,
                sack_permitted: offer.sack_permitted,
                timestamps: segment.options.timestamps.filter(|_| offer.timestamp.is_some()),
                ..Options::NONE
            },
            ..Segment::default()
        };
        let origin = (ours, self.timestamp_offset(tuple));
        let mut connection = self.connection(*tuple, profile, origin, State::SynReceived);
        connection.receive_syn(&syn, number, self.now, &self.shared);
        connection.send_next = ours + 1;
        connection.bits.clear(Bits::SYN_DUE);
        let Some(id) = self.enter(connection, hash) else { return true };
        if let Some(listener) = self.shared.listeners.at_mut(number) {
            listener.shaking += 1;
        }
        let now = self.now;
        if let Some(connection) = self.connections.at_mut(id.index) {
            connection.arrive(segment, packet, 0, now, &mut self.shared);
        }
        self.settle(id.index);
        true
    }

    fn timestamp_now(&self, tuple: &Tuple) -> u32 {
        self.now.wrapping_millis().wrapping_add(self.timestamp_offset(tuple))
    }
}
