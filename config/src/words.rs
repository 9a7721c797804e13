//! Keys whose values are one word of a closed list.
//!
//! Invariant: each word is written once, here; parsing, printing and serde take it from the list.

use std::fmt;

use serde::Serialize;

/// A closed list of words that a key may have as its value.
pub trait Word: Copy + 'static {
    /// All of them, in the order in which messages list them.
    const ALL: &'static [Self];

    /// The word as the file has it.
    fn as_str(self) -> &'static str;

    /// The value that `word` stands for.
    fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|known| known.as_str() == word)
    }
}

/// Gives an enum its words: one line each, from which parsing, printing and serde come.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, serde::Deserialize)]
        pub enum $name { $($(#[$variant_doc])* #[serde(rename = $word)] $variant,)* }

        impl Word for $name {
            const ALL: &'static [Self] = &[$(Self::$variant,)*];

            fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

words! {
    /// What a worker does when there is nothing to do.
    Idle {
        /// Asks its ports again at once: least latency, a whole core.
        #[default]
        Poll = "poll",
        /// Sleeps for some tens of microseconds after a thousand empty turns.
        Backoff = "backoff",
    }
}

words! {
    /// What clients of a service speak.
    Protocol {
        /// TCP.
        #[default]
        Tcp = "tcp",
        /// UDP.
        Udp = "udp",
    }
}

words! {
    /// How a service's packets reach its backends.
    Mode {
        /// Source and destination are rewritten: the backend sees an address of the balancer.
        #[default]
        FullNat = "full-nat",
        /// The destination is rewritten: the backend sees the client and routes its answers through the balancer.
        Nat = "nat",
        /// Only the Ethernet addresses are rewritten: the backend carries the VIP and answers the client itself.
        DsrMac = "dsr-mac",
        /// They do not: connections end in the balancer, which answers requests itself.
        L7 = "l7",
    }
}

words! {
    /// What a backend may be given.
    BackendState {
        /// New flows, and packets of those that it has.
        #[default]
        Active = "active",
        /// Packets of flows that it has, until its deadline; no new flows.
        Draining = "draining",
        /// Nothing.
        Down = "down",
    }
}

words! {
    /// How a backend of a pool is chosen.
    Balance {
        /// Of two that are drawn, the one with fewer requests under way.
        #[default]
        PowerOfTwo = "power-of-two",
        /// Of two that are drawn, the one that is expected to answer sooner.
        PeakEwma = "peak-ewma",
        /// One after the other.
        RoundRobin = "round-robin",
        /// Of all, the one with the fewest requests under way.
        LeastRequests = "least-requests",
        /// Any.
        Random = "random",
        /// By a hash: the same for the same header, cookie or source.
        Maglev = "maglev",
    }
}

words! {
    /// What becomes of a slash in a path that is percent-encoded.
    EncodedSlash {
        /// It stays as it is: no separator.
        #[default]
        Keep = "keep",
        /// The request is refused.
        Refuse = "refuse",
    }
}

words! {
    /// A version of the PROXY protocol.
    ProxyProtocol {
        /// A line of text.
        #[default]
        V1 = "v1",
        /// Binary.
        V2 = "v2",
    }
}

words! {
    /// The scheme of a URI.
    Scheme {
        /// In the clear.
        Http = "http",
        /// Over TLS.
        #[default]
        Https = "https",
    }
}

words! {
    /// Whether clients have to prove who they are.
    ClientProof {
        /// They are not asked.
        #[default]
        Off = "off",
        /// They are asked, and may say nothing; what they say is checked.
        Optional = "optional",
        /// They are asked, and have to.
        Required = "required",
    }
}

words! {
    /// A version of TLS.
    TlsVersion {
        /// RFC 5246.
        #[default]
        V12 = "1.2",
        /// RFC 8446.
        V13 = "1.3",
    }
}
