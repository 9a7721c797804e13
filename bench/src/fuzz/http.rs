//! HTTP/1.1 heads and bodies from anybody.

use std::ops::Range;

use evenkeel_l7::http::{
    Authority, Chunked, Framing, HeadEnd, HeadWriter, Limits, Method, Name, PathRules, Refusal, Request,
    Response, Scratch,
};

use super::input::Input;

/// Limits that inputs of a few hundred octets reach.
const LIMITS: Limits = Limits { head: 512, line: 128, fields: 12 };

/// A head is found where it is however its octets come; a request that is taken is, written anew, taken as the same request, and so is
/// what it would be forwarded as; a response to any method is taken or not.
pub fn http_head(data: &[u8]) {
    let found = HeadEnd::of_request().find(data, &LIMITS).map_err(drop);
    assert_eq!(found, octet_by_octet(HeadEnd::of_request(), data), "where the head of a request ends");
    if let Ok(Some(head)) = found {
        written_anew(&data[head]);
    }
    let found = HeadEnd::of_response().find(data, &LIMITS).map_err(drop);
    assert_eq!(found, octet_by_octet(HeadEnd::of_response(), data), "where the head of a response ends");
    if let Ok(Some(head)) = found {
        for method in [Method::Get, Method::Head] {
            let mut scratch = Scratch::new();
            if let Ok(response) = Response::parse(&data[head.clone()], method, &LIMITS, &mut scratch) {
                assert!(method != Method::Head || response.framing == Framing::None);
            }
        }
    }
}

/// Of several things that are wrong, the one that is found depends on how the octets come.
fn octet_by_octet(mut end: HeadEnd, data: &[u8]) -> Result<Option<Range<usize>>, ()> {
    (0..=data.len())
        .find_map(|length| end.find(&data[..length], &LIMITS).transpose())
        .transpose()
        .map_err(drop)
}

/// What a reader of a request sees.
#[derive(PartialEq, Eq, Debug)]
struct Seen {
    method: String,
    host: Option<(String, Option<u16>)>,
    path: String,
    query: Option<String>,
    framing: Framing,
    fields: Vec<(String, Vec<u8>)>,
}

impl Seen {
    fn of(request: &Request<'_, '_>) -> Self {
        let owned = |authority: Authority<'_>| (authority.host.to_owned(), authority.port);
        let fields = request.fields.end_to_end();
        Self {
            method: request.method.text().to_owned(),
            host: request.host.map(owned),
            path: request.target.path.to_owned(),
            query: request.target.query.map(str::to_owned),
            framing: request.framing,
            fields: fields.map(|field| (field.text.to_ascii_lowercase(), field.value.to_vec())).collect(),
        }
    }
}

fn written_anew(head: &[u8]) {
    let mut scratch = Scratch::new();
    let Ok(request) = Request::parse(head, &LIMITS, &mut scratch) else { return };
    let mut room = String::new();
    let Ok(path) = PathRules::default().normalize(request.target.path, &mut room) else { return };
    // A tunnel is never forwarded, and a request to no host goes to one that the route names.
    if request.method == Method::Connect || request.host.is_none() {
        return;
    }
    let mut out = Vec::new();
    let mut writer = HeadWriter::request(&mut out, request.method.text(), &[path], request.target.query);
    if let Some(Authority { host, port }) = request.host {
        writer.field(Name::Host, port.map_or(host.to_owned(), |port| format!("{host}:{port}")));
    }
    for field in request.fields.end_to_end() {
        writer.forward(field);
    }
    writer.framing(request.framing).end();

    // What is written may be a little longer than what was read.
    let limits = Limits { head: 2 * LIMITS.head, line: 2 * LIMITS.line, fields: 2 * LIMITS.fields };
    let found = HeadEnd::of_request().find(&out, &limits);
    assert_eq!(found, Ok(Some(0..out.len())), "{}", out.escape_ascii());
    let mut scratch = Scratch::new();
    let again = Request::parse(&out, &limits, &mut scratch).expect("what is forwarded is right");
    let seen = Seen { path: path.to_owned(), ..Seen::of(&request) };
    assert_eq!(Seen::of(&again), seen, "{}", out.escape_ascii());
}

/// A chunked body, cut into pieces whose lengths the input says: its data and its end are the same as in one piece.
pub fn http_chunked(data: &[u8]) {
    let mut input = Input::new(data);
    let pieces = [1 + usize::from(input.octet() % 32), 1 + usize::from(input.octet() % 8)];
    let body = input.rest();
    assert_eq!(read(body, &[usize::MAX]).map_err(drop), read(body, &pieces).map_err(drop));
}

/// The data of a body, and how many octets it has with its framing if it has ended.
fn read(body: &[u8], pieces: &[usize]) -> Result<(Vec<u8>, Option<usize>), Refusal> {
    let (mut chunked, mut read, mut at) = (Chunked::default(), Vec::new(), 0_usize);
    for length in pieces.iter().cycle() {
        let end = at.saturating_add(*length).min(body.len());
        while at < end {
            let step = chunked.next(&body[at..end], &LIMITS)?;
            assert!(step.framing + step.data > 0 && step.framing + step.data <= end - at);
            at += step.framing;
            read.extend_from_slice(&body[at..at + step.data]);
            at += step.data;
            if step.is_end {
                return Ok((read, Some(at)));
            }
        }
        if at == body.len() {
            break;
        }
    }
    Ok((read, None))
}

/// The normal form of a path, by any rules, is its own normal form.
pub fn http_path(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.octet();
    let rules = PathRules {
        resolve_dots: choice & 1 != 0,
        decode: choice & 2 != 0,
        merge_slashes: choice & 4 != 0,
        ..PathRules::default()
    };
    let Ok(path) = std::str::from_utf8(input.rest()) else { return };
    let (mut room, mut again) = (String::new(), String::new());
    if let Ok(once) = rules.normalize(path, &mut room) {
        assert_eq!(rules.normalize(once, &mut again), Ok(once), "{path:?}");
    }
}
