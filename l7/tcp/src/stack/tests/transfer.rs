//! Data both ways, and how connections begin and end.

use super::pair::Pair;
use crate::{Buf, Ending, Event, HeapBuf, ListenerConfig, SendError, Settings, State, Time};

fn octets(length: usize, seed: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 7 + index / 251 + seed) as u8).collect()
}

#[test]
fn an_exchange_goes_through_all_states_and_leaves_nothing() {
    let (mut pair, client, server) = Pair::connected(&ListenerConfig::default(), &Settings::default());
    pair.client.send(client, HeapBuf::from(b"question")).unwrap();
    pair.run(Time(0));
    assert_eq!(pair.server.next_event(), Some(Event::Readable(server)));
    assert_eq!(pair.server.read(server).collect::<Vec<_>>(), [b"question"]);
    pair.server.consume(server, 8);
    pair.server.send(server, HeapBuf::from(b"answer")).unwrap();
    pair.server.close(server);
    pair.run(Time(0));
    assert_eq!(pair.server.state(server), Some(State::FinWait2));
    assert_eq!(pair.client.state(client), Some(State::CloseWait));
    assert_eq!(pair.client.next_event(), Some(Event::Readable(client)));
    let mut answer = [0; 16];
    assert_eq!(pair.client.read_into(client, &mut answer), 6);
    assert!(pair.client.is_at_end(client));
    pair.client.release(client);
    pair.run(Time(0));
    assert_eq!(pair.client.connections(), 0);
    assert_eq!(pair.server.next_event(), Some(Event::Readable(server)));
    assert_eq!(pair.server.next_event(), Some(Event::Closed(server, Ending::Closed)));
    pair.server.release(server);
    assert_eq!(pair.server.connections(), 0);
    assert_eq!((pair.client.memory(), pair.server.memory()), (0, 0));
    assert_eq!((pair.client.time_wait(), pair.server.time_wait()), (0, 1));
    pair.run(pair.now.plus_millis(61_000));
    assert_eq!(pair.server.time_wait(), 0);
}

#[test]
fn megabytes_arrive_both_ways_at_the_same_time() {
    let (mut pair, client, server) = Pair::connected(&ListenerConfig::default(), &Settings::default());
    let (up, down) = (octets(3_000_000, 1), octets(2_000_000, 2));
    let mut given = [0, 0];
    let mut taken: [Vec<u8>; 2] = [Vec::new(), Vec::new()];
    for _ in 0..10_000 {
        for (side, stack, id, data) in
            [(0, &mut pair.client, client, &up), (1, &mut pair.server, server, &down)]
        {
            while given[side] < data.len() {
                let end = (given[side] + 16_000).min(data.len());
                match stack.send(id, HeapBuf::from(&data[given[side]..end])) {
                    Ok(()) => given[side] = end,
                    Err((SendError::Full, buf)) => {
                        assert_eq!(buf.octets().len(), end - given[side]);
                        break;
                    }
                    Err((SendError::Closed, _)) => panic!("it is open"),
                }
            }
            stack.read(id).for_each(|slice| taken[side].extend(slice));
            let readable = stack.readable(id);
            stack.consume(id, readable);
        }
        let until = pair.now.plus_millis(1);
        pair.run(until);
        if taken[0].len() == down.len() && taken[1].len() == up.len() {
            break;
        }
    }
    assert!(taken[0] == down, "{} of {} octets", taken[0].len(), down.len());
    assert!(taken[1] == up, "{} of {} octets", taken[1].len(), up.len());
    assert!(pair.now < Time::from_millis(2_000), "{:?}", pair.now);
}

/// Two megabytes from one side to the other, begun at `start`: segments that went, and what is known of the connection.
fn course(start: Time) -> (usize, crate::Info) {
    let (mut pair, client, server) =
        Pair::connected_at(start, &ListenerConfig::default(), &Settings::default());
    let data = octets(2_000_000, 3);
    let mut taken: Vec<u8> = Vec::new();
    for chunk in data.chunks(20_000) {
        pair.client.send(client, HeapBuf::from(chunk)).unwrap();
        pair.run(pair.now.plus_millis(1));
        pair.server.read(server).for_each(|slice| taken.extend(slice));
        let readable = pair.server.readable(server);
        pair.server.consume(server, readable);
    }
    pair.run(pair.now.plus_millis(300));
    pair.server.read(server).for_each(|slice| taken.extend(slice));
    assert!(taken == data, "{} octets", taken.len());
    assert!(pair.now.0 - start.0 > 60_000_000);
    (pair.sent, pair.client.info(client).unwrap())
}

#[test]
fn clocks_may_wrap_amid_a_transfer() {
    // In microseconds after 71 minutes, in milliseconds after 49.7 days; RFC 7323, section 5.4.
    let plain = course(Time::from_millis(1_000));
    assert!(plain.1.timestamps);
    for wrap in [1_000u64, 1_000_000].map(|unit| unit << 32) {
        let start = Time((wrap / 1_000_000 - 30) * 1_000_000);
        assert_eq!(course(start), plain, "{wrap}");
    }
}

#[test]
fn a_transfer_finds_the_narrow_place_of_its_path() {
    // RFC 1191: what is too large is dropped, and ICMP says how large it may be.
    let (mut pair, client, server) = Pair::connected(&ListenerConfig::default(), &Settings::default());
    pair.router = Some(1_000);
    let data = octets(200_000, 4);
    pair.client.send(client, HeapBuf::from(&data[..])).unwrap();
    let end = pair.now.plus_millis(2_000);
    let mut taken: Vec<u8> = Vec::new();
    while taken.len() < data.len() && pair.now < end {
        pair.run(pair.now.plus_millis(1));
        pair.server.read(server).for_each(|slice| taken.extend(slice));
        let readable = pair.server.readable(server);
        pair.server.consume(server, readable);
    }
    assert!(taken == data, "{} octets", taken.len());
    assert_eq!(pair.client.info(client).unwrap().send_mss, 1_000 - 20 - 20 - 12);
}
