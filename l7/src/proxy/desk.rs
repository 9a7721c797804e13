//! Memory that is used again and again.

use evenkeel_datapath::hash::Random;

use super::account::Paper;

/// See the module.
pub(super) struct Desk {
    /// A head that came in pieces is put together here.
    pub(super) head: Vec<u8>,
    pub(super) path: String,
    pub(super) host: String,
    pub(super) location: String,
    pub(super) paper: Paper,
    pub(super) random: Random,
}

impl Desk {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            head: Vec::new(),
            path: String::new(),
            host: String::new(),
            location: String::new(),
            paper: Paper::default(),
            random: Random::new(seed),
        }
    }
}
