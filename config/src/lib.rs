//! The TOML model, its checks, and errors that point at the character.
