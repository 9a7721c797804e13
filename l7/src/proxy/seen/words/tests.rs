use super::*;
use crate::proxy::Cause;
use crate::proxy::seen::{Text, Times};

fn record() -> Record {
    Record {
        nanos: 1_500_000_000,
        client: Some("192.0.2.1:4000".parse().unwrap()),
        route: Text::of(b"all"),
        method: Text::of(b"GET"),
        path: Text::of(b"/a\"\\\r\n\xff\xc3\xa9"),
        status: 502,
        sent: 12,
        times: Times { total: Duration::from_micros(1234), connect: None, first: None },
        cause: Some(Cause::NoResponse),
        ..Record::default()
    }
}

fn written(format: &Format) -> String {
    let mut out = String::new();
    format.write(&record(), Duration::from_secs(1_000), &mut out);
    out
}

#[test]
fn json_has_what_there_is() {
    assert_eq!(
        written(&Format::Json),
        "{\"time\":1001.500000,\"client\":\"192.0.2.1:4000\",\"method\":\"GET\",\"path\":\"/a\\\"\\\\\\u000d\\u000a\u{fffd}é\",\
         \"route\":\"all\",\"status\":502,\"received\":0,\"sent\":12,\"total_us\":1234,\"retries\":0,\"cause\":\"no_response\"}\n"
    );
}

#[test]
fn a_line_is_as_its_format_says() {
    let format = Format::parse("{client} {{\"{method} {path}\"}} {status} {backend}").unwrap();
    assert_eq!(written(&format), "192.0.2.1:4000 {\"GET /a\\\"\\\\\\r\\n\\xff\\xc3\\xa9\"} 502 -\n");
    assert_eq!(written(&Format::parse("").unwrap()), "\n");
}

#[test]
fn formats_that_are_none() {
    assert_eq!(Format::parse("{nothing}"), Err(FormatError::Unknown("nothing".to_owned())));
    for text in ["{", "}", "{status", "status}", "{{}"] {
        assert_eq!(Format::parse(text), Err(FormatError::Brace), "{text}");
    }
}

#[test]
fn texts_are_cut_where_there_is_no_room() {
    assert_eq!(Text::<4>::of(b"abcdef").octets(), b"abcd");
    assert_eq!(Text::<4>::of(b"").octets(), b"");
}
