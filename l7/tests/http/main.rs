//! What is refused, and why: tables that read as a specification. Each row has the message, the verdict and the section that it follows
//! (a bare number is one of RFC 9112, `R` one of RFC 9110, `U` one of RFC 3986, `L` a limit of ours).

#![allow(clippy::unwrap_used, reason = "a test")]

mod accepted;
mod requests;
mod responses;

use evenkeel_l7::http::{
    Chunked, Framing, HeadEnd, Limits, Method, PathRules, Refusal, Request, Response, Scratch,
};

/// One row.
type Row = (&'static [u8], Refusal, &'static str);

/// Reads a request to its end, as the proxy does; true if it was all there.
fn read_request(octets: &[u8], limits: &Limits) -> Result<bool, Refusal> {
    let Some(head) = HeadEnd::of_request().find(octets, limits)? else { return Ok(false) };
    let end = head.end;
    let mut scratch = Scratch::new();
    let request = Request::parse(&octets[head], limits, &mut scratch)?;
    PathRules::default().normalize(request.target.path, &mut String::new())?;
    read_body(request.framing, &octets[end..], limits)
}

/// Reads a response to `method` to its end; true if it was all there.
fn read_response(octets: &[u8], method: Method<'_>, limits: &Limits) -> Result<bool, Refusal> {
    let Some(head) = HeadEnd::of_response().find(octets, limits)? else { return Ok(false) };
    let end = head.end;
    let mut scratch = Scratch::new();
    let response = Response::parse(&octets[head], method, limits, &mut scratch)?;
    read_body(response.framing, &octets[end..], limits)
}

fn read_body(framing: Framing, octets: &[u8], limits: &Limits) -> Result<bool, Refusal> {
    match framing {
        Framing::None => Ok(true),
        Framing::UntilClose => Ok(false),
        Framing::Length(length) => Ok(octets.len() as u64 >= length),
        Framing::Chunked => {
            let (mut chunked, mut at) = (Chunked::default(), 0);
            while at < octets.len() {
                let step = chunked.next(&octets[at..], limits)?;
                at += step.framing + step.data;
                if step.is_end {
                    return Ok(true);
                }
            }
            Ok(false)
        }
    }
}

/// Holds the verdicts of a table against those of `read`, all at once.
fn check(table: &[Row], read: impl Fn(&[u8]) -> Result<bool, Refusal>) {
    let wrong = table.iter().filter_map(|(octets, refusal, section)| {
        let verdict = read(octets);
        (verdict != Err(*refusal))
            .then(|| format!("{section}: {} gets {verdict:?}, not {refusal:?}", octets.escape_ascii()))
    });
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn each_reason_is_in_a_table() {
    let in_tables: Vec<Refusal> =
        requests::MALFORMED.iter().chain(responses::MALFORMED).map(|(_, refusal, _)| *refusal).collect();
    // By the rules of the path that are not the default.
    let elsewhere = [Refusal::EncodedSlash];
    let missing: Vec<_> = Refusal::ALL
        .iter()
        .filter(|refusal| !in_tables.contains(refusal) && !elsewhere.contains(refusal))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
