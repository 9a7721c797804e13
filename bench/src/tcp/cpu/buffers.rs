//! Buffers that are used again and again, as a worker's packet buffers are, and those of smoltcp's device here.

use std::cell::RefCell;
use std::rc::Rc;

use evenkeel_tcp::Buf;

/// Sizes of buffers that are kept: for a question or an answer, and for a full segment.
const SIZES: [usize; 2] = [256, 2_048];

thread_local! {
    static FREE: [RefCell<Vec<Rc<[u8]>>>; SIZES.len()] = const { [const { RefCell::new(Vec::new()) }; SIZES.len()] };
}

/// A buffer that goes back to where it came from with its last reference.
pub(super) struct Recycled {
    /// There until it is dropped.
    memory: Option<Rc<[u8]>>,
    length: u32,
}

impl Recycled {
    /// As large as it is, and not kept.
    pub(super) fn of(octets: Vec<u8>) -> Self {
        let length = octets.len() as u32;
        Self { memory: Some(Rc::from(octets)), length }
    }
}

impl Recycled {
    /// Copies of these, one behind the other: a segment at most.
    #[inline]
    pub(super) fn gathered<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut buffer = Self::free(1);
        for piece in pieces {
            buffer.append(piece);
        }
        buffer
    }

    #[inline]
    fn free(class: usize) -> Self {
        let free = FREE.with(|free| free[class].borrow_mut().pop());
        Self { memory: Some(free.unwrap_or_else(|| Rc::from(vec![0; SIZES[class]]))), length: 0 }
    }

    /// Nobody else has it yet.
    #[inline]
    fn append(&mut self, octets: &[u8]) {
        if let Some(room) = self.memory.as_mut().and_then(Rc::get_mut) {
            let start = self.length as usize;
            room[start..start + octets.len()].copy_from_slice(octets);
            self.length += octets.len() as u32;
        }
    }
}

impl From<&[u8]> for Recycled {
    /// A copy.
    #[inline]
    fn from(octets: &[u8]) -> Self {
        let mut buffer = Self::free(usize::from(octets.len() > SIZES[0]));
        buffer.append(octets);
        buffer
    }
}

impl Buf for Recycled {
    #[inline]
    fn octets(&self) -> &[u8] {
        self.memory.as_ref().map_or(&[], |memory| &memory[..self.length as usize])
    }

    #[inline]
    fn share(&self) -> Self {
        Self { memory: self.memory.clone(), length: self.length }
    }

    #[inline]
    fn true_size(&self) -> u32 {
        self.memory.as_ref().map_or(0, |memory| memory.len() as u32)
    }
}

impl Drop for Recycled {
    #[inline]
    fn drop(&mut self) {
        let Some(mut memory) = self.memory.take() else { return };
        let class = SIZES.iter().position(|&size| size == memory.len());
        if let (Some(class), Some(_)) = (class, Rc::get_mut(&mut memory)) {
            FREE.with(|free| free[class].borrow_mut().push(memory));
        }
    }
}
