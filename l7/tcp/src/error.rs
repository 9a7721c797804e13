//! What can go wrong, and how connections end.

use core::fmt;

/// How a connection ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Ending {
    /// Both sides closed it, and all that was sent has been acknowledged.
    Closed,
    /// The other end reset it.
    Reset,
    /// The other end refused an active open.
    Refused,
    /// The other end did not answer for too long.
    TimedOut,
    /// ICMP said that the other end cannot be reached while the connection was being opened.
    Unreachable,
    /// The application aborted it.
    Aborted,
}

macro_rules! errors {
    ($($(#[$outer:meta])* $kind:ident { $($variant:ident $text:literal,)+ })+) => {$(
        $(#[$outer])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum $kind {
            $(#[doc = $text] $variant,)+
        }

        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $text,)+ })
            }
        }

        impl core::error::Error for $kind {}
    )+};
}

errors! {
    /// Why a listener cannot be.
    ListenError {
        InUse "another listener has this address and port",
        TooMany "there are too many listeners, or too many different settings",
    }
    /// Why a connection cannot be opened.
    ConnectError {
        InUse "this pair of endpoints has a connection, or had one that is remembered in TIME-WAIT",
        Unusable "an address is not that of a host, or a port is zero",
        TooMany "the stack has as many connections, or as many different settings, as it may",
    }
    /// Why octets were not taken to be sent.
    SendError {
        Full "the send buffer, or the memory of all connections, is used up: Writable will say when there is room",
        Closed "this side has been closed, or the connection is over",
    }
}

/// The connection was released, or never was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoConnection;

impl fmt::Display for NoConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection was released, or never was")
    }
}

impl core::error::Error for NoConnection {}
