//! What the ends of flows hear whose backend is down, removed or past its drain deadline, when packets get lost.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail like the test itself")]

mod support;

use evenkeel_datapath::counters::{BackendCounter, DropReason, ServiceCounter, WorkerCounter};
use evenkeel_datapath::flow::FlowState;
use evenkeel_datapath::key::Protocol;
use evenkeel_datapath::packet::Packet;
use evenkeel_datapath::pipeline::Verdict;
use evenkeel_datapath::snapshot::{BackendState, Mode, PortId};
use evenkeel_datapath::time::Time;

use support::frames::{ACK, FIN, Frame, PSH, RST, SYN};
use support::*;

const VIP: &str = "192.0.2.10:80";
const VIP6: &str = "[2001:db8::10]:80";
const CLIENT: &str = "198.51.100.7:40000";
const CLIENT6: &str = "[2001:db8:ff::7]:40000";

/// The one flow's backend has slot 0, or 2 if it is IPv6.
fn rig(mode: Mode, protocol: Protocol) -> Rig {
    let mut snapshot = network();
    let port = if mode == Mode::DsrMac { 80 } else { 8080 };
    let text = |host: &str| format!("{host}:{port}");
    add_service(&mut snapshot, mode, protocol, VIP, &[&text("10.0.0.1"), &text("10.0.0.2")]);
    add_service(&mut snapshot, mode, protocol, VIP6, &[&text("[fd00::3]"), &text("[fd00::4]")]);
    for other in [1, 3] {
        set_state(&mut snapshot, other, BackendState::Draining { until: None });
    }
    Rig::new(snapshot)
}

fn take_down(rig: &mut Rig) {
    for (slot, state) in [(0, BackendState::Down), (1, BackendState::Active)] {
        set_state(&mut rig.snapshot, slot, state);
        set_state(&mut rig.snapshot, slot + 2, state);
    }
}

fn counter(rig: &Rig, counter: WorkerCounter) -> u64 {
    rig.pipeline.counters.value(counter)
}

fn active(rig: &mut Rig) -> u64 {
    let services =
        [0, 1].map(|slot| rig.pipeline.counters.service(slot).unwrap()[ServiceCounter::FlowsActive as usize]);
    let backends = [0, 1, 2, 3]
        .map(|slot| rig.pipeline.counters.backend(slot).unwrap()[BackendCounter::FlowsActive as usize]);
    let (services, backends) = (services.iter().sum::<u64>(), backends.iter().sum::<u64>());
    assert_eq!((services, backends), (backends, u64::from(rig.pipeline.table().len())));
    services
}

/// That `sent` resets both ends: the sender at exactly what it expects, the other one where the packet stood.
fn assert_both_reset(sent: Sent, port: PortId, sequence: u32) {
    let (onward, other) = &sent.originated[0];
    let onward = Frame::read(onward.bytes());
    assert_eq!((onward.flags & RST, onward.sequence, sent.originated.len()), (RST, sequence, 1));
    assert_ne!(*other, port);
    let back = sent.expect_on(port);
    assert_eq!((back.flags, back.sequence), (RST, 2000));
}

const MODES: [Mode; 2] = [Mode::FullNat, Mode::Nat];

#[test]
fn each_packet_of_a_cut_flow_is_answered_by_resets_on_both_sides() {
    for mode in MODES {
        for (client, vip) in [(CLIENT, VIP), (CLIENT6, VIP6)] {
            let mut rig = rig(mode, Protocol::Tcp);
            let syn = rig.connect(client, vip);
            take_down(&mut rig);
            let data = Frame { sequence: 5000, ..answer_to(&syn, ACK | PSH) }.payload(b"late");
            let more = Frame { sequence: 6000, ..Frame::tcp(client, vip, ACK) };
            for _ in 0..3 {
                // The reset to the client is lost, and the backend, whose reset is lost too, talks again.
                assert_both_reset(rig.send(BACKEND_SIDE, &data), BACKEND_SIDE, 5000);
                // It is not where the client expects it: a challenge ACK (RFC 5961) is answered exactly.
                assert_both_reset(rig.send(CLIENT_SIDE, &more), CLIENT_SIDE, 6000);
                assert_eq!(active(&mut rig), 1);
            }
            assert_eq!(counter(&rig, WorkerCounter::ResetsSent), 12);
            assert_eq!(counter(&rig, WorkerCounter::Originated), 6);
        }
    }
}

#[test]
fn silent_ends_are_prompted_and_reset_by_what_they_answer() {
    for mode in MODES {
        for (client, vip) in [(CLIENT, VIP), (CLIENT6, VIP6)] {
            let mut rig = rig(mode, Protocol::Tcp);
            let syn = rig.connect(client, vip);
            assert!(rig.sweep_for_seconds(5).is_empty());
            take_down(&mut rig);
            let prompts = rig.sweep_for_seconds(4);
            let lines: Vec<_> = prompts.iter().map(|(port, frame)| (*port, frame.line())).collect();
            let to_client = (CLIENT_SIDE, format!("tcp {vip} > {client} ."));
            let to_backend = (BACKEND_SIDE, format!("tcp {} > {} .", syn.source, syn.destination));
            assert_eq!(lines, [to_client, to_backend]);
            assert!(prompts.iter().all(|(_, frame)| frame.flags == ACK && frame.payload.is_empty()));
            assert_eq!(prompts[0].1.link_destination, mac(0xc1));
            assert_eq!(prompts[1].1.link_destination, syn.link_destination);
            // Each end says where it stands.
            assert_both_reset(rig.send(CLIENT_SIDE, &Frame::tcp(client, vip, ACK)), CLIENT_SIDE, 1000);
            assert_both_reset(rig.send(BACKEND_SIDE, &answer_to(&syn, ACK)), BACKEND_SIDE, 1000);
            // They are asked again while the flow is there, at other sequence numbers.
            let again = rig.sweep_for_seconds(5);
            assert!(again.len() >= 2 && again[0].1.sequence != prompts[0].1.sequence, "{again:?}");
            let prompted = (prompts.len() + again.len()) as u64;
            assert_eq!(counter(&rig, WorkerCounter::ResetsPrompted), prompted);
            rig.sweep_for_seconds(10);
            assert_eq!(active(&mut rig), 0);
            assert_eq!(rig.sweep_for_seconds(10), []);
        }
    }
}

#[test]
fn a_drain_deadline_that_passes_is_told_to_silent_ends() {
    let mut rig = rig(Mode::FullNat, Protocol::Tcp);
    rig.connect(CLIENT, VIP);
    let until = Some(Time(rig.now.0 + 20_000_000_000));
    set_state(&mut rig.snapshot, 0, BackendState::Draining { until });
    assert_eq!(rig.sweep_for_seconds(19), []);
    assert_eq!(rig.sweep_for_seconds(5).len(), 2);
}

/// However much its ends send: or who ignores resets would hold the slot of a backend that is gone.
#[test]
fn a_cut_flow_is_forgotten_a_fixed_time_after_it_was_cut() {
    let mut rig = rig(Mode::FullNat, Protocol::Tcp);
    let syn = rig.connect(CLIENT, VIP);
    take_down(&mut rig);
    for _ in 0..10 {
        assert_both_reset(rig.send(BACKEND_SIDE, &answer_to(&syn, ACK)), BACKEND_SIDE, 1000);
        rig.send(CLIENT_SIDE, &Frame::tcp(CLIENT, VIP, ACK | FIN));
        rig.sweep_for_seconds(1);
        assert_eq!(active(&mut rig), 1);
    }
    rig.send(BACKEND_SIDE, &answer_to(&syn, ACK));
    rig.sweep_for_seconds(5);
    assert_eq!(active(&mut rig), 0);
    // What comes now is a stray of its sender.
    let stray = rig.send(BACKEND_SIDE, &answer_to(&syn, ACK));
    assert!(stray.originated.is_empty());
    assert_eq!(stray.expect_on(BACKEND_SIDE).flags, RST);
}

#[test]
fn a_cut_flow_stays_cut_when_its_backend_comes_back() {
    let mut rig = rig(Mode::FullNat, Protocol::Tcp);
    let syn = rig.connect(CLIENT, VIP);
    take_down(&mut rig);
    rig.send(CLIENT_SIDE, &Frame::tcp(CLIENT, VIP, ACK));
    set_state(&mut rig.snapshot, 0, BackendState::Active);
    assert_both_reset(rig.send(BACKEND_SIDE, &answer_to(&syn, ACK)), BACKEND_SIDE, 1000);
    assert_both_reset(rig.send(CLIENT_SIDE, &Frame::tcp(CLIENT, VIP, ACK)), CLIENT_SIDE, 1000);
    assert!(!rig.sweep_for_seconds(4).is_empty(), "both are prompted");
}

#[test]
fn a_flow_that_nobody_spoke_of_while_its_backend_was_down_goes_on() {
    let mut rig = rig(Mode::FullNat, Protocol::Tcp);
    let syn = rig.connect(CLIENT, VIP);
    take_down(&mut rig);
    set_state(&mut rig.snapshot, 0, BackendState::Active);
    assert_eq!(rig.to_backend(&Frame::tcp(CLIENT, VIP, ACK)).destination, syn.destination);
}

#[test]
fn a_syn_on_a_cut_flow_opens_a_new_one_with_another_backend() {
    for mode in MODES {
        let mut rig = rig(mode, Protocol::Tcp);
        let syn = rig.connect(CLIENT, VIP);
        take_down(&mut rig);
        rig.send(CLIENT_SIDE, &Frame::tcp(CLIENT, VIP, ACK));
        let again = rig.connect(CLIENT, VIP);
        assert_ne!(again.destination, syn.destination);
        assert_eq!(active(&mut rig), 1);
        assert_eq!(rig.sweep_for_seconds(5), [], "nothing is cut any more");
    }
}

#[test]
fn a_syn_on_a_cut_flow_of_a_service_that_is_gone_opens_nothing() {
    let mut rig = rig(Mode::FullNat, Protocol::Tcp);
    rig.connect(CLIENT, VIP);
    take_down(&mut rig);
    rig.snapshot.vips.retain(|(vip, _), _| *vip != endpoint(VIP));
    assert_both_reset(rig.send(CLIENT_SIDE, &Frame::tcp(CLIENT, VIP, ACK)), CLIENT_SIDE, 1000);
    assert_eq!(rig.drops(CLIENT_SIDE, &Frame::tcp(CLIENT, VIP, SYN)), DropReason::NoService);
    assert_eq!(active(&mut rig), 0);
}

/// What the limit forbids is made up for: the flow is not cut before anybody has been told.
#[test]
fn resets_of_cut_flows_are_limited_and_come_later() {
    let mut rig = rig(Mode::FullNat, Protocol::Tcp);
    let syn = rig.connect(CLIENT, VIP);
    take_down(&mut rig);
    rig.snapshot.limits.resets = 0;
    let data = answer_to(&syn, ACK).payload(b"late");
    assert_eq!(rig.drops(BACKEND_SIDE, &data), DropReason::FlowReset);
    assert_eq!(rig.sweep_for_seconds(60), []);
    assert_eq!((active(&mut rig), counter(&rig, WorkerCounter::ResetsLimited)), (1, 1));
    rig.snapshot.limits.resets = 1;
    assert_both_reset(rig.send(BACKEND_SIDE, &data), BACKEND_SIDE, 1000);
    assert_eq!(rig.drops(BACKEND_SIDE, &data), DropReason::FlowReset);
    assert_eq!(counter(&rig, WorkerCounter::ResetsLimited), 2);
}

/// The sweep cannot use up what packets need for their answers.
#[test]
fn prompts_and_resets_have_limits_of_their_own() {
    let mut rig = rig(Mode::FullNat, Protocol::Tcp);
    rig.snapshot.limits.resets = 3;
    for port in 40_000..40_020 {
        rig.connect(&format!("198.51.100.7:{port}"), VIP);
    }
    take_down(&mut rig);
    rig.pass_seconds(1);
    let prompts = rig.sweep_for_seconds(1);
    assert!((6..=12).contains(&prompts.len()), "{}", prompts.len());
    assert_both_reset(rig.send(CLIENT_SIDE, &Frame::tcp(CLIENT, VIP, ACK)), CLIENT_SIDE, 1000);
    // In time, all have been asked.
    rig.sweep_for_seconds(120);
    assert_eq!(active(&mut rig), 0);
}

#[test]
fn a_reset_is_never_answered_and_told_on_once() {
    let mut rig = rig(Mode::FullNat, Protocol::Tcp);
    let syn = rig.connect(CLIENT, VIP);
    take_down(&mut rig);
    let first = rig.send(CLIENT_SIDE, &Frame::tcp(CLIENT, VIP, RST));
    assert_eq!(
        Frame::read(first.originated[0].0.bytes()).line(),
        format!("tcp {} > {} R", syn.source, syn.destination)
    );
    assert_eq!(first.expect_dropped(), DropReason::FlowReset);
    // An end without the connection answers a prompt by a reset that stands anywhere.
    for sent in
        [rig.send(CLIENT_SIDE, &Frame::tcp(CLIENT, VIP, RST)), rig.send(BACKEND_SIDE, &answer_to(&syn, RST))]
    {
        assert!(sent.originated.is_empty());
        assert_eq!(sent.verdict, Verdict::Drop(DropReason::FlowReset));
    }
}

#[test]
fn connections_that_are_over_or_not_open_yet_are_not_prompted() {
    type Story = fn(&mut Rig);
    let stories: [(&str, Story); 3] = [
        ("a handshake, whose SYN is sent again", |rig| drop(rig.to_backend(&Frame::tcp(CLIENT, VIP, SYN)))),
        ("closed", |rig| {
            let syn = rig.connect(CLIENT, VIP);
            rig.to_backend(&Frame::tcp(CLIENT, VIP, FIN | ACK));
            rig.to_client(&answer_to(&syn, FIN | ACK));
        }),
        ("reset", |rig| {
            let syn = rig.connect(CLIENT, VIP);
            rig.to_client(&answer_to(&syn, RST));
        }),
    ];
    for (name, story) in stories {
        let mut rig = rig(Mode::FullNat, Protocol::Tcp);
        story(&mut rig);
        take_down(&mut rig);
        assert_eq!(rig.sweep_for_seconds(8), [], "{name}");
    }
}

#[test]
fn a_handshake_that_is_cut_counts_as_unanswered_once() {
    let mut rig = rig(Mode::FullNat, Protocol::Tcp);
    let syn = rig.to_backend(&Frame::tcp(CLIENT, VIP, SYN));
    take_down(&mut rig);
    for _ in 0..2 {
        assert_both_reset(rig.send(BACKEND_SIDE, &answer_to(&syn, SYN | ACK)), BACKEND_SIDE, 1000);
    }
    rig.sweep_for_seconds(20);
    assert_eq!(active(&mut rig), 0);
    assert_eq!(rig.pipeline.counters.backend(0).unwrap()[BackendCounter::SynsUnanswered as usize], 1);
}

#[test]
fn udp_and_dsr_flows_are_picked_anew_and_nobody_is_prompted() {
    for (mode, protocol) in [
        (Mode::FullNat, Protocol::Udp),
        (Mode::Nat, Protocol::Udp),
        (Mode::DsrMac, Protocol::Udp),
        (Mode::DsrMac, Protocol::Tcp),
    ] {
        let mut rig = rig(mode, protocol);
        let packet = match protocol {
            Protocol::Tcp => Frame::tcp(CLIENT, VIP, ACK),
            Protocol::Udp => Frame::udp(CLIENT, VIP),
        };
        assert_eq!(rig.to_backend(&packet).link_destination, mac(1));
        take_down(&mut rig);
        assert_eq!(rig.sweep_for_seconds(8), [], "{mode:?} {protocol:?}");
        assert_eq!(rig.to_backend(&packet).link_destination, mac(2));
        assert_eq!(active(&mut rig), 1);
    }
    let mut rig = rig(Mode::FullNat, Protocol::Udp);
    let query = rig.to_backend(&Frame::udp(CLIENT, VIP));
    take_down(&mut rig);
    assert_eq!(rig.drops(BACKEND_SIDE, &answer_to(&query, 0)), DropReason::FlowReset);
    assert_eq!(active(&mut rig), 0);
}

#[test]
fn no_packet_leads_out_of_the_cut_state() {
    use evenkeel_datapath::flow::Direction::{Forward, Reverse};
    for direction in [Forward, Reverse] {
        for flags in [SYN, SYN | ACK, ACK, FIN | ACK, RST, RST | ACK] {
            assert_eq!(FlowState::Cut.after(direction, Some(flags), false), FlowState::Cut);
        }
    }
}
