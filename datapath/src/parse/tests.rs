use proptest::prelude::*;

use super::*;

proptest! {
    /// The view of the plain packet is only a faster one, whatever octet of the packet is changed to what.
    #[test]
    fn a_plain_packet_is_read_as_any_other(udp: bool, at in 0_usize..60, octet: u8) {
        let mut frame = [0; 60];
        frame[..6].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
        frame[12..34].copy_from_slice(&[
            8, 0, 0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, if udp { UDP } else { TCP }, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
        ]);
        frame[38..40].copy_from_slice(&[0, 26]);
        frame[46..48].copy_from_slice(&[0x50, 0x10]);
        frame[at] = octet;
        let own = MacAddress([2, 0, 0, 0, 0, 1]);
        for ip_checksum in [ChecksumStatus::Good, ChecksumStatus::Unknown] {
            let received = Received { ip_checksum, ..Received::default() };
            let mut other = Parsed::default();
            let outcome = other.read_other(&frame, frame.len(), ip_checksum, &own);
            prop_assert_eq!(parse(&frame, frame.len(), received, own), outcome.map(|()| other));
        }
    }
}
