//! Servers that do what the real ones would do on a bad day.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// A request, as far as anybody here wants to know it.
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    /// In lower case.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// Status, further headers, body.
pub(crate) type Reply = (u16, String, Vec<u8>);

pub(crate) fn reply(status: u16, body: &str) -> Reply {
    (status, String::new(), body.as_bytes().to_vec())
}

/// Answers over HTTP until the test program ends; says where.
pub(crate) fn serve(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            thread::spawn(move || one(stream, &*answer));
        }
    });
    url
}

/// Takes connections and never says a word; says where, without a protocol.
pub(crate) fn silent() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        let mut open = Vec::new();
        open.extend(listener.incoming().flatten());
    });
    at
}

/// A broker's messages, in which it says that it is at port 1; says where.
pub(crate) fn misled(broker: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (at, broker) = (listener.local_addr().unwrap().to_string(), broker.to_owned());
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect(&broker).unwrap();
            let (host, port) = broker.split_once(':').unwrap();
            let address = |port: u32| [host.as_bytes(), port.to_be_bytes().as_slice()].concat();
            let (true_one, false_one) = (address(port.parse().unwrap()), address(1));
            let (asking, answering) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || std::io::copy(&mut &asking, &mut &answering));
            thread::spawn(move || {
                let mut server = BufReader::new(server);
                while let Ok(mut answer) = whole_answer(&mut server) {
                    while let Some(at) =
                        answer.windows(true_one.len()).position(|part| part == true_one)
                    {
                        answer[at..][..false_one.len()].copy_from_slice(&false_one);
                    }
                    if (&client).write_all(&answer).is_err() {
                        return;
                    }
                }
            });
        }
    });
    at
}

/// One answer of a broker, with the length that it begins with.
fn whole_answer(server: &mut impl Read) -> std::io::Result<Vec<u8>> {
    let mut answer = vec![0; 4];
    server.read_exact(&mut answer)?;
    let length = u32::from_be_bytes([answer[0], answer[1], answer[2], answer[3]]);
    answer.resize(4 + length as usize, 0);
    server.read_exact(&mut answer[4..])?;
    Ok(answer)
}

fn one(stream: TcpStream, answer: &dyn Fn(&Request) -> Reply) {
    let mut reader = BufReader::new(&stream);
    let (mut head, mut line) = (String::new(), String::new());
    while reader.read_line(&mut line).is_ok_and(|read| read > 0) && line != "\r\n" {
        head += &line;
        line.clear();
    }
    let mut first = head.split_whitespace().map(str::to_owned);
    let (Some(method), Some(path)) = (first.next(), first.next()) else { return };
    let head = head.to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.and_then(|n| n.trim().parse().ok()).unwrap_or(0)];
    if reader.read_exact(&mut body).is_err() {
        return;
    }
    let request = Request { method, path, head, body };
    let (status, headers, body) = answer(&request);
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} Said\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n"
    );
    let body = if request.method == "HEAD" { &[][..] } else { &body };
    (&stream).write_all(&[head.as_bytes(), body].concat()).ok();
}

/// What a store does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Habit {
    /// Nothing: whoever fails here would fail everywhere.
    None,
    /// Writes over what is there, whatever it is told.
    Overwrites,
    RefusesWrites,
    RefusesReads,
    RefusesRemovals,
    /// Says that our clock is wrong.
    RefusesTheTime,
    /// Tells a time of long ago.
    LivesInThePast,
}

/// A store of one object.
pub(crate) fn store(habit: Habit) -> String {
    let object: Mutex<Option<Vec<u8>>> = Mutex::new(None);
    serve(move |request| {
        let mut object = object.lock().unwrap();
        let date = match habit {
            Habit::LivesInThePast => "date: Thu, 01 Jan 2015 00:00:00 GMT\r\n",
            _ => "",
        };
        let xml = |status, body: &str| {
            let head = format!("content-type: application/xml\r\n{date}");
            (status, head, body.as_bytes().to_vec())
        };
        let refused = |code: &str| {
            xml(403, &format!("<Error><Code>{code}</Code><Message>said so</Message></Error>"))
        };
        let etag = "etag: \"5d41402abc4b2a76b9719d911017c592\"\r\n";
        let is = |method: &str, habit_of: Habit| request.method == method && habit == habit_of;
        let listing = request.path.contains("list-type");
        match request.method.as_str() {
            _ if habit == Habit::RefusesTheTime => refused("RequestTimeTooSkewed"),
            "PUT" if is("PUT", Habit::RefusesWrites) => refused("AccessDenied"),
            "PUT" => {
                let only = request.head.contains("if-none-match: *");
                if only && object.is_some() && habit != Habit::Overwrites {
                    let error = "<Error><Code>PreconditionFailed</Code></Error>";
                    return xml(412, error);
                }
                *object = Some(plain(request));
                (200, etag.to_owned(), vec![])
            }
            "GET" if listing => xml(
                200,
                "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
                 <Name>reelmill</Name><IsTruncated>false</IsTruncated></ListBucketResult>",
            ),
            "POST" if is("POST", Habit::RefusesRemovals) => xml(
                200,
                "<DeleteResult><Error><Key>k</Key><Code>AccessDenied</Code>\
                 <Message>said so</Message></Error></DeleteResult>",
            ),
            "POST" => {
                *object = None;
                xml(200, "<DeleteResult></DeleteResult>")
            }
            _ if habit == Habit::RefusesReads => refused("AccessDenied"),
            _ => match &*object {
                None => xml(404, "<Error><Code>NoSuchKey</Code></Error>"),
                Some(body) => {
                    let (last, all) = (body.len() - 1, body.len());
                    let range = format!("{date}{etag}content-range: bytes 0-{last}/{all}\r\n");
                    let status = if request.method == "HEAD" { 200 } else { 206 };
                    (status, range, body.clone())
                }
            },
        }
    })
}

/// The body of a PUT, out of its chunks where it is in such.
fn plain(request: &Request) -> Vec<u8> {
    if !request.head.contains("aws-chunked") {
        return request.body.clone();
    }
    let end = request.body.windows(2).position(|two| two == b"\r\n").unwrap();
    let size = std::str::from_utf8(&request.body[..end]).unwrap();
    let size = usize::from_str_radix(size.split(';').next().unwrap(), 16).unwrap();
    request.body[end + 2..][..size].to_vec()
}

/// OpenSearch with an index of this layout, which may be blocked.
pub(crate) fn opensearch(layout: u64, blocked: bool, health: &'static str) -> String {
    serve(move |request| {
        let index = format!("reelmill-v{layout}-000001");
        let body = match request.path.split('?').next().unwrap() {
            "/" => r#"{"version": {"distribution": "opensearch", "number": "2.19.4"}}"#.to_owned(),
            "/_alias/reelmill" => format!(r#"{{"{index}": {{}}}}"#),
            path if path.ends_with("/_mapping") => {
                format!(r#"{{"{index}": {{"mappings": {{"_meta": {{"layout": {layout}}}}}}}}}"#)
            }
            path if path.ends_with("/_settings") => {
                let blocks = r#"{"read_only_allow_delete": "BLOCKED"}"#;
                let blocks = blocks.replace("BLOCKED", &blocked.to_string());
                format!(r#"{{"{index}": {{"settings": {{"index": {{"blocks": {blocks}}}}}}}}}"#)
            }
            "/_cluster/health" => format!(r#"{{"status": "{health}"}}"#),
            "/_index_template/reelmill-v1" => {
                r#"{"index_templates": [{"index_template": {"_meta": {"layout": 1}}}]}"#.to_owned()
            }
            other => return reply(404, &format!(r#"{{"error": {{"type": "no {other}"}}}}"#)),
        };
        reply(200, &body)
    })
}
