//! Downloads one large file over HTTP, robust against cut connections, kills and a second process.

use crate::base::errors::{Context, Error, Result, anyhow, ensure};
use crate::base::files::{Digest, lock};
use crate::base::progress::{Meter, Progress, counted, human_bytes};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use ureq::http::{HeaderMap, StatusCode};

/// Pauses between the tries to resume; one more try than pauses may fail in a row.
pub(super) const PAUSES: [Duration; 4] =
    [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// How long to wait for a connection, an answer, or the next piece of the file.
const TIMEOUT: Duration = Duration::from_secs(30);

/// After a try that brought this many new bytes, failures are counted from zero again.
const ALIVE: u64 = 1_000_000;

const MB: u64 = 1_000_000;

/// Downloads `url` to `target`. Received data is kept in `<target>.partial`, from where a later call resumes; the file
/// is renamed only when it is complete and its SHA-256, which is returned, begins with `sha256_prefix`. `pauses`: see
/// [`PAUSES`].
///
/// # Errors
/// No connection, or one that keeps failing; an answer other than the file; a file with another hash (which is then
/// deleted); another process at the same download.
pub(super) fn download(
    url: &str,
    target: &Path,
    sha256_prefix: &str,
    pauses: &[Duration],
    progress: &(dyn Fn(&Progress) + Sync),
) -> Result<Digest> {
    let doing = || format!("downloading {url} to {}", target.display());
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).with_context(doing)?;
    let _lock = lock(&sibling(target, ".lock"), "another process is downloading this file").with_context(doing)?;
    if target.is_file() {
        // Another process may have completed it meanwhile.
        return check_sha256(target, sha256_prefix).with_context(doing);
    }
    let mut transfer = Transfer::begin(url, target, sha256_prefix, progress).with_context(doing)?;
    transfer.run(pauses).with_context(doing)?;
    let partial = transfer.partial;
    match check_sha256(&partial, sha256_prefix) {
        Ok(digest) => fs::rename(&partial, target).map(|()| digest).with_context(doing),
        Err(error) => {
            fs::remove_file(&partial).with_context(doing)?;
            Err(error.context("deleted what came")).with_context(doing)
        }
    }
}

/// The path with a suffix added to its name.
pub(super) fn sibling(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Compares a file with the first hexadecimal digits of its SHA-256, as torchvision has them in the names of its files.
pub(super) fn check_sha256(path: &Path, prefix: &str) -> Result<Digest> {
    let found = Digest::of_file(path)?;
    ensure!(
        found.to_string().starts_with(&prefix.to_ascii_lowercase()),
        "{} is not the file that was expected: its SHA-256 should begin with {prefix}, it is {found}",
        path.display()
    );
    Ok(found)
}

/// Why a try ended early.
enum DownloadFailure {
    /// Another try may succeed.
    Passing(Error),
    /// Another try would fail as well.
    Final(Error),
}

use DownloadFailure::{Final, Passing};

/// Errors of this machine are not worth another try.
impl From<Error> for DownloadFailure {
    fn from(error: Error) -> Self {
        Final(error)
    }
}

/// A download under way.
struct Transfer<'a> {
    agent: ureq::Agent,
    url: &'a str,
    sha256_prefix: &'a str,
    partial: PathBuf,
    file: File,
    /// Size of the whole file, once a server has said it.
    total: Option<u64>,
    stage: String,
    meter: Option<Meter<'a>>,
    progress: &'a (dyn Fn(&Progress) + Sync),
}

impl<'a> Transfer<'a> {
    fn begin(
        url: &'a str,
        target: &Path,
        sha256_prefix: &'a str,
        progress: &'a (dyn Fn(&Progress) + Sync),
    ) -> Result<Self> {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            .timeout_resolve(Some(TIMEOUT))
            .timeout_connect(Some(TIMEOUT))
            .timeout_recv_response(Some(TIMEOUT))
            .timeout_per_read(Some(TIMEOUT))
            .build()
            .new_agent();
        let partial = sibling(target, ".partial");
        let file = OpenOptions::new().create(true).read(true).append(true).open(&partial)?;
        let stage = format!("download {}", target.file_name().unwrap_or_default().display());
        Ok(Self { agent, url, sha256_prefix, partial, file, total: None, stage, meter: None, progress })
    }

    /// Tries until the file is complete, or no new data comes.
    fn run(&mut self, pauses: &[Duration]) -> Result<()> {
        let mut farthest = self.length()?;
        let mut left = pauses.iter();
        loop {
            match self.attempt() {
                Ok(()) => break,
                Err(Final(error)) => return Err(error),
                Err(Passing(error)) => {
                    let length = self.length()?;
                    if length >= farthest + ALIVE {
                        (farthest, left) = (length, pauses.iter());
                    }
                    let Some(pause) = left.next() else {
                        let tries = counted(pauses.len() as u64 + 1, "attempt");
                        return Err(error.context(format!("given up after {tries}")));
                    };
                    std::thread::sleep(*pause);
                }
            }
        }
        self.file.sync_all()?;
        if let Some(meter) = &self.meter {
            meter.finish();
        }
        Ok(())
    }

    /// One request, for what is missing.
    fn attempt(&mut self) -> Result<(), DownloadFailure> {
        let have = self.length()?;
        let mut request = self.agent.get(self.url);
        if have > 0 {
            request = request.header("Range", format!("bytes={have}-"));
        }
        let response = request.call().map_err(failed_request)?;
        let total = match response.status() {
            // Some servers do not support ranges and send the whole file.
            StatusCode::OK => {
                self.start_again()?;
                response.body().content_length().context("the server does not say how long the file is")?
            }
            StatusCode::PARTIAL_CONTENT if have > 0 => match content_range(response.headers()) {
                Some((start, total)) if start == have && self.total.is_none_or(|known| known == total) => total,
                found => {
                    self.start_again()?;
                    return Err(Passing(anyhow!(
                        "asked for bytes {have} and up of the file, the server sent {found:?}"
                    )));
                }
            },
            StatusCode::RANGE_NOT_SATISFIABLE if have > 0 => return self.nothing_left(),
            status => return Err(refused(status)),
        };
        self.total = Some(total);
        self.receive(response.into_body().into_reader(), total)
    }

    /// Appends the received data, up to the file's end.
    fn receive(&mut self, body: impl Read, total: u64) -> Result<(), DownloadFailure> {
        let mut length = self.length()?;
        let megabytes = |bytes: u64| (bytes / MB) as usize;
        let new_meter = || Meter::new(&self.stage, "MB", total.div_ceil(MB) as usize, megabytes(length), self.progress);
        let meter = self.meter.get_or_insert_with(new_meter);
        let mut body = body.take(total.saturating_sub(length));
        let mut buffer = vec![0; 1 << 16];
        let cut = loop {
            let piece = match body.read(&mut buffer) {
                Ok(count) => buffer.get(..count).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => break readable(error.into()),
            };
            if piece.is_empty() {
                if length == total {
                    return Ok(());
                }
                break anyhow!("the server sent no more");
            }
            self.file.write_all(piece).context("writing what came")?;
            let longer = length + piece.len() as u64;
            meter.add(megabytes(longer) - megabytes(length));
            length = longer;
        };
        Err(Passing(cut.context(format!("cut after {} of {}", human_bytes(length), human_bytes(total)))))
    }

    /// The server has nothing beyond the received data, so that is the whole file, or not a part of it.
    fn nothing_left(&mut self) -> Result<(), DownloadFailure> {
        if check_sha256(&self.partial, self.sha256_prefix).is_ok() {
            return Ok(());
        }
        self.start_again()?;
        Err(Passing(anyhow!("what came earlier is longer than the file on the server, or another")))
    }

    fn start_again(&mut self) -> Result<()> {
        (self.total, self.meter) = (None, None);
        self.file.set_len(0).context("emptying the partial file")
    }

    fn length(&self) -> Result<u64> {
        Ok(self.file.metadata().context("asking how much has come")?.len())
    }
}

/// First byte and whole length from `Content-Range: bytes <first>-<last>/<length>`.
fn content_range(headers: &HeaderMap) -> Option<(u64, u64)> {
    let value = headers.get("content-range")?.to_str().ok()?.strip_prefix("bytes ")?;
    let (range, length) = value.split_once('/')?;
    let (first, _last) = range.split_once('-')?;
    Some((first.trim().parse().ok()?, length.trim().parse().ok()?))
}

/// Whether a request that brought no answer should be repeated.
fn failed_request(error: ureq::Error) -> DownloadFailure {
    match error {
        ureq::Error::BadUri(_)
        | ureq::Error::Http(_)
        | ureq::Error::InvalidProxyUrl
        | ureq::Error::RedirectFailed
        | ureq::Error::TooManyRedirects => Final(error.into()),
        error => Passing(readable(error).context("no connection")),
    }
}

/// A readable error: ureq adds a prefix to errors of the system, and names only the kind of a timeout.
fn readable(error: ureq::Error) -> Error {
    match error {
        ureq::Error::Io(error) => error.into(),
        ureq::Error::Timeout(_) => anyhow!("nothing came for {} s", TIMEOUT.as_secs()),
        error => error.into(),
    }
}

/// Whether a failed answer is worth another try.
fn refused(status: StatusCode) -> DownloadFailure {
    let error = anyhow!("the server answered {status}");
    match status {
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Passing(error),
        status if status.is_server_error() => Passing(error),
        _ => Final(error),
    }
}
