//! What the path of a connection carries (RFC 1191; RFC 8201): less, when ICMP says so, and what it was at first, after a while.

use core::time::Duration;

use super::{Bits, Connection};
use crate::stack::Shared;
use crate::{Buf, Time};

/// Paths that carry less are not believed in: RFC 8201 has 1280 for IPv6, and below 552 IPv4 fragments instead.
const LEAST_MTU_V4: u32 = 552;
const LEAST_MTU_V6: u32 = 1280;
/// Common MTUs, for routers that do not say theirs (RFC 1191, section 7.1).
const PLATEAUS: [u32; 7] = [8166, 4352, 2002, 1492, 1280, 1006, 552];
/// After so long the path may be another one, and is tried again (RFC 1191, section 6.3; RFC 8201, section 4).
const BELIEVED_FOR: Duration = Duration::from_secs(600);

/// A path that carries less than it did at first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Narrow {
    /// The payload of a segment before.
    whole: u16,
    /// When it was last found to carry less.
    since: Time,
}

impl<B: Buf> Connection<B> {
    /// Makes segments smaller, if that is what follows from an ICMP error with `mtu`.
    pub(crate) fn narrow_path(&mut self, mtu: u32, now: Time, shared: &mut Shared<B>) -> bool {
        let options: u32 = if self.bits.has(Bits::TIMESTAMPS) { 12 } else { 0 };
        let overhead = u32::from(self.tuple.ip_header_length()) + 20 + options;
        let current = u32::from(self.mss) + overhead;
        let (least, said) = if self.tuple.remote.addr.is_v4() {
            let below = PLATEAUS.into_iter().find(|&plateau| plateau < current).unwrap_or(LEAST_MTU_V4);
            (LEAST_MTU_V4, if mtu == 0 { below } else { mtu })
        } else {
            (LEAST_MTU_V6, mtu)
        };
        let path = said.max(least);
        if path >= current || !self.state.is_synchronised() {
            return false;
        }
        let Ok(mss) = u16::try_from(path - overhead) else { return false };
        let narrow = shared.narrow.entry(self.tuple).or_insert(Narrow { whole: self.mss, since: now });
        narrow.since = now;
        self.bits.set(Bits::NARROWED | Bits::OUTPUT);
        self.put_mss(mss);
        true
    }

    /// Before new data goes: if it is long enough ago that the path was found narrow, segments are as large again as at first.
    #[cold]
    pub(super) fn widen_path(&mut self, now: Time, shared: &mut Shared<B>) {
        let Some(narrow) = shared.narrow.get(&self.tuple) else { return };
        if now >= narrow.since + BELIEVED_FOR {
            let whole = narrow.whole;
            self.forget_path(shared);
            self.put_mss(whole);
        }
    }

    /// Nothing more is to be known of the path.
    pub(crate) fn forget_path(&mut self, shared: &mut Shared<B>) {
        if self.bits.take(Bits::NARROWED) {
            shared.narrow.remove(&self.tuple);
        }
    }

    fn put_mss(&mut self, mss: u16) {
        self.mss = mss;
        self.recovery.set_mss(mss);
    }
}
