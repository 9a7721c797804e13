//! Memory that is shared in part, as packets are.

use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use evenkeel_l7::Page;
use evenkeel_l7::proxy::Memory;
use evenkeel_tcp::Buf;

/// See the module.
#[derive(Debug)]
pub(super) struct Octets {
    memory: Rc<Vec<u8>>,
    place: Range<usize>,
}

impl Octets {
    pub(super) fn gathered<'p>(pieces: impl Iterator<Item = &'p [u8]>) -> Self {
        let mut memory = Vec::with_capacity(1_600);
        pieces.for_each(|piece| memory.extend_from_slice(piece));
        Self::of(memory)
    }
}

impl Buf for Octets {
    fn octets(&self) -> &[u8] {
        self.memory.get(self.place.clone()).unwrap_or_default()
    }

    fn share(&self) -> Self {
        Self { memory: Rc::clone(&self.memory), place: self.place.clone() }
    }

    fn true_size(&self) -> u32 {
        u32::try_from(self.memory.capacity() + 64).unwrap_or(u32::MAX)
    }
}

impl Memory for Octets {
    fn part(&self, place: Range<usize>) -> Self {
        let start = (self.place.start + place.start).min(self.place.end);
        let end = (self.place.start + place.end).clamp(start, self.place.end);
        Self { memory: Rc::clone(&self.memory), place: start..end }
    }

    fn of_page(page: &Arc<Page>, place: Range<u32>) -> Self {
        Self::of(page.octets().get(place.start as usize..place.end as usize).unwrap_or_default().to_vec())
    }

    fn of(octets: Vec<u8>) -> Self {
        let place = 0..octets.len();
        Self { memory: Rc::new(octets), place }
    }
}
