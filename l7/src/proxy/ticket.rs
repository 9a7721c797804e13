//! Things of which there is a bounded number at one time.

use std::cell::Cell;
use std::rc::Rc;

/// How many there are.
#[derive(Clone, Debug, Default)]
pub(super) struct Tickets(Rc<Cell<u32>>);

/// One of them, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Ticket(Rc<Cell<u32>>);

impl Tickets {
    /// Another one, if there are fewer than `most`.
    pub(super) fn take(&self, most: u32) -> Option<Ticket> {
        let taken = self.0.get();
        (taken < most).then(|| {
            self.0.set(taken + 1);
            Ticket(Rc::clone(&self.0))
        })
    }

    /// How many there are.
    pub(super) fn taken(&self) -> u32 {
        self.0.get()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}
