//! Which packets never arrive.

use super::Random;

/// How packets are lost.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Loss {
    /// None is.
    Never,
    /// This share, each by itself.
    Random {
        /// Of all packets.
        share: f64,
    },
    /// Gilbert and Elliott's channel of two states: all that is sent in the bad state is lost, nothing in the good one.
    Burst {
        /// Of all packets, in the long run; less than one.
        share: f64,
        /// Mean number of packets that are lost in a row; at least one.
        length: f64,
    },
}

/// Decides packet by packet.
#[derive(Clone, Debug)]
pub(super) struct Process {
    loss: Loss,
    is_bad: bool,
    random: Random,
}

impl Process {
    pub(super) const fn new(loss: Loss, random: Random) -> Self {
        Self { loss, is_bad: false, random }
    }

    /// True if the next packet is lost.
    pub(super) const fn next(&mut self) -> bool {
        match self.loss {
            Loss::Never => false,
            Loss::Random { share } => self.random.happens(share),
            Loss::Burst { share, length } => {
                // The bad state lasts `length` packets, so the good one must last length * (1 - share) / share.
                let change = if self.is_bad { 1.0 / length } else { share / (length * (1.0 - share)) };
                self.is_bad ^= self.random.happens(change);
                self.is_bad
            }
        }
    }
}
