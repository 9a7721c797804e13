//! The fields of a head or trailer section, in the octets that they came in.

use std::mem::MaybeUninit;

use super::name::Scope;
use super::{Limits, Name, Refusal};

/// Where a head is parsed to: room for its fields, on the caller's stack.
#[derive(Debug)]
pub struct Scratch<'b> {
    pub(super) headers: [MaybeUninit<httparse::Header<'b>>; Limits::MOST_FIELDS],
    pub(super) names: [Option<Name>; Limits::MOST_FIELDS],
}

impl Scratch<'_> {
    /// Room for any head.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            headers: [const { MaybeUninit::uninit() }; Limits::MOST_FIELDS],
            names: [None; Limits::MOST_FIELDS],
        }
    }
}

impl Default for Scratch<'_> {
    fn default() -> Self {
        Self::new()
    }
}

/// Fields of a trailer section at most.
const MOST_TRAILERS: usize = 32;

/// One field line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Field<'b> {
    /// What the proxy knows it as.
    pub name: Option<Name>,
    /// Its name, as it came.
    pub text: &'b str,
    /// Its value, without white space around it.
    pub value: &'b [u8],
}

/// Field lines, in their order.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'h, 'b> {
    headers: &'h [httparse::Header<'b>],
    names: &'h [Option<Name>],
}

impl<'h, 'b> Fields<'h, 'b> {
    /// Recognises the names.
    pub(super) fn new(headers: &'h [httparse::Header<'b>], names: &'h mut [Option<Name>]) -> Self {
        for (name, header) in names.iter_mut().zip(headers) {
            *name = Name::of(header.name);
        }
        Self { headers, names }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = Field<'b>> + use<'h, 'b> {
        let named = self.headers.iter().zip(self.names);
        named.map(|(header, name)| Field { name: *name, text: header.name, value: header.value })
    }

    /// The values of all lines of one name.
    pub fn values(&self, name: Name) -> impl Iterator<Item = &'b [u8]> + use<'h, 'b> {
        self.iter().filter(move |field| field.name == Some(name)).map(|field| field.value)
    }

    /// The values of all lines of a name that the proxy may not know.
    pub fn values_of<'n>(&self, text: &'n str) -> impl Iterator<Item = &'b [u8]> + use<'h, 'b, 'n> {
        self.iter().filter(move |field| field.text.eq_ignore_ascii_case(text)).map(|field| field.value)
    }

    /// The elements of a list-valued field, over all of its lines (RFC 9110, section 5.6.1); empty ones are left out. Not for fields whose
    /// elements may be quoted.
    pub fn elements(&self, name: Name) -> impl Iterator<Item = &'b [u8]> + use<'h, 'b> {
        let elements = self.values(name).flat_map(|value| value.split(|octet| *octet == b','));
        elements.map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
    }

    /// The values of the cookies of a name (RFC 6265, section 5.4); servers take them apart leniently, and so does this.
    pub fn cookies<'n>(&self, name: &'n str) -> impl Iterator<Item = &'b [u8]> + use<'h, 'b, 'n> {
        let pairs = self.values(Name::Cookie).flat_map(|line| line.split(|octet| *octet == b';'));
        pairs.filter_map(move |pair| {
            let mut parts = pair.trim_ascii().splitn(2, |octet| *octet == b'=');
            let known = parts.next()?;
            (known == name.as_bytes()).then(|| parts.next().unwrap_or_default())
        })
    }

    /// Those that go on to the next hop: not what is for this hop only, what `Connection` names, and what frames and routes the message,
    /// which is written anew (RFC 9110, section 7.6.1).
    pub fn end_to_end(&self) -> impl Iterator<Item = Field<'b>> + use<'h, 'b> {
        let all = *self;
        let names_fields = all.names.contains(&Some(Name::Connection));
        self.iter().filter(move |field| {
            let stays = match field.name.map(Name::scope) {
                None | Some(Scope::EndToEnd | Scope::HeadOnly) => true,
                Some(Scope::Hop | Scope::Message) => false,
            };
            stays && !(names_fields && all.connection_names(field.text))
        })
    }

    fn connection_names(&self, text: &str) -> bool {
        self.elements(Name::Connection).any(|option| option.eq_ignore_ascii_case(text.as_bytes()))
    }
}

/// Tells the fields of a trailer section that go on: what could frame, route or authorise the message, or says how to read it, does not
/// (RFC 9110, section 6.5.1).
///
/// # Errors
/// When any of them is malformed, or there are too many.
pub fn trailers<'b>(section: &'b [u8], mut tell: impl FnMut(Field<'b>)) -> Result<(), Refusal> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_TRAILERS];
    let fields = match httparse::parse_headers(section, &mut headers) {
        Ok(httparse::Status::Complete((_, fields))) => fields,
        Ok(httparse::Status::Partial) => return Err(Refusal::FieldName),
        Err(error) => return Err(refusal(error, section, |_| Ok(()))),
    };
    for header in fields {
        let name = Name::of(header.name);
        if matches!(name.map(Name::scope), None | Some(Scope::EndToEnd)) {
            tell(Field { name, text: header.name, value: header.value });
        }
    }
    Ok(())
}

/// What is wrong with `octets`, of which httparse says `error`; `start_line` knows what it does not tell apart in a first line.
pub(super) fn refusal(
    error: httparse::Error,
    octets: &[u8],
    start_line: impl FnOnce(&[u8]) -> Result<(), Refusal>,
) -> Refusal {
    use httparse::Error as E;
    let is_bare = |pair: &[u8]| pair[0] == b'\r' && pair[1] != b'\n';
    if octets.windows(2).any(is_bare) {
        return Refusal::BareCarriageReturn;
    }
    if let Err(refusal) = start_line(octets) {
        return refusal;
    }
    match error {
        E::HeaderName => Refusal::FieldName,
        E::HeaderValue => Refusal::FieldValue,
        E::TooManyHeaders => Refusal::TooManyFields,
        E::Status => Refusal::StatusCode,
        E::NewLine | E::Token | E::Version => Refusal::StartLine,
    }
}
