//! Buffers that are used again and again, as a worker's packet buffers are, and those of smoltcp's device here.

use std::cell::RefCell;
use std::rc::Rc;

use evenkeel_tcp::Buf;

/// For a question or an answer.
const SMALL: usize = 256;
/// For a full segment.
const LARGE: usize = 2_048;

/// What a buffer is made of: how much of it is filled, and all of it.
struct Memory<T: ?Sized> {
    filled: u32,
    octets: T,
}

type Shared = Rc<Memory<[u8]>>;

thread_local! {
    /// Small ones and large ones that nobody has.
    static FREE: [RefCell<Vec<Shared>>; 2] = const { [const { RefCell::new(Vec::new()) }; 2] };
}

/// A buffer that goes back to where it came from with its last reference, unless it is of a size of its own.
pub(super) struct Recycled(Option<Shared>);

impl Recycled {
    /// Of 64 KB.
    pub(super) fn piece() -> Self {
        Self(Some(Rc::new(Memory { filled: 64 << 10, octets: [0x5a; 64 << 10] })))
    }

    /// Copies of these, one behind the other: a segment at most.
    #[inline]
    pub(super) fn gathered<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Self {
        Self(Some(filled(free(1), pieces)))
    }
}

impl From<&[u8]> for Recycled {
    /// A copy.
    #[inline]
    fn from(octets: &[u8]) -> Self {
        Self(Some(filled(free(usize::from(octets.len() > SMALL)), core::iter::once(octets))))
    }
}

#[inline]
fn free(class: usize) -> Shared {
    FREE.with(|free| free[class].borrow_mut().pop()).unwrap_or_else(|| match class {
        0 => Rc::new(Memory { filled: 0, octets: [0; SMALL] }),
        _ => Rc::new(Memory { filled: 0, octets: [0; LARGE] }),
    })
}

/// A buffer that nobody else has, with these in it.
#[inline]
fn filled<'a>(mut buffer: Shared, pieces: impl Iterator<Item = &'a [u8]>) -> Shared {
    if let Some(memory) = Rc::get_mut(&mut buffer) {
        let mut end = 0;
        for piece in pieces {
            memory.octets[end..end + piece.len()].copy_from_slice(piece);
            end += piece.len();
        }
        memory.filled = end as u32;
    }
    buffer
}

impl Buf for Recycled {
    #[inline]
    fn octets(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |memory| &memory.octets[..memory.filled as usize])
    }

    #[inline]
    fn share(&self) -> Self {
        Self(self.0.clone())
    }

    #[inline]
    fn true_size(&self) -> u32 {
        self.0.as_ref().map_or(0, |memory| memory.octets.len() as u32)
    }
}

impl Drop for Recycled {
    #[inline]
    fn drop(&mut self) {
        let Some(memory) = self.0.take() else { return };
        let class = match memory.octets.len() {
            SMALL => 0,
            LARGE => 1,
            _ => return,
        };
        if Rc::strong_count(&memory) == 1 {
            FREE.with(|free| free[class].borrow_mut().push(memory));
        }
    }
}
