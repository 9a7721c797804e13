//! Marks of congestion in IP headers (RFC 3168, section 5).

/// CE, which also is the mask of the field.
const EXPERIENCED: u8 = 3;

/// Marks a packet, if its header says that its sender understands marks.
pub fn mark(packet: &mut [u8]) -> bool {
    let Some([version, class, ..]) = packet.first_chunk::<20>() else { return false };
    let is_v4 = version >> 4 == 4;
    let shift = if is_v4 { 0 } else { 4 };
    let field = class >> shift & EXPERIENCED;
    if field == 0 {
        return false;
    }
    let added = EXPERIENCED - field;
    packet[1] |= EXPERIENCED << shift;
    if is_v4 {
        // RFC 1624, equation 3: a word that has grown by so much takes that from the checksum.
        let old = u16::from_be_bytes([packet[10], packet[11]]);
        let sum = u32::from(!old) + u32::from(added);
        let folded = (sum & 0xffff) + (sum >> 16);
        packet[10..12].copy_from_slice(&(!(folded as u16)).to_be_bytes());
    }
    true
}
