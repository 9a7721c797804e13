//! Octets of the fuzzer, taken from the front: zero where there are none left.

#[derive(Clone, Copy, Debug)]
pub(super) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(super) const fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn octet(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    /// One of `choices`, which are not none.
    pub(super) fn choose<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::from(self.octet()) % choices.len()]
    }

    /// A number below `bound`, which is neither zero nor more than 256, from one octet.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::from(self.octet()) % bound
    }

    /// Up to `count` octets.
    pub(super) fn octets(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub(super) const fn rest(self) -> &'a [u8] {
        self.0
    }
}
