//! A small HTTP server on loopback whose answers are scripts.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A request as far as the tests care.
#[derive(Debug, Clone)]
pub struct Request {
    /// Path and query.
    pub path: String,
    /// The first byte that is asked for, if not all are.
    pub range: Option<u64>,
    /// The header `Authorization`.
    pub authorization: Option<String>,
}

type Script = dyn Fn(&Request, usize, &mut TcpStream) -> std::io::Result<()> + Send + Sync;

/// Runs until the test's process ends; every connection serves one request.
pub struct Server {
    port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// The script gets each request and how many there were before it.
    pub fn start(
        script: impl Fn(&Request, usize, &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let script: Arc<Script> = Arc::new(script);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (Ok(stream), seen, script) = (stream, Arc::clone(&seen), Arc::clone(&script)) else { continue };
                std::thread::spawn(move || serve(stream, &seen, &*script));
            }
        });
        Self { port, requests }
    }

    /// The URL of a path on this server.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The port of loopback on which it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The requests that have come so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, seen: &Mutex<Vec<Request>>, script: &Script) {
    stream.set_write_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut request = Request { path: String::new(), range: None, authorization: None };
    for (index, line) in BufReader::new(stream.try_clone().unwrap()).lines().enumerate() {
        let Ok(line) = line else { return };
        if line.is_empty() {
            break;
        }
        if index == 0 {
            request.path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        }
        let (name, value) = line.split_once(": ").unwrap_or_default();
        match name.to_ascii_lowercase().as_str() {
            "range" => request.range = value.trim_start_matches("bytes=").trim_end_matches('-').parse().ok(),
            "authorization" => request.authorization = Some(value.to_owned()),
            _ => {}
        }
    }
    let before = {
        let mut seen = seen.lock().unwrap();
        seen.push(request.clone());
        seen.len() - 1
    };
    // A client that hangs up early is what some tests are about.
    let _ = script(&request, before, &mut stream);
    let _ = stream.shutdown(std::net::Shutdown::Both);
}

/// An answer with this status, these header lines and this body; `Content-Length` is true unless a
/// line gives another.
pub fn answer(stream: &mut TcpStream, status: u16, headers: &[&str], body: &[u8]) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {status} x\r\nConnection: close\r\n");
    if !headers.iter().any(|line| line.starts_with("Content-Length") || line.starts_with("Transfer-Encoding")) {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    for line in headers {
        head += &format!("{line}\r\n");
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    stream.write_all(body)?;
    stream.flush()
}

/// An answer that honours ranges.
pub fn ranged(request: &Request, stream: &mut TcpStream, body: &[u8]) -> std::io::Result<()> {
    match request.range {
        Some(start) if start < body.len() as u64 => {
            let range = format!("Content-Range: bytes {start}-{}/{}", body.len() - 1, body.len());
            answer(stream, 206, &[&range], &body[usize::try_from(start).unwrap()..])
        }
        Some(_) => answer(stream, 416, &[], b""),
        None => answer(stream, 200, &[], body),
    }
}
