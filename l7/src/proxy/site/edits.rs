//! Changes to the fields of a head.

use crate::http::{Field, HeadWriter, Name};

/// A change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Edit {
    /// There is this field of the name, and no other.
    Set(String, String),
    /// There is this field beside those that there are.
    Add(String, String),
    /// There is no field of the name.
    Remove(String),
}

/// Why a change cannot be made.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EditError {
    /// RFC 9110, section 5.1.
    #[error("{0:?} is not the name of a field")]
    Name(String),
    /// It frames or routes the message, or is for one hop only.
    #[error("{0} is the proxy's own")]
    Own(String),
    /// RFC 9110, section 5.5.
    #[error("the value of {0} has control characters, or white space at an end")]
    Value(String),
}

/// Changes, which leave alone what frames and routes the message.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Edits(Vec<Edit>);

impl Edits {
    /// These changes.
    ///
    /// # Errors
    /// When one cannot be made.
    pub fn new(edits: Vec<Edit>) -> Result<Self, EditError> {
        for edit in &edits {
            let name = edit.name();
            if !Name::is_token(name) {
                return Err(EditError::Name(name.to_owned()));
            }
            if !Name::is_forwarded(name) {
                return Err(EditError::Own(name.to_owned()));
            }
            let (Edit::Set(_, value) | Edit::Add(_, value)) = edit else { continue };
            if value.trim_ascii() != value || value.bytes().any(|octet| octet.is_ascii_control()) {
                return Err(EditError::Value(name.to_owned()));
            }
        }
        Ok(Self(edits))
    }

    /// True if fields of this name are taken off.
    pub(in crate::proxy) fn take_off(&self, name: &str) -> bool {
        self.0.iter().any(|edit| !matches!(edit, Edit::Add(..)) && edit.name().eq_ignore_ascii_case(name))
    }

    /// Writes a field as it was read, unless it is taken off.
    pub(in crate::proxy) fn forward(&self, head: &mut HeadWriter<'_>, field: Field<'_>) {
        if !self.take_off(field.text) {
            head.forward(field);
        }
    }

    /// Writes what is set and added.
    pub(in crate::proxy) fn write(&self, head: &mut HeadWriter<'_>) {
        for edit in &self.0 {
            if let Edit::Set(name, value) | Edit::Add(name, value) = edit {
                head.line(name, value.as_bytes());
            }
        }
    }
}

impl Edit {
    fn name(&self) -> &str {
        let (Self::Set(name, _) | Self::Add(name, _) | Self::Remove(name)) = self;
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_frames_a_message_cannot_be_changed() {
        let remove = |name: &str| Edits::new(vec![Edit::Remove(name.to_owned())]);
        for name in ["content-length", "Transfer-Encoding", "Connection", "host", "upgrade", "TE", "Expect"] {
            assert_eq!(remove(name), Err(EditError::Own(name.to_owned())));
        }
        for name in ["", "a b", "a:", "ä", "a\r\nb"] {
            assert_eq!(remove(name), Err(EditError::Name(name.to_owned())));
        }
        for value in ["a\r\nX-Other: b", "\0", " a", "a\t"] {
            let add = Edit::Add("X-A".to_owned(), value.to_owned());
            assert_eq!(Edits::new(vec![add]), Err(EditError::Value("X-A".to_owned())), "{value:?}");
        }
        assert!(remove("X-A").is_ok());
    }
}
