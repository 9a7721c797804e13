//! What one worker knows of a cluster.

use super::budget::Spent;
use super::ticket::Tickets;
use crate::balance::Turns;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Standing {
    pub(super) turns: Turns,
    pub(super) spent: Spent,
    /// Requests that wait for a connection to any of its backends.
    pub(super) pending: Tickets,
}
