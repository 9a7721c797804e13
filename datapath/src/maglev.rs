//! Maglev hashing (Eisenbud et al., NSDI 2016, section 3.4): a table that maps a flow's hash to a backend, evenly, and
//! with little movement when backends come or go.

/// One backend's part in the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// What the backend *is*, and not where it stands: a hash of its address and port. It alone decides which slots it prefers.
    pub identity: u64,
    /// How many turns it takes in each round, relative to the others. Zero takes none.
    pub weight: u32,
    /// What a lookup answers: the backend's slot in the snapshot.
    pub slot: u16,
}

/// The lookup table of one service.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Maglev {
    table: Vec<u16>,
}
