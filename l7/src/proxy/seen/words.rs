//! Records as lines: JSON, or by a format string.

use std::fmt::{self, Write};
use std::time::Duration;

use super::Record;

/// How lines are written.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Format {
    /// An object a line, with every field that there is.
    #[default]
    Json,
    /// What stands between fields, and fields.
    Line(Vec<Part>),
}

/// A part of a line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Part {
    /// This.
    Text(String),
    /// A field; `-` if there is none.
    Field(Field),
}

/// Why a format string is none.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FormatError {
    /// There is no such field.
    #[error("there is no field {0:?}")]
    Unknown(String),
    /// A brace has no other one.
    #[error("a brace is not closed, or closes nothing; {{{{ and }}}} stand for braces")]
    Brace,
}

macro_rules! fields {
    ($($variant:ident $name:literal $help:literal)*) => {
        /// A field of a record.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Field {
            $(#[doc = $help] $variant,)*
        }

        impl Field {
            /// All of them, in order.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Its name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

fields! {
    Time "time" "When it was over: seconds since 1970."
    Client "client" "Who asked: address and port."
    Method "method" "The method."
    Host "host" "The host."
    Path "path" "The path, without its query."
    Site "service" "The service."
    Route "route" "The route."
    Backend "backend" "Who answered: address and port."
    Status "status" "The status of the answer."
    Received "received" "Octets of content from the client."
    Sent "sent" "Octets of content to the client."
    Total "total_us" "Microseconds from the head of the request to the end of its response."
    Connect "connect_us" "Microseconds to come to a connection."
    First "first_us" "Microseconds to the head of the response."
    Retries "retries" "How often it was sent once more."
    Id "id" "The identifier of the request."
    Cause "cause" "Why it came to nothing."
}

/// What a field is in a record.
enum Value<'r> {
    None,
    Number(u64),
    Seconds(Duration),
    Text(&'r [u8]),
    Shown(std::net::SocketAddr),
}

impl Field {
    /// `offset` is what a worker's time lacks to the time since 1970.
    fn of(self, record: &Record, offset: Duration) -> Value<'_> {
        let text = |text| if <[u8]>::is_empty(text) { Value::None } else { Value::Text(text) };
        let micros = |time: Duration| Value::Number(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
        match self {
            Self::Time => Value::Seconds(Duration::from_nanos(record.nanos) + offset),
            Self::Client => record.client.map_or(Value::None, Value::Shown),
            Self::Method => text(record.method.octets()),
            Self::Host => text(record.host.octets()),
            Self::Path => text(record.path.octets()),
            Self::Site => text(record.site.octets()),
            Self::Route => text(record.route.octets()),
            Self::Backend => record.backend.map_or(Value::None, Value::Shown),
            Self::Status if record.status == 0 => Value::None,
            Self::Status => Value::Number(u64::from(record.status)),
            Self::Received => Value::Number(record.received),
            Self::Sent => Value::Number(record.sent),
            Self::Total => micros(record.times.total),
            Self::Connect => record.times.connect.map_or(Value::None, micros),
            Self::First => record.times.first.map_or(Value::None, micros),
            Self::Retries => Value::Number(u64::from(record.retries)),
            Self::Id => text(record.id.octets()),
            Self::Cause => record.cause.map_or(Value::None, |cause| Value::Text(cause.name().as_bytes())),
        }
    }
}

impl Format {
    /// Reads a format string: text, with names of fields in braces, as in `{client} "{method} {path}" {status}`.
    ///
    /// # Errors
    /// When there is no such field, or a brace stands alone.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let (mut parts, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find(['{', '}']) {
            let (before, braces) = rest.split_at(at);
            plain.push_str(before);
            if let Some(after) = braces.strip_prefix("{{").or_else(|| braces.strip_prefix("}}")) {
                plain.extend(braces.chars().take(1));
                rest = after;
                continue;
            }
            let inside = braces.strip_prefix('{').ok_or(FormatError::Brace)?;
            let (name, after) = inside.split_once('}').ok_or(FormatError::Brace)?;
            let known = Field::ALL.iter().find(|field| field.name() == name);
            let field = known.ok_or_else(|| FormatError::Unknown(name.to_owned()))?;
            parts.extend([Part::Text(std::mem::take(&mut plain)), Part::Field(*field)]);
            rest = after;
        }
        plain.push_str(rest);
        parts.push(Part::Text(plain));
        Ok(Self::Line(parts))
    }

    /// Appends a record as a line, its end included. `offset` is what the workers' time lacks to the time since 1970. What a client has sent
    /// cannot end a line, nor a string in it.
    pub fn write(&self, record: &Record, offset: Duration, out: &mut String) {
        // Nothing that is written to memory fails.
        let _ = match self {
            Self::Json => json(record, offset, out),
            Self::Line(parts) => line(parts, record, offset, out),
        };
        out.push('\n');
    }
}

fn json(record: &Record, offset: Duration, out: &mut String) -> fmt::Result {
    let mut separator = '{';
    for field in Field::ALL {
        let value = field.of(record, offset);
        if let Value::None = value {
            continue;
        }
        write!(out, "{separator}\"{}\":", field.name())?;
        separator = ',';
        match value {
            Value::None => {}
            Value::Number(number) => write!(out, "{number}")?,
            Value::Seconds(time) => write!(out, "{}.{:06}", time.as_secs(), time.subsec_micros())?,
            Value::Shown(address) => write!(out, "\"{address}\"")?,
            Value::Text(text) => {
                out.push('"');
                for chunk in text.utf8_chunks() {
                    for character in chunk.valid().chars() {
                        match character {
                            '"' | '\\' => out.extend(['\\', character]),
                            control if control.is_control() => write!(out, "\\u{:04x}", u32::from(control))?,
                            other => out.push(other),
                        }
                    }
                    if !chunk.invalid().is_empty() {
                        out.push('\u{fffd}');
                    }
                }
                out.push('"');
            }
        }
    }
    out.push('}');
    Ok(())
}

fn line(parts: &[Part], record: &Record, offset: Duration, out: &mut String) -> fmt::Result {
    for part in parts {
        let field = match part {
            Part::Text(text) => {
                out.push_str(text);
                continue;
            }
            Part::Field(field) => field,
        };
        match field.of(record, offset) {
            Value::None => out.push('-'),
            Value::Number(number) => write!(out, "{number}")?,
            Value::Seconds(time) => write!(out, "{}.{:06}", time.as_secs(), time.subsec_micros())?,
            Value::Shown(address) => write!(out, "{address}")?,
            Value::Text(text) => write!(out, "{}", text.escape_ascii())?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
