//! The grid: round-trip times by losses, and short queues.

use std::time::Duration;

use crate::network::{Loss, Model};

/// One path that both stacks take.
#[derive(Clone, Debug)]
pub struct Cell {
    /// Its part of the names of figures.
    pub name: String,
    /// Round-trip time of the empty path.
    pub round_trip: Duration,
    /// Both directions.
    pub model: Model,
    /// Flows that may run at once, each on a link of its own, without that the machine's cores limit them.
    pub at_once: usize,
    /// The least share of the baseline's goodput that was set out for.
    pub goal: f64,
}

const GIGABIT: u64 = 1_000_000_000;
/// Packets that are lost in a row where losses come in bursts.
const BURST: f64 = 4.0;

const ROUND_TRIPS: [u64; 3] = [1, 20, 100];

/// The cells whose line is slow enough for two flows at once.
#[must_use]
pub fn bottlenecks() -> Vec<Cell> {
    cells().into_iter().filter(|cell| cell.name.ends_with("100m-q100")).collect()
}

/// All cells, in the order of the report.
#[must_use]
pub fn cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    for millis in ROUND_TRIPS {
        let round_trip = Duration::from_millis(millis);
        let cell = |name: &str, model: Model, at_once, goal| Cell {
            name: format!("{millis}ms-{name}"),
            round_trip,
            model,
            at_once,
            goal,
        };
        let line = Model::delay(round_trip / 2);
        cells.push(cell("100m-q100", line.with_rate(GIGABIT / 10, 100), 2, 0.95));
        let line = line.with_rate(GIGABIT, 1_000);
        cells.push(cell("1g-q1000", line, 1, 0.95));
        for (percent, share) in [("0.1%", 0.001), ("1%", 0.01), ("5%", 0.05)] {
            let at_once = match (millis, percent) {
                (1, "0.1%") => 1,
                (1, "1%") => 3,
                (20, "0.1%") => 4,
                _ => 10,
            };
            let losses =
                [("random", Loss::Random { share }), ("burst", Loss::Burst { share, length: BURST })];
            for (kind, loss) in losses {
                cells.push(cell(&format!("{percent}-{kind}"), line.with_loss(loss), at_once, 0.8));
            }
        }
    }
    cells
}
