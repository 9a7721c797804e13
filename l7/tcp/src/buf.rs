//! The memory that segments and payload live in: owned, immutable octets that can be shared instead of copied.

use std::rc::Rc;

/// Octets that somebody owns a reference to: a packet buffer, or memory of the heap.
///
/// Received payload stays in the buffer that it arrived in until it is read; what is sent stays where the application
/// put it until it is acknowledged. The octets of a buffer never change while anybody holds a reference.
pub trait Buf: Sized {
    /// The octets.
    fn octets(&self) -> &[u8];

    /// A second reference to the same memory.
    #[must_use]
    fn share(&self) -> Self;

    /// Octets of memory that this buffer keeps from other use, bookkeeping included: what budgets count. The same answer for as
    /// long as it lives.
    fn true_size(&self) -> u32;
}

/// A [`Buf`] on the heap of one thread.
#[derive(Clone, Debug)]
pub struct HeapBuf(Rc<[u8]>);

impl Buf for HeapBuf {
    #[inline]
    fn octets(&self) -> &[u8] {
        &self.0
    }

    #[inline]
    fn share(&self) -> Self {
        Self(Rc::clone(&self.0))
    }

    #[inline]
    fn true_size(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX).saturating_add(16)
    }
}

impl From<&[u8]> for HeapBuf {
    fn from(octets: &[u8]) -> Self {
        Self(Rc::from(octets))
    }
}

impl From<Vec<u8>> for HeapBuf {
    fn from(octets: Vec<u8>) -> Self {
        Self(Rc::from(octets))
    }
}

impl<const N: usize> From<&[u8; N]> for HeapBuf {
    fn from(octets: &[u8; N]) -> Self {
        Self(Rc::from(&octets[..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_buffer_is_the_same_memory() {
        let first = HeapBuf::from(b"octets");
        let second = first.share();
        assert!(core::ptr::eq(first.octets(), second.octets()));
        assert_eq!(second.true_size(), 6 + 16);
    }
}
