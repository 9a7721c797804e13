//! How much is done in a turn.

/// How much may still be done in this turn. A unit is one request, event or timer: a few hundred nanoseconds.
#[derive(Clone, Copy, Debug)]
pub struct Work(pub u32);

impl Work {
    /// Takes a unit; false if there is none left.
    pub const fn take(&mut self) -> bool {
        let is_left = self.0 > 0;
        self.0 = self.0.saturating_sub(1);
        is_left
    }

    /// Takes so many units, as far as they are left, for something that is begun if any is.
    pub const fn spend(&mut self, units: u32) {
        self.0 = self.0.saturating_sub(units);
    }
}
