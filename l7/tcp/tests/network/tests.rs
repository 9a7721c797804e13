//! The link keeps what its model promises.

use std::time::Duration;

use super::*;

fn fates(model: Model, seed: u64, packets: u64) -> Vec<Vec<(u64, Vec<u8>)>> {
    let mut link = Link::new(model, seed);
    let fate = |n: u64| {
        let mut copies = Vec::new();
        link.send(n * 1_000_000, vec![0; 100], |at, packet| copies.push((at, packet)));
        copies
    };
    (0..packets).map(fate).collect()
}

fn ideal() -> Model {
    Model::delay(Duration::from_millis(10))
}

#[test]
fn one_seed_gives_one_course_of_events() {
    let model = Model { reordering: 0.1, lateness: Duration::from_millis(9), duplication: 0.1, ..ideal() }
        .with_loss(Loss::Random { share: 0.1 });
    assert_eq!(fates(model, 1, 1_000), fates(model, 1, 1_000));
    assert_ne!(fates(model, 1, 1_000), fates(model, 2, 1_000));
}

#[test]
fn losses_stay_where_they_are_whatever_else_happens() {
    let lossy = ideal().with_loss(Loss::Random { share: 0.1 });
    let busy = Model { reordering: 0.3, duplication: 0.3, corruption: 0.3, ..lossy };
    let lost = |model| -> Vec<bool> { fates(model, 5, 1_000).iter().map(Vec::is_empty).collect() };
    assert_eq!(lost(lossy), lost(busy));
}

#[test]
fn loss_has_its_mean_and_bursts_have_theirs() {
    for share in [0.01, 0.05] {
        for (loss, length) in
            [(Loss::Random { share }, 1.0 / (1.0 - share)), (Loss::Burst { share, length: 4.0 }, 4.0)]
        {
            let fates = fates(ideal().with_loss(loss), 3, 500_000);
            let lost: Vec<bool> = fates.iter().map(Vec::is_empty).collect();
            let count = lost.iter().filter(|&&lost| lost).count() as f64;
            let bursts = lost.windows(2).filter(|pair| pair[0] && !pair[1]).count() as f64;
            let mean = count / lost.len() as f64;
            assert!((mean / share - 1.0).abs() < 0.1, "{loss:?}: {mean}");
            assert!((count / bursts / length - 1.0).abs() < 0.1, "{loss:?}: {} in a row", count / bursts);
        }
    }
}

#[test]
fn a_line_takes_its_time_and_its_queue_has_an_end() {
    // 962 octets and 38 of framing are 1 ms at 8 Mbit/s.
    let mut link = Link::new(ideal().with_rate(8_000_000, 2), 0);
    let mut arrivals = Vec::new();
    for now in [0, 0, 0, 0, 1_500_000, 1_500_000, 20_000_000] {
        link.send(now, vec![0; 962], |at, _| arrivals.push(at / 1_000_000));
    }
    // One is being sent and two wait: the fourth is dropped. At 1.5 ms one has left, and one more finds room.
    assert_eq!(arrivals, [11, 12, 13, 14, 31]);
    assert_eq!(link.counts, Counts { offered: 7, lost: 0, dropped: 2, delivered: 5, marked: 0 });
}

#[test]
fn late_packets_are_overtaken_and_copies_arrive() {
    let model = Model { reordering: 0.2, lateness: Duration::from_millis(5), duplication: 0.1, ..ideal() };
    let fates = fates(model, 11, 10_000);
    let arrivals: Vec<u64> = fates.iter().flatten().map(|(at, _)| *at).collect();
    let overtaken = arrivals.windows(2).filter(|pair| pair[0] > pair[1]).count();
    assert!((1_000..2_500).contains(&overtaken), "{overtaken}");
    assert!((10_800..11_200).contains(&arrivals.len()), "{}", arrivals.len());
}

#[test]
fn corruption_inverts_one_bit() {
    let fates = fates(Model { corruption: 0.5, ..ideal() }, 2, 1_000);
    let ones = |packet: &[u8]| packet.iter().map(|octet| octet.count_ones()).sum::<u32>();
    let bits: Vec<u32> = fates.iter().flatten().map(|(_, packet)| ones(packet)).collect();
    assert!(bits.iter().all(|&bits| bits <= 1));
    assert!((400..600).contains(&bits.iter().sum::<u32>()));
}

#[test]
fn what_arrives_at_once_arrives_in_the_order_of_sending() {
    let mut flight = Flight::default();
    for (arrival, packet) in [(5, 'c'), (1, 'a'), (5, 'd'), (3, 'b')] {
        flight.add(arrival, packet);
    }
    assert_eq!(flight.next_arrival(), Some(1));
    assert_eq!(flight.arrived(0), None);
    let order: Vec<_> = std::iter::from_fn(|| flight.arrived(5)).collect();
    assert_eq!(order, [(1, 'a'), (3, 'b'), (5, 'c'), (5, 'd')]);
    assert!(flight.is_empty());
}

/// Sends `left` packets, one every millisecond, and counts what arrives.
struct Ticker {
    left: u64,
    next: u64,
    seen: Vec<u64>,
}

impl Endpoint for Ticker {
    fn receive(&mut self, now: u64, _: Vec<u8>) {
        self.seen.push(now);
    }

    fn transmit(&mut self, now: u64) -> Option<Vec<u8>> {
        (self.left > 0 && now >= self.next).then(|| {
            self.left -= 1;
            self.next += 1_000_000;
            vec![0; 50]
        })
    }

    fn deadline(&self) -> Option<u64> {
        (self.left > 0).then_some(self.next)
    }
}

#[test]
fn time_jumps_from_event_to_event() {
    let ticker = |left| Ticker { left, next: 0, seen: Vec::new() };
    let mut network = Network::new(ticker(3), ticker(0), ideal(), 1);
    assert!(!network.run_until(1_000_000_000, |_, right, _| right.seen.len() > 3));
    assert_eq!(network.right.seen, [10_000_000, 11_000_000, 12_000_000]);
    assert_eq!(network.now(), 12_000_000);
    assert_eq!(network.counts()[0].delivered, 3);
}

#[test]
fn captures_have_headers_of_their_own() {
    let mut file = Vec::new();
    let mut capture = Capture::new(&mut file, LinkType::Ip).unwrap();
    capture.add(1_000_000_002, &[0x45, 0]).unwrap();
    capture.flush().unwrap();
    assert_eq!(file.len(), 24 + 16 + 2);
    assert_eq!(file[..4], [0x4d, 0x3c, 0xb2, 0xa1]);
    assert_eq!(file[24..], [1, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 0x45, 0]);
}

#[test]
fn a_queue_that_is_long_marks_what_may_be_marked() {
    // IPv4 and IPv6 headers of an empty payload: not capable, ECT(0), ECT(1), marked already.
    for (is_v4, class) in [(true, 0), (true, 2), (true, 1), (true, 3), (false, 0), (false, 2)] {
        let header = |class: u8| match is_v4 {
            true => {
                let mut header =
                    [0x45, class, 0, 20, 0, 0, 0x40, 0, 64, 6, 0, 0, 198, 18, 0, 1, 198, 18, 0, 2];
                let words =
                    header.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
                let sum: u32 = words.sum();
                let sum = (sum & 0xffff) + (sum >> 16);
                header[10..12].copy_from_slice(&(!(sum as u16)).to_be_bytes());
                header.to_vec()
            }
            false => [vec![0x60, class << 4], vec![0; 38]].concat(),
        };
        let mut link = Link::new(ideal().with_rate(1_000_000, 10).with_marking(1), 0);
        let mut arrived = Vec::new();
        for _ in 0..2 {
            link.send(0, header(class), |_, packet| arrived.push(packet));
        }
        let marked = if class == 0 { 0 } else { 3 };
        assert_eq!(arrived, [header(class), header(marked)], "{is_v4} {class}");
        assert_eq!(link.counts.marked, u64::from(class != 0));
    }
}
