//! Stacks against each other over a perfect link, and against crafted segments.

mod pair;
mod peer;
mod sizes;
mod states;
mod transfer;
