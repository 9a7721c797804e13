//! The TOML model, its checks, and errors that point at the character.
//!
//! [`Config::parse`] takes the text of a file and gives the [`Config`] with its warnings, or every error that is in it.
//!
//! Invariants: no text makes it panic; a [`Config`] is within all bounds and passed all checks, or there is none; no
//! error keeps another one from being reported, except that a file that is not TOML is not looked into further.
//!
//! The `toml` crate parses, with spans. Values are read from its tables by a small reader rather than by serde's
//! `Deserialize`, which stops at its first error and so would show one of ten mistakes. Serde writes the model (`check
//! --json`), in the shape of the file.

#![forbid(unsafe_code)]

mod check;
mod finding;
pub mod limits;
mod load;
pub mod model;
pub mod nearest;
mod parse;
mod patterns;
mod read;
mod report;
mod respond;
mod site;
pub mod units;
pub mod words;

pub use finding::Finding;
pub use load::{Errors, Parsed, Warnings};
pub use model::*;
pub use report::{Diagnostic, Severity};
pub use respond::{Respond, body, body_size, content_type};
pub use site::{
    Budget, By, CertificateFiles, Change, Condition, Edit, Ejection, Http, PathPattern, Pool, PoolTls,
    Redirect, Retries, Rewrite, RouteRespond, RouteTimeouts, Share, Site, SiteRoute, Tells, Test, Tls,
};
pub use words::{
    BackendState, Balance, ClientProof, EncodedSlash, Idle, Mode, Protocol, ProxyProtocol, Scheme,
    TlsVersion, Word,
};
