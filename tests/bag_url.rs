//! Bags of lines from a server.

#![cfg(feature = "url")]
#![allow(clippy::unwrap_used)]

use chunkstore::{Engine, ErrorKind, bag};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

/// A server of a few texts, which ends with the process. Gives the beginning of its URLs.
fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = BufReader::new(stream.try_clone().unwrap());
            let (mut first, mut line) = (String::new(), String::new());
            request.read_line(&mut first).unwrap();
            while request.read_line(&mut line).unwrap() > 2 {
                line.clear();
            }
            let ok = |text: &[u8]| [format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", text.len()).as_bytes(), text].concat();
            let answer = match first.split(' ').nth(1).unwrap() {
                "/a" => ok(b"one\ntwo\r\nthree"),
                "/chunked" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nfo\n\r\n4\r\nur\r\n\r\n0\r\n\r\n".to_vec(),
                "/moved" => b"HTTP/1.1 302 Found\r\nLocation: /a\r\nContent-Length: 0\r\n\r\n".to_vec(),
                "/long" => ok("a line of a long text\n".repeat(200_000).as_bytes()),
                "/latin" => ok(b"caf\xe9\n"),
                "/cut" => b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this".to_vec(),
                "/broken" => b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n".to_vec(),
                _ => b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(),
            };
            // Who has enough hangs up.
            let _ = stream.write_all(&answer);
        }
    });
    at
}

#[test]
fn texts_of_a_server_are_lines() {
    let at = serve();
    let engine = Engine::builder().memory("128MiB").threads(2).progress(false).build().unwrap();
    let from = |names: &[&str]| bag::from_url(names.iter().map(|name| format!("{at}/{name}"))).unwrap();
    let lines = from(&["a", "chunked", "moved", "a"]);
    assert_eq!(lines.npartitions().unwrap(), 4);
    let three = ["one", "two", "three"];
    assert_eq!(engine.compute(&lines).unwrap(), [&three[..], &["fo", "ur"], &three[..], &three[..]].concat());
    let long = from(&["long"]);
    assert_eq!(engine.compute((&long.count(), &long.take(1))).unwrap(), (200_000, vec!["a line of a long text".to_string()]));
    for (name, kind) in
        [("none", ErrorKind::NotFound), ("broken", ErrorKind::Failed), ("cut", ErrorKind::Io), ("latin", ErrorKind::Corrupt)]
    {
        let error = engine.compute(&from(&["a", name])).unwrap_err();
        assert!(error.kind() == kind && error.to_string().contains(&format!("{at}/{name}")), "{name}: {error}");
    }
    // Nobody is there.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = engine.compute(&bag::from_url([format!("http://{closed}/a")]).unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    assert_eq!(bag::from_url(["ftp://example.org/a"]).unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(engine.compute(&bag::from_url(Vec::<String>::new()).unwrap()).unwrap_or_default(), Vec::<String>::new());
}
