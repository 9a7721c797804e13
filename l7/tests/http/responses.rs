//! Responses that are refused: the client gets 502 for them.

use evenkeel_l7::http::{Method, Refusal as R};

use super::requests::LIMITS;
use super::{Row, check, read_response};

pub(crate) const MALFORMED: &[Row] = &[
    // --- The status line -----------------------------------------------------------------------------------------------
    (b"\r\nHTTP/1.1 200 OK\r\n\r\n", R::StartLine, "4"),
    (b"HTTP/1.1\r\n\r\n", R::StartLine, "4"),
    (b"HTTP/1.1200 OK\r\n\r\n", R::StartLine, "4"),
    (b"200 OK\r\n\r\n", R::StartLine, "4"),
    (b"<html>\r\n\r\n", R::StartLine, "4"),
    (b" HTTP/1.1 200 OK\r\n\r\n", R::StartLine, "4"),
    (b"HTTP /1.1 200 OK\r\n\r\n", R::StartLine, "4"),
    (b"http/1.1 200 OK\r\n\r\n", R::StartLine, "2.3"),
    (b"HTTP/1.11 200 OK\r\n\r\n", R::StartLine, "2.3"),
    (b"HTTP/11 200 OK\r\n\r\n", R::StartLine, "2.3"),
    (b"ICY 200 OK\r\n\r\n", R::StartLine, "2.3"),
    (b"SSH-2.0-x\r\n\r\n", R::StartLine, "4"),
    (b"HTTP/2.0 200 OK\r\n\r\n", R::Version, "2.3"),
    (b"HTTP/0.9 200 OK\r\n\r\n", R::Version, "2.3"),
    (b"HTTP/1.2 200 OK\r\n\r\n", R::Version, "2.3"),
    (b"HTTP/1.1  200 OK\r\n\r\n", R::StatusCode, "4"),
    (b"HTTP/1.1 20 OK\r\n\r\n", R::StatusCode, "4"),
    (b"HTTP/1.1 2000 OK\r\n\r\n", R::StatusCode, "4"),
    (b"HTTP/1.1 2x0 OK\r\n\r\n", R::StatusCode, "4"),
    (b"HTTP/1.1 -20 OK\r\n\r\n", R::StatusCode, "4"),
    (b"HTTP/1.1 OK\r\n\r\n", R::StatusCode, "4"),
    (b"HTTP/1.1 099 OK\r\n\r\n", R::StatusCode, "R15"),
    (b"HTTP/1.1 000 OK\r\n\r\n", R::StatusCode, "R15"),
    (b"HTTP/1.1 600 OK\r\n\r\n", R::StatusCode, "R15"),
    (b"HTTP/1.1 999 OK\r\n\r\n", R::StatusCode, "R15"),
    (b"HTTP/1.1 200 O\0K\r\n\r\n", R::StatusCode, "4"),
    (b"HTTP/1.1 200 O\x01K\r\n\r\n", R::StatusCode, "4"),
    // --- Ends of lines, folding ----------------------------------------------------------------------------------------
    (b"HTTP/1.1 200 OK\nA: b\n\n", R::BareLineFeed, "2.2"),
    (b"HTTP/1.1 200 OK\r\nA: b\n\r\n", R::BareLineFeed, "2.2"),
    (b"HTTP/1.1 200 OK\r\nA: b\r\n\n", R::BareLineFeed, "2.2"),
    (b"HTTP/1.1 200 O\rK\r\n\r\n", R::BareCarriageReturn, "2.2"),
    (b"HTTP/1.1 200 OK\r\nA: b\rC: d\r\n\r\n", R::BareCarriageReturn, "2.2"),
    (b"HTTP/1.1 200 OK\r\nA: b\r\r\n\r\n", R::BareCarriageReturn, "2.2"),
    (b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", R::Folding, "5.2"),
    (b"HTTP/1.1 200 OK\r\n\tA: b\r\n\r\n", R::Folding, "2.2"),
    // --- Fields --------------------------------------------------------------------------------------------------------
    (b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", R::FieldName, "5.1"),
    (b"HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n", R::FieldName, "5.1"),
    (b"HTTP/1.1 200 OK\r\n: b\r\n\r\n", R::FieldName, "R5.1"),
    (b"HTTP/1.1 200 OK\r\nnocolon\r\n\r\n", R::FieldName, "5"),
    (b"HTTP/1.1 200 OK\r\nA\xe9: b\r\n\r\n", R::FieldName, "R5.1"),
    (b"HTTP/1.1 200 OK\r\nA: \0\r\n\r\n", R::FieldValue, "R5.5"),
    (b"HTTP/1.1 200 OK\r\nA: b\x08\r\n\r\n", R::FieldValue, "R5.5"),
    (b"HTTP/1.1 200 OK\r\nConnection: Transfer-Encoding\r\n\r\n", R::ConnectionOption, "R7.6.1"),
    (
        b"HTTP/1.1 200 OK\r\nConnection: Content-Length\r\nContent-Length: 0\r\n\r\n",
        R::ConnectionOption,
        "R7.6.1",
    ),
    // --- Framing -------------------------------------------------------------------------------------------------------
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", R::ManyLengths, "6.3"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", R::ManyLengths, "6.3"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n", R::Length, "R8.6"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", R::Length, "R8.6"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", R::Length, "R8.6"),
    (b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n", R::Length, "R8.6"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", R::Length, "R8.6"),
    (
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        R::LengthAndCoding,
        "6.3",
    ),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", R::Coding, "6.1"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", R::Coding, "6.1"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n", R::Coding, "6.1"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", R::CodingOrder, "6.3"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", R::CodingOrder, "6.1"),
    (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", R::CodingInOldVersion, "6.1"),
    (b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", R::FramingNotAllowed, "6.1"),
    (b"HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n\r\n", R::FramingNotAllowed, "6.1"),
    (b"HTTP/1.1 101 Switching Protocols\r\nTransfer-Encoding: chunked\r\n\r\n", R::FramingNotAllowed, "6.1"),
    // --- Chunks --------------------------------------------------------------------------------------------------------
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhello", R::ChunkSize, "7.1"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5  \r\nhello", R::ChunkSize, "7.1.1"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello0\r\n\r\n", R::ChunkEnd, "7.1"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;\x07\r\nhello", R::ChunkExtension, "7.1.1"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\n\r\n", R::BareLineFeed, "7.1.2"),
    // --- Limits --------------------------------------------------------------------------------------------------------
    (&[b'H'; 121], R::TargetTooLong, "L"),
    (b"HTTP/1.1 200 OK\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\n\r\n", R::TooManyFields, "L"),
];

#[test]
fn malformed_responses_are_refused() {
    assert!(MALFORMED.len() >= 60);
    check(MALFORMED, |octets| read_response(octets, Method::Get, &LIMITS));
}
