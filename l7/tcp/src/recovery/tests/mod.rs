//! Loss recovery as a whole: a sender against an ideal receiver over links that lose, in virtual time; scenes segment by
//! segment; and properties.

mod attacks;
mod links;
mod properties;
mod scene;
mod scenes;
mod simulation;
