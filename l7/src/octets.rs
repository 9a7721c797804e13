//! The memory that connections refer to: packets that came in, pages that go out, and what the proxy writes itself.

use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use evenkeel_datapath::packet::SharedPacket;
use evenkeel_tcp::Buf;

use crate::Page;
use crate::proxy::Memory;

/// What a reference to a page is counted as. The page is the configuration's and takes no memory of the connection's; the
/// reference does.
const REFERENCE: u32 = 128;
/// What octets on the heap take beside themselves.
const OWN: u32 = 64;

/// Octets that somebody owns a reference to.
#[derive(Debug)]
pub struct Octets<S>(Kind<S>);

#[derive(Debug)]
enum Kind<S> {
    Packet { packet: S, start: u16, end: u16 },
    Page { page: Arc<Page>, start: u32, end: u32 },
    Own { octets: Rc<Vec<u8>>, start: u32, end: u32 },
}

impl<S: SharedPacket> Octets<S> {
    /// Octets `place` of the packet's first segment; `None` if it does not have them.
    #[must_use]
    pub fn of_packet(packet: S, place: Range<usize>) -> Option<Self> {
        packet.octets().get(place.clone())?;
        let (start, end) = (u16::try_from(place.start).ok()?, u16::try_from(place.end).ok()?);
        Some(Self(Kind::Packet { packet, start, end }))
    }
}

impl<S: SharedPacket> Memory for Octets<S> {
    fn part(&self, place: Range<usize>) -> Self {
        let mut part = self.share();
        // Octets are taken from the end of nothing where there are fewer.
        let within = |start: usize, end: usize| {
            let at = |offset: usize| start.saturating_add(offset).min(end);
            (at(place.start), at(place.end.max(place.start)))
        };
        match &mut part.0 {
            Kind::Packet { start, end, .. } => {
                let (from, to) = within(usize::from(*start), usize::from(*end));
                (*start, *end) = (from as u16, to as u16);
            }
            Kind::Page { start, end, .. } | Kind::Own { start, end, .. } => {
                let (from, to) = within(*start as usize, *end as usize);
                (*start, *end) = (from as u32, to as u32);
            }
        }
        part
    }

    fn of(octets: Vec<u8>) -> Self {
        let end = u32::try_from(octets.len()).unwrap_or(u32::MAX);
        Self(Kind::Own { octets: Rc::new(octets), start: 0, end })
    }

    fn of_page(page: &Arc<Page>, place: Range<u32>) -> Self {
        Self(Kind::Page { page: Arc::clone(page), start: place.start, end: place.end })
    }
}

impl<S: SharedPacket> Buf for Octets<S> {
    #[inline]
    fn octets(&self) -> &[u8] {
        match &self.0 {
            Kind::Packet { packet, start, end } => {
                packet.octets().get(usize::from(*start)..usize::from(*end)).unwrap_or_default()
            }
            Kind::Page { page, start, end } => {
                page.octets().get(*start as usize..*end as usize).unwrap_or_default()
            }
            Kind::Own { octets, start, end } => {
                octets.get(*start as usize..*end as usize).unwrap_or_default()
            }
        }
    }

    #[inline]
    fn share(&self) -> Self {
        Self(match &self.0 {
            Kind::Packet { packet, start, end } => {
                Kind::Packet { packet: packet.share(), start: *start, end: *end }
            }
            Kind::Page { page, start, end } => {
                Kind::Page { page: Arc::clone(page), start: *start, end: *end }
            }
            Kind::Own { octets, start, end } => {
                Kind::Own { octets: Rc::clone(octets), start: *start, end: *end }
            }
        })
    }

    #[inline]
    fn true_size(&self) -> u32 {
        match &self.0 {
            Kind::Packet { packet, .. } => packet.true_size(),
            Kind::Page { .. } => REFERENCE,
            Kind::Own { octets, .. } => {
                u32::try_from(octets.capacity()).unwrap_or(u32::MAX).saturating_add(OWN)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use evenkeel_datapath::packet::{HeapPacket, Packet};
    use evenkeel_datapath::snapshot::PortId;

    use super::*;

    #[test]
    fn octets_stay_where_they_are() {
        let packet = HeapPacket::new(b"header and text", PortId(0)).into_shared();
        let octets = Octets::of_packet(packet.share(), 11..15).expect("the packet has them");
        let other = octets.share();
        assert_eq!(octets.octets(), b"text");
        assert!(std::ptr::eq(octets.octets(), other.octets()));
        assert!(other.true_size() > 128 + 15, "what it keeps from other use, headroom included");
        assert!(Octets::of_packet(packet, 11..16).is_none());
    }

    #[test]
    fn a_page_is_not_copied_for_anybody() {
        let page = Arc::new(Page::new(200, "text/plain", b"text"));
        let octets = Octets::<<HeapPacket as Packet>::Shared>::of_page(&page, page.body());
        assert_eq!(octets.octets(), b"text");
        assert!(std::ptr::eq(octets.share().octets(), octets.octets()));
        assert_eq!(octets.true_size(), REFERENCE);
    }

    #[test]
    fn a_part_lies_where_the_whole_does() {
        let page = Arc::new(Page::new(200, "text/plain", b"text"));
        let packet = HeapPacket::new(b"header and text", PortId(0)).into_shared();
        for whole in [
            Octets::of_packet(packet, 11..15).expect("the packet has them"),
            Octets::of_page(&page, page.body()),
            Octets::of(b"text".to_vec()),
        ] {
            let part = whole.part(1..3);
            assert_eq!(part.octets(), b"ex");
            assert!(std::ptr::eq(part.octets(), &whole.octets()[1..3]));
            assert_eq!(part.part(1..9).octets(), b"x");
            assert!(part.part(5..7).octets().is_empty());
        }
    }
}
