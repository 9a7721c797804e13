//! A pipeline alone, in full bursts, from ports and from other workers.

use evenkeel_datapath::counters::{DropReason, WorkerCounter};
use evenkeel_datapath::packet::{HeapPacket, HeapPool, Packet};
use evenkeel_datapath::pipeline::{Origin, Outcome, Pipeline, PipelineConfig, Verdict};
use evenkeel_datapath::port::BURST;
use evenkeel_datapath::snapshot::{PortId, WorkerId};
use evenkeel_datapath::time::Time;

use super::events::Event;
use super::fleet::flows_of_setup;
use super::frames;
use super::input::Input;
use super::network::{self, BOUNDS, CLIENT_SIDE, GATEWAY, MACS, put_backend, toggle_service};

/// Every packet has one verdict, and the table holds what was opened and not closed.
pub(super) fn run(setup: u8, mut input: Input<'_>) {
    let mut snapshot = network::of_setup(setup);
    let config =
        PipelineConfig { worker: WorkerId(0), flows: flows_of_setup(setup), bounds: BOUNDS, seed: 5 };
    let mut pipeline = Pipeline::new(&config).expect("memory for a small table");
    let mut outcome = Outcome::new();
    let mut now = Time(1_000_000_000_000);
    let mut burst: Vec<(HeapPacket, bool)> = Vec::new();
    let mut epoch = 1;
    loop {
        let event = Event::next(&mut input);
        match event {
            Some(Event::FromClient { service, client, talk }) => {
                let frame = network::client_frame(service, client, talk.flags, talk.ttl, talk.payload);
                let bytes = talk.damaged(frame.bytes());
                burst.push((HeapPacket::new(&bytes, CLIENT_SIDE), talk.is_whole()));
            }
            Some(Event::Raw { port, kind, octets }) => {
                let bytes = [&MACS[port].0[..], &GATEWAY.0, &kind, octets].concat();
                burst.push((HeapPacket::new(&bytes, PortId(port as u8)), false));
            }
            Some(Event::FromKernel { port, octets }) => {
                burst.push((HeapPacket::new(octets, PortId(port)), false));
            }
            Some(Event::Burst { service, first, count, flags }) => {
                let frame = |n| network::client_frame(service, first.wrapping_add(n), flags, 64, &[]);
                burst.extend((0..count).map(|n| (HeapPacket::new(&frame(n).bytes(), CLIENT_SIDE), true)));
            }
            _ => {}
        }
        if burst.len() >= BURST || event.is_none() {
            let origin = if epoch & 1 == 0 { Origin::Port } else { Origin::Worker };
            for chunk in burst.chunks(BURST) {
                let (mut packets, whole): (Vec<HeapPacket>, Vec<bool>) = chunk.iter().cloned().unzip();
                pipeline.forward(
                    &snapshot.clone().into(),
                    now,
                    origin,
                    &mut packets,
                    &mut HeapPool,
                    &mut outcome,
                );
                assert_eq!(outcome.verdicts.len(), packets.len());
                for ((packet, is_whole), verdict) in packets.iter().zip(whole).zip(&outcome.verdicts) {
                    check(packet, is_whole, *verdict, origin);
                }
                assert!(outcome.originated.len() <= BURST);
                for (packet, _) in outcome.originated.drain(..) {
                    frames::read(packet.bytes());
                }
                let value = |counter| pipeline.counters.value(counter);
                let open = value(WorkerCounter::FlowsOpened) - value(WorkerCounter::FlowsClosed);
                assert_eq!(open, u64::from(pipeline.table().len()));
            }
            burst.clear();
        }
        match event {
            None => return,
            Some(Event::Recycle { slot }) => {
                epoch += 1;
                put_backend(&mut snapshot, slot, epoch, epoch & 1 == 0);
            }
            Some(Event::Remove { slot }) => {
                snapshot.backends[slot] = None;
                network::rebuild(&mut snapshot, slot / network::BACKENDS);
            }
            Some(Event::Service { service }) => toggle_service(&mut snapshot, service),
            Some(Event::Pass { millis }) => {
                now = Time(now.0.saturating_add_signed(millis * 1_000_000));
                pipeline.sweep(&snapshot.clone().into(), now, &mut HeapPool, &mut outcome.originated);
                for (packet, _) in outcome.originated.drain(..) {
                    frames::read(packet.bytes());
                }
            }
            Some(_) => {}
        }
    }
}

fn check(packet: &HeapPacket, is_whole: bool, verdict: Verdict, origin: Origin) {
    match verdict {
        Verdict::Transmit(port) => {
            assert!(usize::from(port.0) < MACS.len());
            if is_whole {
                frames::read(packet.bytes());
            }
        }
        Verdict::HandOver(worker) => {
            assert_eq!(origin, Origin::Port);
            assert_ne!(worker, WorkerId(0));
        }
        Verdict::Drop(DropReason::HandOverLoop) => assert_eq!(origin, Origin::Worker),
        Verdict::L7 => panic!("there is no service at layer 7"),
        Verdict::Drop(_) | Verdict::Kernel(_) => {}
    }
}
