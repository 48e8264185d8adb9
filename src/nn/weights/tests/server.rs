//! A file server on the loopback interface that fails as configured.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What to do with one request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Response {
    /// The part that was asked for, as a good server does.
    Part,
    /// The same, but the connection is cut after so many bytes.
    Cut(usize),
    /// The whole file, whatever was asked for.
    Whole,
    /// The whole file, but cut after so many bytes.
    WholeCut(usize),
    /// A part that begins so many bytes later than asked for.
    Shifted(usize),
    /// The whole file without its length.
    NoLength,
    /// A status without contents.
    Status(u16),
    /// The connection is closed without a word.
    Nothing,
}

/// A server of one file.
pub(super) struct Server {
    pub(super) url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Serves `contents` with one answer after the other; the last one is repeated.
    pub(super) fn start(contents: &[u8], answers: &[Response]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/models", listener.local_addr().expect("an address"));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, contents, answers) = (Arc::clone(&requests), contents.to_vec(), answers.to_vec());
        std::thread::spawn(move || {
            for (count, stream) in listener.incoming().enumerate() {
                let answer = answers.get(count).or(answers.last()).expect("an answer");
                // The client may be gone already, which is its right.
                let _ = serve(stream.expect("a connection"), &contents, *answer, &seen);
            }
        });
        Self { url, requests }
    }

    /// Path and range of each request so far, such as `/models/a.pth bytes=5-`.
    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("requests").clone()
    }
}

fn serve(mut stream: TcpStream, contents: &[u8], answer: Response, seen: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut lines = BufReader::new(&stream).lines();
    let path = lines.next().unwrap_or_else(|| Ok(String::new()))?.split(' ').nth(1).unwrap_or_default().to_owned();
    let headers: Vec<String> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let range = headers.iter().find_map(|line| line.to_ascii_lowercase().strip_prefix("range: ").map(str::to_owned));
    seen.lock().expect("requests").push(format!("{path} {}", range.as_deref().unwrap_or("all")));
    let asked = range.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    let (all, length) = (contents, contents.len());
    let (head, body, sent) = match (answer, asked) {
        (Response::Nothing, _) => return Ok(()),
        (Response::Status(status), _) => (format!("{status} Status\r\nContent-Length: 0"), &all[..0], 0),
        (Response::NoLength, _) => ("200 OK".to_owned(), all, length),
        (Response::Part | Response::Cut(_) | Response::Shifted(_), Some(start)) if start >= length => {
            (format!("416 Range\r\nContent-Range: bytes */{length}\r\nContent-Length: 0"), &all[..0], 0)
        }
        (Response::Part | Response::Cut(_) | Response::Shifted(_), Some(start)) => {
            let start = if let Response::Shifted(by) = answer { start + by } else { start };
            let range = format!("bytes {start}-{}/{length}", length - 1);
            let head = format!("206 Part\r\nContent-Range: {range}\r\nContent-Length: {}", length - start);
            let sent = if let Response::Cut(count) = answer { count.min(length - start) } else { length - start };
            (head, &all[start..], sent)
        }
        (Response::Cut(count) | Response::WholeCut(count), _) => {
            (format!("200 OK\r\nContent-Length: {length}"), all, count)
        }
        _ => (format!("200 OK\r\nContent-Length: {length}"), all, length),
    };
    write!(stream, "HTTP/1.1 {head}\r\nConnection: close\r\n\r\n")?;
    stream.write_all(&body[..sent])
}
