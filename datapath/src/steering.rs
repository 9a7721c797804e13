//! Which worker owns a packet.

/// How packets find their worker: the same on every core.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Steering {
    /// There is one worker.
    #[default]
    Single,
    /// A hash of ours over the client's end.
    Software {
        /// Number of workers.
        workers: u8,
    },
    /// The devices' hash.
    Rss {
        /// The Toeplitz key.
        key: Vec<u8>,
        /// From hash to worker; a power of two long.
        reta: Vec<u8>,
    },
}
