//! Properties: the scoreboard against a naive model octet by octet, and any peer against the whole.

use proptest::prelude::*;

use crate::recovery::run::{Run, State};
use crate::recovery::scoreboard::Scoreboard;
use crate::recovery::{Ack, Action, Cause, Echo, FlightPool, Range, Recovery, Settings};
use crate::{SequenceNumber, Time};

impl Scoreboard {
    /// The invariants of the module.
    pub(super) fn check(&self) {
        let mut at = self.una;
        let (mut sacked, mut lost, mut resent, mut before) = (0, 0, 0, None);
        for run in &self.runs {
            assert_eq!(run.range.start, at, "runs lie end to end");
            assert!(run.range.end.follows(run.range.start), "no run is empty");
            assert!(
                before != Some(State::Sacked) || run.state != State::Sacked,
                "SACKed neighbours are joined"
            );
            match run.state {
                State::Sent => {}
                State::Resent => resent += run.range.length(),
                State::Lost => lost += run.range.length(),
                State::Sacked => sacked += run.range.length(),
            }
            (at, before) = (run.range.end, Some(run.state));
        }
        assert_eq!(at, self.next, "runs cover all");
        assert_eq!((sacked, lost, resent), (self.sacked, self.lost, self.resent));
        assert!(sacked + lost <= self.outstanding());
        let first = self.runs.iter().find(|run| run.state == State::Lost).map(|run| run.range);
        assert_eq!(self.first_lost().map(|run| run.range), first, "the first lost run is found");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Append(u32),
    Acknowledge(u32),
    Sack(u32, u32),
    Resend(u32, u32),
    Lose(u32),
    Expire(u32),
    TimeOut(bool),
    Find,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1_u32..50).prop_map(Step::Append),
        2 => (0_u32..60).prop_map(Step::Acknowledge),
        4 => (0_u32..300, 1_u32..60).prop_map(|(start, length)| Step::Sack(start, length)),
        3 => (0_u32..300, 1_u32..30).prop_map(|(start, length)| Step::Resend(start, length)),
        2 => (0_u32..300).prop_map(Step::Lose),
        2 => (0_u32..400).prop_map(Step::Expire),
        1 => any::<bool>().prop_map(Step::TimeOut),
        1 => Just(Step::Find),
    ]
}

fn run_of(range: Range, sent: Time, state: State) -> Run {
    Run {
        range,
        sent,
        delivered: 0,
        delivered_at: 0,
        first_sent: 0,
        state,
        cause: Cause::Rack,
        repeated: state == State::Resent,
    }
}

proptest! {
    #[test]
    fn the_scoreboard_knows_what_a_naive_one_knows(steps in prop::collection::vec(step(), 1..120), start: u32) {
        let mut scoreboard = Scoreboard::default();
        scoreboard.begin(SequenceNumber(start));
        let mut naive: std::collections::VecDeque<State> = Default::default();
        let mut now = Time(0);
        for step in steps {
            now = Time(now.0 + 10);
            let una = scoreboard.una;
            let all = naive.len() as u32;
            match step {
                Step::Append(length) => {
                    if !scoreboard.extend(scoreboard.next + length, now, 15) {
                        scoreboard.push(&run_of(Range::new(scoreboard.next, length), now, State::Sent));
                    }
                    naive.extend((0..length).map(|_| State::Sent));
                }
                Step::Acknowledge(octets) => {
                    let octets = octets.min(all);
                    let mut seen = 0;
                    scoreboard.acknowledge(una + octets, |piece| seen += piece.range.length());
                    prop_assert_eq!(seen, octets);
                    naive.drain(..octets as usize);
                }
                Step::Sack(start, length) if start < all => {
                    let end = (start + length).min(all);
                    let range = Range { start: una + start, end: una + end };
                    let mut seen = 0;
                    let fresh = naive.range(start as usize..end as usize).filter(|state| **state != State::Sacked).count();
                    if scoreboard.sack(range, |piece| seen += piece.range.length()) {
                        prop_assert_eq!(seen as usize, fresh);
                        naive.range_mut(start as usize..end as usize).for_each(|state| *state = State::Sacked);
                    }
                }
                Step::Resend(start, length) if start < all => {
                    let end = (start + length).min(all);
                    let range = Range { start: una + start, end: una + end };
                    scoreboard.resend(run_of(range, now, State::Resent));
                    naive.range_mut(start as usize..end as usize).filter(|state| **state != State::Sacked)
                        .for_each(|state| *state = State::Resent);
                }
                Step::Lose(at) if at < all => {
                    let index = scoreboard.index_of(una + at);
                    let run = scoreboard.runs[index];
                    if matches!(run.state, State::Sent | State::Resent) {
                        scoreboard.lose(index, Cause::Rack);
                        let from = (run.range.start - una) as usize;
                        naive.range_mut(from..from + run.range.length() as usize).for_each(|state| *state = State::Lost);
                    }
                }
                Step::Expire(patience) => {
                    let lost = scoreboard.lost;
                    let found = scoreboard.expire(now, scoreboard.next, u64::from(patience), now);
                    prop_assert_eq!(scoreboard.lost, lost + found.lost);
                    let mut octets = 0;
                    for run in &scoreboard.runs {
                        let overdue = run.sent.0 + u64::from(patience) <= now.0;
                        prop_assert!(!overdue || !matches!(run.state, State::Sent | State::Resent), "{:?}", run);
                        for _ in 0..run.range.length() {
                            let state = &mut naive[octets];
                            prop_assert!(*state == run.state || run.state == State::Lost);
                            *state = run.state;
                            octets += 1;
                        }
                    }
                }
                Step::TimeOut(all) if !naive.is_empty() => {
                    scoreboard.time_out(all, 20, 100, now);
                    let mut octets = 0;
                    for run in &scoreboard.runs {
                        for _ in 0..run.range.length() {
                            prop_assert!(run.state == State::Lost || !all);
                            naive[octets] = run.state;
                            octets += 1;
                        }
                    }
                    prop_assert!(matches!(naive[0], State::Lost | State::Sacked));
                }
                Step::Find => {
                    scoreboard.find_again();
                    let mut octets = 0;
                    for run in &scoreboard.runs {
                        for _ in 0..run.range.length() {
                            naive[octets] = run.state;
                            octets += 1;
                        }
                    }
                }
                _ => {}
            }
            scoreboard.check();
            let known = scoreboard.runs.iter().flat_map(|run| (0..run.range.length()).map(|_| run.state));
            prop_assert!(known.eq(naive.iter().copied()));
        }
    }

    #[test]
    fn no_peer_makes_it_panic_or_forget_or_overrun_the_window(
        words in prop::collection::vec((0_u8..10, any::<u32>(), any::<u32>()), 1..300),
        sack: bool,
    ) {
        let settings = Settings { mss: 100, sack, ..Settings::default() };
        let mut recovery = Recovery::new(&settings, Time(0));
        let mut pool = FlightPool::new(2);
        let start = SequenceNumber(u32::MAX - 500);
        let (mut una, mut next, mut now) = (start, start, Time(0));
        let mut probe = None;
        for (what, a, b) in words {
            now = Time(now.0 + u64::from(a % 1_000) * 1_000);
            let outstanding = next - una;
            match what {
                0..=3 => {
                    let near = |n: u32| una + n % (outstanding + 50);
                    let number = if a.is_multiple_of(3) { near(b) } else { una };
                    let blocks = [
                        Range { start: near(a), end: near(b) },
                        Range { start: near(b / 7), end: near(a / 3) },
                        Range { start: near(a / 11), end: near(a / 11) + 100 },
                        Range { start: SequenceNumber(a), end: SequenceNumber(b) },
                    ];
                    let ack = Ack {
                        number,
                        sack: &blocks[..(b % 5) as usize],
                        duplicate: number == una,
                        echo: b.is_multiple_of(2).then_some(Echo { value: a, age: b }),
                        ecn_echo: b.is_multiple_of(17),
                    };
                    let outcome = recovery.acknowledged(&mut pool, &ack, now);
                    prop_assert!(outcome.acknowledged <= outstanding);
                    una += outcome.acknowledged;
                }
                4..=5 => {
                    if let Some(deadline) = recovery.deadline() {
                        now = now.max(deadline);
                        if let Action::Probe(again) = recovery.timer_expired(&mut pool, now) {
                            probe = Some(again);
                        }
                    }
                }
                _ => {
                    for _ in 0..20 {
                        if let Some(again) = recovery.next_retransmission(now, 100) {
                            prop_assert!(again.range.length() <= 100 && again.range.length() > 0);
                            prop_assert!(again.range.start.reaches(una) && next.reaches(again.range.end));
                            recovery.sent(&mut pool, again.range, now.wrapping_millis(), now);
                            continue;
                        }
                        let length = recovery.may_send(now, 100 + a % 200).min(100);
                        prop_assert!(
                            recovery.in_flight() + length <= recovery.window().max(recovery.in_flight() + 100)
                        );
                        if length == 0 {
                            break;
                        }
                        recovery.sent(&mut pool, Range::new(next, length), now.wrapping_millis(), now);
                        next += length;
                        probe = None;
                    }
                    if let Some(again) = probe.take()
                        && again.range.start.reaches(una)
                    {
                        recovery.sent(&mut pool, again.range, now.wrapping_millis(), now);
                    }
                }
            }
            prop_assert_eq!(recovery.outstanding(), next - una);
            prop_assert!(recovery.in_flight() <= recovery.outstanding());
            prop_assert!(recovery.outstanding() == 0 || recovery.deadline().is_some());
            if let Some(flight) = &recovery.flight {
                flight.scoreboard.check();
            }
        }
    }
}
