//! Stacks against each other over a perfect link, and against crafted segments.

mod anything;
mod attacks;
mod closing;
mod ecn;
mod floods;
mod handshake;
mod pair;
mod path;
mod patience;
mod peer;
mod plain;
mod receiving;
mod sending;
mod sizes;
mod states;
mod timestamps;
mod transfer;
mod windows;

impl crate::Stack<crate::HeapBuf> {
    /// RCV.NXT and SND.UNA of a connection, to write segments that nearly fit.
    fn numbers(&self, id: crate::ConnectionId) -> Option<(crate::SequenceNumber, crate::SequenceNumber)> {
        let connection = self.connections.named(id)?;
        Some((connection.receive_next(), connection.unacknowledged))
    }

    /// SND.NXT of the only connection in TIME-WAIT.
    fn last_number_of_time_wait(&self) -> crate::SequenceNumber {
        self.time_wait.at(0).expect("there is one").send_next
    }
}
