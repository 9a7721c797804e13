//! Goodput over a grid of links. `cargo test --release -p evenkeel-tcp grid -- --ignored --nocapture` prints it.

use super::simulation::{Link, Loss, Report, Scenario, World};
use crate::Time;
use crate::recovery::Settings;

const SECONDS: u64 = 20;

fn scenario(link: Link, seed: u64) -> Scenario {
    Scenario {
        link,
        settings: Settings { mss: 1_448, ..Settings::default() },
        timestamps: true,
        window: 6 << 20,
        octets: u64::MAX,
        seed,
    }
}

fn megabits(reports: &[Report]) -> f64 {
    reports.iter().map(|report| report.delivered as f64).sum::<f64>() * 8.0
        / (SECONDS * 1_000_000 * reports.len() as u64) as f64
}

fn bulk(link: Link) -> Vec<Report> {
    (0..3).map(|seed| World::new(scenario(link, seed)).run(Time(SECONDS * 1_000_000_000))).collect()
}

#[test]
#[ignore = "prints a table"]
fn grid_of_losses() {
    println!("Mbit/s, RTO/fast/probe/undone a run, runs at most");
    for rtt in [1, 20, 100] {
        for probability in [0.0, 0.001, 0.01, 0.05] {
            for loss in [Loss::Random(probability), Loss::Burst(probability, 3.0)] {
                print(rtt, loss, &bulk(Link::new(1_000, 1_000, rtt, loss)));
            }
        }
    }
    for (rate, queue) in [(100, 100), (1_000, 1_000)] {
        for rtt in [1, 20, 100] {
            print!("{rate} Mbit/s x {queue}: ");
            print(rtt, Loss::Random(0.0), &bulk(Link::new(rate, queue, rtt, Loss::Random(0.0))));
        }
    }
}

fn print(rtt: u64, loss: Loss, reports: &[Report]) {
    let sum = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>() / reports.len() as u64;
    println!(
        "{rtt:3} ms {loss:?}: {:.2}  sent {} dropped {} resent {} rto {} fast {} probe {} recoveries {} undone {} runs {}",
        megabits(reports),
        sum(|report| report.sent),
        sum(|report| report.dropped),
        sum(|report| report.resent.iter().sum()),
        sum(|report| report.resent[4]),
        sum(|report| report.resent[2]),
        sum(|report| report.resent[3]),
        sum(|report| report.recoveries),
        sum(|report| report.undone),
        reports.iter().map(|report| report.most_runs).max().unwrap_or(0),
    );
}

#[test]
#[ignore = "prints a table"]
fn completion_times() {
    for rtt in [1, 20, 100] {
        for probability in [0.0, 0.001, 0.01, 0.02, 0.05] {
            for octets in [10_000, 100_000, 1_000_000] {
                let mut times: Vec<f64> = (0..200)
                    .map(|seed| {
                        let link = Link::new(1_000, 1_000, rtt, Loss::Random(probability));
                        let scenario = Scenario { octets, ..scenario(link, seed) };
                        let report = World::new(scenario).run(Time(1_000_000_000_000));
                        report.finished.unwrap().0 as f64 / 1e6
                    })
                    .collect();
                times.sort_by(f64::total_cmp);
                let mean = times.iter().sum::<f64>() / times.len() as f64;
                println!(
                    "{rtt} ms {probability} {octets}: mean {mean:.1} ms, median {:.1}, p95 {:.1}",
                    times[100], times[190]
                );
            }
        }
    }
}

#[test]
#[ignore = "prints a table"]
fn long_fat_pipe() {
    for seconds in [2, 4, 8, 20] {
        let link = Link::new(1_000, 1_000, 100, Loss::Random(0.0));
        let mut world = World::new(Scenario { window: 64 << 20, ..scenario(link, 1) });
        let begin = std::time::Instant::now();
        let report = world.run(Time(seconds * 1_000_000_000));
        let megabits = report.delivered as f64 * 8.0 / seconds as f64 / 1e6;
        println!(
            "{seconds} s: {megabits:.1} Mbit/s in {:?} {report:?} {:?}",
            begin.elapsed(),
            world.recovery.info()
        );
    }
}
