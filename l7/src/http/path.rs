//! A path's normal form (RFC 3986, section 6.2.2), in which it is both routed by and forwarded, so that no rule of routing can be
//! passed by another spelling.

use super::Refusal;

/// What becomes of a slash or backslash that is percent-encoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum EncodedSlash {
    /// It stays as it is: no separator.
    #[default]
    Keep,
    /// The request is refused.
    Refuse,
}

/// Which rules are applied. Whatever they are, a percent sign without two digits and an encoded control character are refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PathRules {
    /// `.` and `..` are resolved (RFC 3986, section 5.2.4), encoded ones too; what leads above the root is refused.
    pub resolve_dots: bool,
    /// Encoded characters that need no encoding are decoded, and the digits of the others are capitals (RFC 3986, section 6.2.2.1 and 2).
    pub decode: bool,
    /// Slashes in a row are one.
    pub merge_slashes: bool,
    /// What becomes of an encoded slash.
    pub encoded_slash: EncodedSlash,
}

impl Default for PathRules {
    fn default() -> Self {
        Self { resolve_dots: true, decode: true, merge_slashes: true, encoded_slash: EncodedSlash::Keep }
    }
}

impl PathRules {
    /// The normal form of `path`: itself where it is that already, else written to `room`.
    ///
    /// # Errors
    /// When it has none.
    pub fn normalize<'p>(&self, path: &'p str, room: &'p mut String) -> Result<&'p str, Refusal> {
        // The asterisk form has no path.
        if !path.starts_with('/') || is_plain(path.as_bytes()) {
            return Ok(path);
        }
        room.clear();
        let mut rest = path.chars();
        while let Some(character) = rest.next() {
            match character {
                '/' => {
                    self.end_segment(room, false)?;
                    if !(self.merge_slashes && room.ends_with('/')) {
                        room.push('/');
                    }
                }
                '%' => {
                    let (octet, after) = escape(rest.as_str())?;
                    self.unescape(octet, &rest.as_str()[..2], room)?;
                    rest = after.chars();
                }
                other => room.push(other),
            }
        }
        self.end_segment(room, true)?;
        Ok(room)
    }

    fn unescape(&self, octet: u8, digits: &str, room: &mut String) -> Result<(), Refusal> {
        match octet {
            0..0x20 | 0x7f => return Err(Refusal::EscapedControl),
            b'/' | b'\\' if self.encoded_slash == EncodedSlash::Refuse => return Err(Refusal::EncodedSlash),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' if self.decode => {
                room.push(char::from(octet));
            }
            _ => {
                room.push('%');
                let cased = |digit: char| if self.decode { digit.to_ascii_uppercase() } else { digit };
                room.extend(digits.chars().map(cased));
            }
        }
        Ok(())
    }

    /// Resolves the segment that `room` ends with, if it is one of dots; `room` ends with a slash then.
    fn end_segment(&self, room: &mut String, is_last: bool) -> Result<(), Refusal> {
        let Some(slash) = room.rfind('/').filter(|_| self.resolve_dots) else { return Ok(()) };
        match dots(&room[slash + 1..]) {
            Some(1) => room.truncate(slash),
            Some(2) => {
                let parent = room[..slash].rfind('/').ok_or(Refusal::AboveRoot)?;
                room.truncate(parent);
            }
            _ => return Ok(()),
        }
        if is_last {
            room.push('/');
        }
        Ok(())
    }
}

/// True if no rule changes anything: no percent sign, no empty segment, and none that begins with a dot.
fn is_plain(path: &[u8]) -> bool {
    let changes = |pair: &[u8]| pair[0] == b'/' && matches!(pair[1], b'/' | b'.');
    memchr::memchr(b'%', path).is_none() && !path.windows(2).any(changes)
}

/// The octet that two digits encode, and what follows them.
fn escape(text: &str) -> Result<(u8, &str), Refusal> {
    let (digits, after) = text.split_at_checked(2).ok_or(Refusal::Escape)?;
    // A sign would be taken for a digit.
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(Refusal::Escape);
    }
    u8::from_str_radix(digits, 16).map(|octet| (octet, after)).map_err(|_| Refusal::Escape)
}

/// How many dots a segment is made of, encoded or not, if of nothing else.
fn dots(segment: &str) -> Option<usize> {
    let (mut rest, mut count) = (segment, 0);
    while !rest.is_empty() {
        rest = [".", "%2e", "%2E"].iter().find_map(|dot| rest.strip_prefix(dot))?;
        count += 1;
    }
    Some(count)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn normal(rules: PathRules, path: &str) -> Result<String, Refusal> {
        rules.normalize(path, &mut String::new()).map(str::to_owned)
    }

    #[test]
    fn by_default() {
        let cases = [
            ("/", "/"),
            ("/a/b.c", "/a/b.c"),
            ("/a/./b", "/a/b"),
            ("/a/.", "/a/"),
            ("/a/..", "/"),
            ("/a/b/../c", "/a/c"),
            ("/a/b/../../c", "/c"),
            ("/a//b///c", "/a/b/c"),
            ("//", "/"),
            ("//a", "/a"),
            ("/a//../b", "/b"),
            ("/%61", "/a"),
            ("/a%2fb", "/a%2Fb"),
            ("/a%5Cb", "/a%5Cb"),
            ("/%7e%2D%5f", "/~-_"),
            ("/%2e%2e/a", "!"),
            ("/a/%2E%2e/b", "/b"),
            ("/a/.%2e/b", "/b"),
            ("/%252e%252e/a", "/%252e%252e/a"),
            ("/...", "/..."),
            ("/.a/..b/c..", "/.a/..b/c.."),
            ("/a%20b", "/a%20b"),
            ("*", "*"),
        ];
        for (path, wanted) in cases {
            let wanted = if wanted == "!" { Err(Refusal::AboveRoot) } else { Ok(wanted.to_owned()) };
            assert_eq!(normal(PathRules::default(), path), wanted, "{path}");
        }
        for (path, refusal) in [
            ("/%", Refusal::Escape),
            ("/%4", Refusal::Escape),
            ("/%g0", Refusal::Escape),
            ("/%+1", Refusal::Escape),
            ("/%0", Refusal::Escape),
            ("/%00", Refusal::EscapedControl),
            ("/%0d%0a", Refusal::EscapedControl),
            ("/%7F", Refusal::EscapedControl),
            ("/..", Refusal::AboveRoot),
            ("/a/../..", Refusal::AboveRoot),
            ("/a/../../b", Refusal::AboveRoot),
            ("//..", Refusal::AboveRoot),
        ] {
            assert_eq!(normal(PathRules::default(), path), Err(refusal), "{path}");
        }
    }

    #[test]
    fn each_rule_by_itself() {
        let none = PathRules {
            resolve_dots: false,
            decode: false,
            merge_slashes: false,
            encoded_slash: EncodedSlash::Keep,
        };
        let cases = [
            (none, "/a/../%61//%2f", "/a/../%61//%2f"),
            (PathRules { resolve_dots: true, ..none }, "/a/%2e%2E/%61//%2f", "/%61//%2f"),
            (PathRules { resolve_dots: true, ..none }, "/a//../b", "/a/b"),
            (PathRules { decode: true, ..none }, "/a/%2e%2e/%61//%2f", "/a/../a//%2F"),
            (PathRules { merge_slashes: true, ..none }, "/a/../%61//%2f", "/a/../%61/%2f"),
        ];
        for (rules, path, wanted) in cases {
            assert_eq!(normal(rules, path), Ok(wanted.to_owned()), "{path} {rules:?}");
        }
        let refuse = PathRules { encoded_slash: EncodedSlash::Refuse, ..none };
        for path in ["/a%2fb", "/a%2Fb", "/a%5cb"] {
            assert_eq!(normal(refuse, path), Err(Refusal::EncodedSlash), "{path}");
        }
    }

    proptest! {
        #[test]
        fn a_normal_form_is_its_own(path in "/(/|\\.|%2e|%2F|%61|%25|a|b){0,24}") {
            if let Ok(once) = normal(PathRules::default(), &path) {
                prop_assert!(once.starts_with('/'));
                prop_assert!(!once.contains("//"));
                prop_assert!(!once.split('/').any(|segment| matches!(dots(segment), Some(1 | 2))));
                prop_assert_eq!(normal(PathRules::default(), &once), Ok(once));
            }
        }
    }
}
