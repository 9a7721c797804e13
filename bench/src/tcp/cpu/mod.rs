//! What a stack costs a core and its memory, beside smoltcp.
//!
//! A stack is driven by crafted segments, so that only one is measured; what that takes by itself is the floor that is
//! told with each figure. Checksums are nobody's work. Both programs run in turn. smoltcp is driven its best way: an interface and
//! a socket set for each flow, and only those of flows that something arrived for are polled.

mod buffers;
mod bulk;
mod echo;
mod idle;
mod ours;
mod peers;
mod short;
mod smol;

use anyhow::Result;

pub use idle::idle_under_observation;

use super::Options;
use crate::report::Report;

const BASELINE: &str = "smoltcp";

/// Octets of a question and of its answer.
const OCTETS: usize = 200;

/// A stack that echoes whatever comes.
trait Contender {
    /// Gives it a packet of a flow, which begins with its IP header.
    fn give(&mut self, flow: u32, packet: &[u8]);

    /// Lets it answer all that it was given: `sent` is shown the IP packets' headers and told how many octets of payload follow.
    fn answer(&mut self, sent: impl FnMut(&[u8], usize));

    /// Lets this much time pass.
    fn pass(&mut self, micros: u64);
}

/// Runs the cases.
///
/// # Errors
/// When something is not answered as it should be.
pub(super) fn run(report: &mut Report, options: &Options) -> Result<()> {
    echo::run(report, options)?;
    short::run(report, options)?;
    bulk::run(report, options)?;
    idle::run(report, options)
}

#[cfg(test)]
mod tests {
    use super::peers::{ACK, FIN, Peers};
    use super::{Contender, OCTETS, ours::Ours, smol::Smol};

    fn answers_and_closes(mut stack: impl Contender) {
        let mut peers = Peers::new(5_000);
        // Numbers that need more than one address.
        for flows in [[0, 1], [4_998, 4_999]] {
            let places = flows.map(|flow| flow % 2);
            for (flow, place) in flows.into_iter().zip(places) {
                peers.open_at(&mut stack, place, flow).unwrap();
                for _ in 0..3 {
                    peers.ask_at(&mut stack, place, flow);
                }
                for flags in [FIN | ACK, ACK] {
                    stack.give(place, peers.packet(flow, flags, 0));
                    stack.answer(|headers, octets| peers.take(headers, octets));
                }
            }
        }
        peers.check().unwrap();
        assert_eq!((peers.octets, peers.ends), (12 * OCTETS as u64, 4));
    }

    #[test]
    fn both_contenders_answer_and_close() {
        answers_and_closes(Smol::new(2));
        answers_and_closes(Ours::new(2));
    }
}
