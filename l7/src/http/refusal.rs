//! Why a message was not taken: the one list of reasons, with what the client is told.

macro_rules! refusals {
    ($($(#[$rfc:meta])* $variant:ident $status:literal $name:literal $sentence:literal)*) => {
        /// Why a message was refused. Each is a counter of its own.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
        pub enum Refusal {
            $(#[doc = $sentence] $(#[$rfc])* #[error($sentence)] $variant,)*
        }

        impl Refusal {
            /// All of them, in order.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The status that a client's message is answered with. For a backend's message it is always 502.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }

            /// What a client is told.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$variant => $sentence,)* }
            }

            /// The name of its counter.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

refusals! {
    /// RFC 9112, section 2.2: recognising it is allowed, and has led to smuggling.
    BareLineFeed 400 "bare_line_feed" "A line ends in LF without CR."
    /// RFC 9112, section 2.2.
    BareCarriageReturn 400 "bare_carriage_return" "A CR stands where no line ends."
    /// RFC 9112, section 5.2.
    Folding 400 "folding" "A field is folded over several lines, or a line begins with white space."
    /// RFC 9110, section 15.5.15.
    TargetTooLong 414 "target_too_long" "The request line is too long."
    /// RFC 6585, section 5.
    LineTooLong 431 "line_too_long" "A field is too long."
    /// RFC 6585, section 5.
    HeadTooLarge 431 "head_too_large" "The head is too large."
    /// RFC 6585, section 5.
    TooManyFields 431 "too_many_fields" "There are too many fields."
    /// RFC 9112, section 3; RFC 9112, section 4.
    StartLine 400 "start_line" "The first line is malformed."
    /// RFC 9110, section 9.1.
    Method 400 "method" "The method is not a token."
    /// RFC 9110, section 15.6.6.
    Version 505 "version" "The version is neither HTTP/1.1 nor HTTP/1.0."
    /// RFC 9110, section 15.
    StatusCode 400 "status_code" "The status code is not a number from 100 to 599."
    /// RFC 9112, section 3.2; RFC 3986, section 2.
    Target 400 "target" "The target has characters that no URI has, or a form that the method does not take."
    /// RFC 3986, section 2.1.
    Escape 400 "escape" "The path has a percent sign without two hexadecimal digits."
    /// RFC 9110, section 17.1.
    EscapedControl 400 "escaped_control" "The path has an encoded control character."
    /// RFC 9110, section 17.3.
    EncodedSlash 400 "encoded_slash" "The path has an encoded slash or backslash."
    /// RFC 3986, section 5.2.4.
    AboveRoot 400 "above_root" "The path leads above its root."
    /// RFC 9110, section 5.1; RFC 9112, section 5.1.
    FieldName 400 "field_name" "The name of a field is not a token that a colon follows."
    /// RFC 9110, section 5.5.
    FieldValue 400 "field_value" "The value of a field has control characters."
    /// RFC 9112, section 3.2.
    NoHost 400 "no_host" "There is no Host."
    /// RFC 9112, section 3.2.
    ManyHosts 400 "many_hosts" "There is more than one Host."
    /// RFC 9112, section 3.2; RFC 9110, section 7.2.
    Host 400 "host" "The host is not a host name or address with an optional port."
    /// RFC 9112, section 6.3.
    LengthAndCoding 400 "length_and_coding" "There are both Content-Length and Transfer-Encoding."
    /// RFC 9110, section 8.6.
    ManyLengths 400 "many_lengths" "There is more than one Content-Length."
    /// RFC 9110, section 8.6.
    Length 400 "length" "The Content-Length is not a number of octets."
    /// RFC 9112, section 6.1.
    Coding 501 "coding" "The transfer coding is another one than chunked."
    /// RFC 9112, section 6.3.
    CodingOrder 400 "coding_order" "Chunked is not the last transfer coding, or it is applied twice."
    /// RFC 9112, section 6.1.
    CodingInOldVersion 400 "coding_in_old_version" "There is a transfer coding in an HTTP/1.0 message."
    /// RFC 9112, section 6.1; RFC 9110, section 8.6.
    FramingNotAllowed 400 "framing_not_allowed" "There is a transfer coding where no body can be."
    /// RFC 9112, section 9.6; RFC 9110, section 7.6.1.
    ConnectionOption 400 "connection_option" "Connection is malformed, or names a field that every recipient needs."
    /// RFC 9110, section 10.1.1.
    Expectation 417 "expectation" "An expectation is another one than 100-continue."
    /// RFC 9112, section 7.1.
    ChunkSize 400 "chunk_size" "The size of a chunk is not a hexadecimal number."
    /// RFC 9112, section 7.1.1.
    ChunkExtension 400 "chunk_extension" "The extensions of chunks are malformed or too long."
    /// RFC 9112, section 7.1.
    ChunkEnd 400 "chunk_end" "The data of a chunk is not followed by an end of line."
}
