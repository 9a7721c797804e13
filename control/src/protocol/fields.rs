//! The fields of requests: how each type is read from JSON, and what is said when it is something else.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use evenkeel_config::nearest::nearest;
use evenkeel_config::units::Parsed;
use evenkeel_config::{BackendState, Mode, Protocol, Respond, Word, limits, units};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::answer::{Refusal, RefusalKind};

/// A backend that is added together with its service.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct BackendSpec {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its share of new flows against the others'; 1 when absent.
    pub weight: Option<u32>,
    /// What it may be given; active when absent.
    pub state: Option<BackendState>,
    /// The pool that it is in, in mode `l7`; the default one when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
}

/// When the flows of a draining backend are cut: in JSON a duration such as `"30s"`, or `"never"`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deadline {
    /// So long after the request.
    After(Duration),
    /// Never: they end by themselves.
    Never,
}

impl Deadline {
    /// Reads `"30s"` or `"never"`; `"0s"` means never, too, since cutting at once is what `backend down` does.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "never" {
            return Ok(Self::Never);
        }
        match units::duration(text) {
            Ok(Duration::ZERO) => Ok(Self::Never),
            Ok(duration) => Ok(Self::After(duration)),
            Err(expected) => Err(format!("{expected}, or \"never\"")),
        }
    }
}

impl fmt::Display for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::After(duration) => f.write_str(&units::duration_text(*duration)),
            Self::Never => f.write_str("never"),
        }
    }
}

impl Serialize for Deadline {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The fields of a JSON object in which each name stands once.
#[derive(Debug)]
pub(super) struct Object {
    /// In front of the names of its fields in messages: `backends[2].`, or nothing.
    path: String,
    fields: Vec<(String, Value)>,
}

impl Object {
    /// Reads a line.
    pub(super) fn parse(line: &[u8]) -> Result<Self, Refusal> {
        let malformed = |problem: String| Refusal::new(RefusalKind::Malformed, problem);
        let text = std::str::from_utf8(line).map_err(|error| malformed(format!("not UTF-8: {error}")))?;
        match serde_json::from_str::<Fields>(text) {
            Ok(Fields(fields)) => Self::of(String::new(), fields),
            Err(error) => Err(malformed(format!("expected one JSON object a line: {error}"))),
        }
    }

    fn of(path: String, fields: Vec<(String, Value)>) -> Result<Self, Refusal> {
        let mut names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        if let Some([twice, _]) = names.array_windows().find(|[a, b]| a == b) {
            let field = format!("{path}{}", shortened(twice));
            let message = format!("the field {field:?} is there twice");
            return Err(Refusal::new(RefusalKind::DuplicateField, message).field(field));
        }
        Ok(Self { path, fields })
    }

    /// Removes and returns a field.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        let at = self.fields.iter().position(|(known, _)| known == name)?;
        Some(self.fields.swap_remove(at).1)
    }

    /// Refuses fields besides `known`.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), Refusal> {
        let Some((name, _)) = self.fields.iter().find(|(name, _)| !known.contains(&name.as_str())) else {
            return Ok(());
        };
        let missing =
            known.iter().copied().filter(|known| !self.fields.iter().any(|(name, _)| name == known));
        let valid = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let field = format!("{}{}", self.path, shortened(name));
        let message = format!("there is no field {field:?} here; valid: {valid}");
        Err(Refusal::new(RefusalKind::UnknownField, message).field(field).nearest(nearest(name, missing)))
    }

    /// Reads a field.
    pub(super) fn field<T: Field>(&mut self, name: &str) -> Result<T, Refusal> {
        let path = format!("{}{name}", self.path);
        match self.take(name) {
            Some(value) => T::from_json(value, &path),
            None => T::absent().ok_or_else(|| {
                let message = format!("the field {path:?} is missing: {}", T::EXPECTED);
                Refusal::new(RefusalKind::MissingField, message).field(path)
            }),
        }
    }

    /// Reads a string that `parse` understands, if there is one.
    fn parsed<T>(&mut self, name: &str, parse: fn(&str) -> Parsed<T>) -> Result<Option<T>, Refusal> {
        let Some(text) = self.field::<Option<String>>(name)? else { return Ok(None) };
        let path = format!("{}{name}", self.path);
        let refuse = |problem| Refusal::new(RefusalKind::BadValue, format!("{path:?}: {problem}"));
        parse(&text).map(Some).map_err(|problem| refuse(problem).field(path.clone()))
    }

    /// What to say of a request without a command.
    pub(super) fn without_command(&self, commands: &[&str]) -> Refusal {
        let meant = self.fields.iter().find(|(name, _)| nearest(name, ["command"]).is_some());
        let message = format!("the field \"command\" is missing; valid: {}", commands.join(", "));
        let (kind, field) = match meant {
            Some((name, _)) => (RefusalKind::UnknownField, shortened(name)),
            None => (RefusalKind::MissingField, "command".to_owned()),
        };
        Refusal::new(kind, message).field(field).nearest(meant.map(|_| "command"))
    }
}

fn shortened(name: &str) -> String {
    name.chars().take(64).collect()
}

/// An object's fields as they stand, names given twice included.
struct Fields(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

/// A type that a field of a request may have.
pub(super) trait Field: Sized {
    /// What a value looks like, with an example.
    const EXPECTED: &'static str;

    /// What stands in for the field when it is absent; `None` if it must be there.
    fn absent() -> Option<Self> {
        None
    }

    /// Reads the value of the field at `path`.
    fn from_json(value: Value, path: &str) -> Result<Self, Refusal>;
}

fn text<T: Field>(value: Value, path: &str) -> Result<String, Refusal> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(Refusal::wrong_type(path, T::EXPECTED, &other)),
    }
}

fn number<T: Field + TryFrom<u64>>(value: &Value, path: &str) -> Result<T, Refusal> {
    match value.as_u64() {
        Some(number) => T::try_from(number).map_err(|_| {
            Refusal::new(RefusalKind::BadValue, format!("{path:?} is too large: {}", T::EXPECTED)).field(path)
        }),
        None => Err(Refusal::wrong_type(path, T::EXPECTED, value)),
    }
}

impl Field for String {
    const EXPECTED: &'static str = "a string";

    fn from_json(value: Value, path: &str) -> Result<Self, Refusal> {
        text::<Self>(value, path)
    }
}

impl Field for u32 {
    const EXPECTED: &'static str = "a whole number below 2^32";

    fn from_json(value: Value, path: &str) -> Result<Self, Refusal> {
        number(&value, path)
    }
}

impl Field for bool {
    const EXPECTED: &'static str = "true or false";

    fn from_json(value: Value, path: &str) -> Result<Self, Refusal> {
        value.as_bool().ok_or_else(|| Refusal::wrong_type(path, Self::EXPECTED, &value))
    }
}

impl Field for u8 {
    const EXPECTED: &'static str = "a whole number up to 255";

    fn from_json(value: Value, path: &str) -> Result<Self, Refusal> {
        number(&value, path)
    }
}

impl Field for SocketAddr {
    const EXPECTED: &'static str =
        "a string with address and port, such as \"192.0.2.10:80\" or \"[2001:db8::1]:443\"";

    fn from_json(value: Value, path: &str) -> Result<Self, Refusal> {
        let text = text::<Self>(value, path)?;
        units::endpoint(&text).map_err(|problem| {
            Refusal::new(RefusalKind::BadValue, format!("{path:?}: {problem}")).field(path)
        })
    }
}

impl Field for Deadline {
    const EXPECTED: &'static str = "a string with a duration, such as \"30s\" or \"5m\", or \"never\"";

    fn from_json(value: Value, path: &str) -> Result<Self, Refusal> {
        let text = text::<Self>(value, path)?;
        Self::parse(&text).map_err(|problem| {
            Refusal::new(RefusalKind::BadValue, format!("{path:?}: {problem}")).field(path)
        })
    }
}

impl<T: Field> Field for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;

    fn absent() -> Option<Self> {
        Some(None)
    }

    fn from_json(value: Value, path: &str) -> Result<Self, Refusal> {
        if value.is_null() { Ok(None) } else { T::from_json(value, path).map(Some) }
    }
}

impl<T: Field> Field for Vec<T> {
    const EXPECTED: &'static str = "an array";

    fn absent() -> Option<Self> {
        Some(Self::new())
    }

    fn from_json(value: Value, path: &str) -> Result<Self, Refusal> {
        match value {
            Value::Array(values) => values
                .into_iter()
                .enumerate()
                .map(|(at, value)| T::from_json(value, &format!("{path}[{at}]")))
                .collect(),
            other => Err(Refusal::wrong_type(path, Self::EXPECTED, &other)),
        }
    }
}

impl Field for BackendSpec {
    const EXPECTED: &'static str = "an object with address, weight, state and pool";

    fn from_json(value: Value, path: &str) -> Result<Self, Refusal> {
        let Value::Object(fields) = value else {
            return Err(Refusal::wrong_type(path, Self::EXPECTED, &value));
        };
        let mut object = Object::of(format!("{path}."), fields.into_iter().collect())?;
        object.only(&["address", "weight", "state", "pool"])?;
        Ok(Self {
            address: object.field("address")?,
            weight: object.field("weight")?,
            state: object.field("state")?,
            pool: object.field("pool")?,
        })
    }
}

impl Field for Respond {
    const EXPECTED: &'static str = "an object with status, content_type and body or body_size";

    fn from_json(value: Value, path: &str) -> Result<Self, Refusal> {
        let Value::Object(fields) = value else {
            return Err(Refusal::wrong_type(path, Self::EXPECTED, &value));
        };
        let mut object = Object::of(format!("{path}."), fields.into_iter().collect())?;
        object.only(&["status", "content_type", "body", "body_size"])?;
        let default = Self::default();
        let status = object.field::<Option<u32>>("status")?.map(|status| match u16::try_from(status) {
            Ok(code) if limits::STATUS.contains(&u64::from(code)) => Ok(code),
            _ => {
                let (least, most) = (limits::STATUS.start(), limits::STATUS.end());
                let message = format!("a status is {least} to {most}, and not {status}");
                Err(Refusal::new(RefusalKind::BadValue, message).field(format!("{path}.status")))
            }
        });
        Ok(Self {
            status: status.transpose()?.unwrap_or(default.status),
            content_type: object
                .parsed("content_type", evenkeel_config::content_type)?
                .unwrap_or(default.content_type),
            body: object.parsed("body", evenkeel_config::body)?,
            body_size: object.parsed("body_size", evenkeel_config::body_size)?,
        })
    }
}

macro_rules! word_fields {
    ($($type:ty: $expected:literal)+) => {$(
        impl Field for $type {
            const EXPECTED: &'static str = $expected;

            fn from_json(value: Value, path: &str) -> Result<Self, Refusal> {
                let word = text::<Self>(value, path)?;
                Self::from_word(&word).ok_or_else(|| {
                    let message = format!("{path:?} is {:?}; expected {}", shortened(&word), Self::EXPECTED);
                    Refusal::new(RefusalKind::BadValue, message)
                        .field(path)
                        .nearest(nearest(&word, Self::ALL.iter().map(|known| known.as_str())))
                })
            }
        }
    )+};
}

word_fields! {
    Protocol: "\"tcp\" or \"udp\""
    Mode: "\"full-nat\", \"nat\", \"dsr-mac\" or \"l7\""
    BackendState: "\"active\", \"draining\" or \"down\""
}
