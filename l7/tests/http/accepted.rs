//! Messages that look odd and are right, and what is read from them.

use evenkeel_l7::http::{
    Authority, Framing, Limits, Method, Name, Refusal, Request, Response, Scratch, Version,
};

use super::{read_request, read_response};

/// Reads the head of a request, and tells what `of` says of it.
fn request<T>(octets: &[u8], of: impl FnOnce(&Request<'_, '_>) -> T) -> T {
    let mut scratch = Scratch::new();
    of(&Request::parse(octets, &Limits::default(), &mut scratch).unwrap())
}

/// Reads the head of a response to `method`, and tells what `of` says of it.
fn response<T>(octets: &[u8], method: Method<'_>, of: impl FnOnce(&Response<'_, '_>) -> T) -> T {
    let mut scratch = Scratch::new();
    of(&Response::parse(octets, method, &Limits::default(), &mut scratch).unwrap())
}

#[test]
fn requests_that_are_right() {
    let whole: [&[u8]; 14] = [
        b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET /a|b[c]?d[]=e HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost:a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost:\t a \t\r\n\r\n",
        b"GET / HTTP/1.1\r\nhOsT: A.B:80\r\n\r\n",
        b"M-SEARCH / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nEmpty:\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nLatin: \xe9\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 005\r\n\r\nhello",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: , Chunked ,\r\n\r\n1\r\na\r\n0\r\nA: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close,, x-y\r\n\r\n",
    ];
    for octets in whole {
        assert_eq!(read_request(octets, &Limits::default()), Ok(true), "{}", octets.escape_ascii());
    }
    let half: [&[u8]; 4] = [
        b"",
        b"GET / HTTP/1.1\r\nHost: a\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhell",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    ];
    for octets in half {
        assert_eq!(read_request(octets, &Limits::default()), Ok(false), "{}", octets.escape_ascii());
    }
}

#[test]
fn responses_that_are_right() {
    let whole: [&[u8]; 6] = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 299 na\xefve\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
    ];
    for octets in whole {
        assert_eq!(
            read_response(octets, Method::Get, &Limits::default()),
            Ok(true),
            "{}",
            octets.escape_ascii()
        );
    }
}

#[test]
fn the_host_is_that_of_the_target() {
    let at =
        |octets: &[u8]| request(octets, |request| request.host.map(|host| (host.host.to_owned(), host.port)));
    assert_eq!(at(b"GET / HTTP/1.1\r\nHost: a:81\r\n\r\n"), Some(("a".to_owned(), Some(81))));
    assert_eq!(at(b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n"), Some(("b".to_owned(), None)));
    assert_eq!(at(b"GET / HTTP/1.0\r\n\r\n"), None);
    assert_eq!(Authority::parse("a"), Ok(Authority { host: "a", port: None }));
}

#[test]
fn connections_are_kept_or_not() {
    let keeps = |octets: &[u8]| request(octets, |request| request.keeps_alive);
    for (octets, kept) in [
        (&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], true),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: CLOSE\r\n\r\n", false),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, close\r\n\r\n", false),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: x\r\nConnection: close\r\n\r\n", false),
        (b"GET / HTTP/1.0\r\n\r\n", false),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", false),
    ] {
        assert_eq!(keeps(octets), kept, "{}", octets.escape_ascii());
    }
    let until_close = b"HTTP/1.1 200 OK\r\n\r\n";
    assert!(!response(until_close, Method::Get, |response| response.keeps_alive));
}

#[test]
fn expectations_upgrades_and_trailers() {
    let told = |octets: &[u8]| {
        request(octets, |r| (r.expects_continue, r.upgrade.map(<[u8]>::to_vec), r.takes_trailers))
    };
    let websocket = Some(b"websocket".to_vec());
    for (octets, wanted) in [
        (&b"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\n\r\n"[..], (true, None, false)),
        (b"GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n", (false, None, false)),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            (false, websocket.clone(), false),
        ),
        (b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n", (false, None, false)),
        (b"GET / HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", (false, None, false)),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: TE\r\nTE: trailers\r\n\r\n", (false, None, true)),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n", (false, None, false)),
    ] {
        assert_eq!(told(octets), wanted, "{}", octets.escape_ascii());
    }
    let switched = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    assert_eq!(response(switched, Method::Get, |r| r.upgrade.map(<[u8]>::to_vec)), websocket);
}

#[test]
fn where_a_response_ends() {
    let length = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let neither = b"HTTP/1.1 200 OK\r\n\r\n";
    let not_modified = b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n";
    let no_content = b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n";
    let hints = b"HTTP/1.1 103 Early Hints\r\n\r\n";
    for (octets, method, framing, would_have) in [
        (&length[..], Method::Get, Framing::Length(5), None),
        (length, Method::Head, Framing::None, Some(5)),
        (chunked, Method::Get, Framing::Chunked, None),
        (chunked, Method::Head, Framing::None, None),
        (neither, Method::Get, Framing::UntilClose, None),
        (neither, Method::Head, Framing::None, None),
        (not_modified, Method::Get, Framing::None, Some(5)),
        (no_content, Method::Get, Framing::None, None),
        (hints, Method::Get, Framing::None, None),
    ] {
        let told = response(octets, method, |response| (response.framing, response.would_have));
        assert_eq!(told, (framing, would_have), "{} {}", method.text(), octets.escape_ascii());
    }
    assert!(response(hints, Method::Get, |response| response.is_interim()));
    assert!(
        !response(b"HTTP/1.1 101 Switching Protocols\r\n\r\n", Method::Get, |response| response.is_interim())
    );
}

#[test]
fn what_is_for_the_next_hop_goes_no_further() {
    let head = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: x-a, Keep-Alive\r\nConnection: X-B\r\nX-A: 1\r\nx-b: 2\r\nX-C: 3\r\nKeep-Alive: 4\r\n\
        Proxy-Connection: 5\r\nTE: 6\r\nUpgrade: 7\r\nContent-Length: 0\r\nCookie: 8\r\n\r\n";
    let forwarded = request(head, |request| {
        request.fields.end_to_end().map(|field| field.text.to_owned()).collect::<Vec<_>>()
    });
    assert_eq!(forwarded, ["X-C", "Cookie"]);
    let cookies = request(head, |request| {
        request.fields.values(Name::Cookie).count() + request.fields.values_of("x-c").count()
    });
    assert_eq!(cookies, 2);
    assert_eq!(request(head, |request| request.version), Version::Http11);
}

#[test]
fn more_fields_than_there_is_room_for_are_refused_and_not_asked_for() {
    let limits = Limits { fields: Limits::MOST_FIELDS + 1, ..Limits::default() };
    let mut scratch = Scratch::new();
    let refused = Request::parse(b"GET / HTTP/1.0\r\n\r\n", &limits, &mut scratch).err();
    assert_eq!(refused, Some(Refusal::TooManyFields));
}
