//! How large a head may be.

/// Bounds of a head. What exceeds them is refused; memory is never taken for more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Octets of a whole head, its empty line included.
    pub head: usize,
    /// Octets of one line: the start line, and so the target, or a field.
    pub line: usize,
    /// Fields of a head; at most [`Limits::MOST_FIELDS`].
    pub fields: usize,
}

impl Limits {
    /// As many fields as can be asked for.
    pub const MOST_FIELDS: usize = 256;

    /// Octets in which a head is found or refused: with the empty line that may stand before it.
    #[must_use]
    pub const fn window(&self) -> usize {
        self.head + 2
    }
}

impl Default for Limits {
    /// 16 KiB in all, 8 KiB a line, 100 fields.
    fn default() -> Self {
        Self { head: 16 << 10, line: 8 << 10, fields: 100 }
    }
}
