//! A web server with faults, on loopback.

use std::collections::HashMap;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What is wrong with the server's answers to GET.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// It takes connections and closes them.
    Closing,
    /// It takes requests and never answers.
    Silent,
    /// It answers, a byte from time to time.
    Trickling,
    /// It promises the whole and breaks off in the middle.
    BreakingOff,
    /// It has half of each object, and says so.
    Halving,
    /// It has other bytes under each name, well packed.
    Lying,
    /// It has what is no packed object at all.
    Garbage,
    /// It has an object that unpacks to far more than it should.
    Endless,
    /// It has results, but no files any more.
    Evicting,
    /// It is out of order.
    Failing,
    /// It answers with a page for people, and says that this is what was asked for.
    Page,
    /// It is overloaded for the first two requests of each name: it says that there are too many,
    /// then that it is not available.
    Busy,
    /// It turns every third request away.
    Stumbling,
    /// It lets nobody in.
    Forbidding,
    /// It wants to know who asks.
    Asking,
}

/// The server; runs until the test's process ends.
pub(crate) struct Faulty {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    objects: Mutex<HashMap<String, Vec<u8>>>,
    seen: Mutex<HashMap<String, usize>>,
    fault: Mutex<Fault>,
    connections: AtomicUsize,
    requests: AtomicUsize,
}

impl Faulty {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            objects: Mutex::default(),
            seen: Mutex::default(),
            fault: Mutex::new(Fault::None),
            connections: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
        });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().filter_map(Result::ok) {
                let shared = Arc::clone(&serving);
                shared.connections.fetch_add(1, Ordering::SeqCst);
                std::thread::spawn(move || {
                    let _ = serve(&shared, stream);
                });
            }
        });
        Self { port, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn set(&self, fault: Fault) {
        *self.shared.fault.lock().unwrap() = fault;
    }

    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

fn serve(shared: &Shared, mut stream: TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let mut words = line.split(' ');
        let (method, path) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            if header.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = header.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        answer(shared, &mut stream, &method, &path, body)?;
    }
}

fn answer(shared: &Shared, stream: &mut TcpStream, method: &str, path: &str, body: Vec<u8>) -> io::Result<()> {
    let fault = *shared.fault.lock().unwrap();
    let broken = || io::Error::from(io::ErrorKind::ConnectionAborted);
    match fault {
        Fault::Closing => return Err(broken()),
        Fault::Silent => {
            std::thread::sleep(Duration::from_secs(15));
            return Err(broken());
        }
        Fault::Failing => return status(stream, "500 Internal Server Error", method),
        Fault::Stumbling if shared.requests.fetch_add(1, Ordering::SeqCst) % 3 == 2 => {
            return status(stream, "503 Service Unavailable", method);
        }
        Fault::Asking => return status(stream, "401 Unauthorized", method),
        Fault::Forbidding => return status(stream, "403 Forbidden", method),
        Fault::Busy => {
            let mut seen = shared.seen.lock().unwrap();
            let count = seen.entry(format!("{method} {path}")).or_default();
            *count += 1;
            match *count {
                1 => return status(stream, "429 Too Many Requests", method),
                2 => return status(stream, "503 Service Unavailable", method),
                _ => {}
            }
        }
        _ => {}
    }
    if method == "PUT" {
        shared.objects.lock().unwrap().insert(path.to_owned(), body);
        return status(stream, "201 Created", method);
    }
    let object = shared.objects.lock().unwrap().get(path).cloned();
    let Some(object) = object.filter(|_| fault != Fault::Evicting || path.contains("/ac/")) else {
        return status(stream, "404 Not Found", method);
    };
    let blob = path.contains("/cas/");
    let bytes = match fault {
        Fault::Halving => object[..object.len() / 2].to_vec(),
        Fault::Lying if blob => zstd::encode_all(&b"other bytes"[..], 1)?,
        Fault::Garbage => b"\x28\xb5\x2f\xfdgarbage garbage garbage".to_vec(),
        Fault::Endless if blob => {
            let mut packed = zstd::stream::Encoder::new(Vec::new(), 1)?;
            io::copy(&mut io::repeat(0).take(512 << 20), &mut packed)?;
            packed.finish()?
        }
        Fault::Page => b"<!doctype html><html><body>Please log in</body></html>".to_vec(),
        _ => object,
    };
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len())?;
    if method == "HEAD" {
        return Ok(());
    }
    match fault {
        Fault::BreakingOff if blob => {
            stream.write_all(&bytes[..bytes.len() / 2])?;
            Err(broken())
        }
        Fault::Trickling => {
            for byte in bytes.chunks(1) {
                stream.write_all(byte)?;
                std::thread::sleep(Duration::from_millis(200));
            }
            Ok(())
        }
        _ => stream.write_all(&bytes),
    }
}

fn status(stream: &mut TcpStream, status: &str, method: &str) -> io::Result<()> {
    let body = if method == "HEAD" { "" } else { "words" };
    // What keeps buckets names a version of what it was given.
    write!(stream, "HTTP/1.1 {status}\r\nETag: \"1\"\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}
