//! Real servers, each on a free port of loopback and gone with its value.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::free_port;

/// A server that runs.
pub struct Process {
    child: Child,
    /// The port of loopback on which it listens.
    pub port: u16,
}

impl Process {
    fn start(command: &mut Command, port: u16, how_to_install: &str) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut process = Self { child: child.unwrap_or_else(|error| panic!("{error}: {how_to_install}")), port };
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(started.elapsed() < Duration::from_secs(30), "{command:?} does not listen");
            assert!(process.child.try_wait().unwrap().is_none(), "{command:?} has ended");
            std::thread::sleep(Duration::from_millis(20));
        }
        process
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// nginx with this configuration of `http`, its own files in `folder`.
fn start_nginx(folder: &Path, port: u16, http: &str) -> Process {
    for name in ["bodies", "logs"] {
        fs::create_dir_all(folder.join(name)).unwrap();
    }
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let text = format!(
        "{user}
        daemon off; master_process off; worker_processes 1; pid '{0}/pid'; error_log '{0}/logs/error';
        events {{ worker_connections 1024; }}
        http {{
            access_log '{0}/logs/access';
            client_body_temp_path '{0}/bodies'; proxy_temp_path '{0}/bodies/p'; fastcgi_temp_path '{0}/bodies/f';
            uwsgi_temp_path '{0}/bodies/u'; scgi_temp_path '{0}/bodies/s';
            client_max_body_size 0;
            {http}
        }}",
        folder.display()
    );
    fs::write(folder.join("conf"), text).unwrap();
    let program = if Path::new("/usr/sbin/nginx").exists() { "/usr/sbin/nginx" } else { "nginx" };
    let mut command = Command::new(program);
    command.arg("-p").arg(folder).arg("-c").arg(folder.join("conf")).arg("-e").arg(folder.join("logs/start"));
    Process::start(&mut command, port, "apt-get install nginx-light")
}

/// TLS in front of the server on `port`, with a certificate and its key; lets in only whom
/// `clients` vouches for, if it is there.
pub fn tls_before(port: u16, folder: &Path, [certificate, key]: [&Path; 2], clients: Option<&Path>) -> Process {
    let own = free_port();
    let clients = clients.map_or(String::new(), |clients| {
        format!("ssl_client_certificate '{}'; ssl_verify_client on;", clients.display())
    });
    let http = format!(
        "server {{
            listen 127.0.0.1:{own} ssl;
            ssl_certificate '{}'; ssl_certificate_key '{}'; {clients}
            location / {{ proxy_pass http://127.0.0.1:{port}; proxy_set_header Host $http_host; proxy_http_version 1.1; }}
        }}",
        certificate.display(),
        key.display()
    );
    start_nginx(folder, own, &http)
}

/// nginx that takes PUT, with its files in `folder`.
pub fn nginx(folder: &Path) -> Process {
    let port = free_port();
    fs::create_dir_all(folder.join("files")).unwrap();
    let http = format!(
        "server {{
            listen 127.0.0.1:{port};
            root '{0}/files';
            location / {{ dav_methods PUT DELETE; create_full_put_path on; }}
            location /read-only/ {{ alias '{0}/files/'; limit_except GET {{ deny all; }} }}
        }}",
        folder.display()
    );
    start_nginx(folder, port, &http)
}

/// An S3 server with one bucket, `bucket`, in `folder`, which checks signatures.
pub fn s3(folder: &Path) -> Process {
    let port = free_port();
    fs::create_dir_all(folder.join("bucket")).unwrap();
    let mut command = Command::new("s3s-fs");
    command.args(["--host", "127.0.0.1", "--port", &port.to_string(), "--access-key", "KEY", "--secret-key", "SECRET"]);
    Process::start(command.arg(folder), port, "cargo install s3s-fs --version 0.14.1 --locked --features binary")
}
