//! What several tests use: a small phantom that is drawn once, temporary folders, Python with PyTorch, and the program.

use covid_ct::{
    Architecture, Audit, Digest, Experiment, Manifest, Phantom, PhantomConfig, Progress, RunConfig, RunFolder,
    SliceCache, Split, SplitConfig, draw_phantom,
};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Ignores progress.
pub fn silent(_: &Progress) {}

pub fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// Files that were changed within two seconds are read again, whatever is known of them.
pub fn grow_old() {
    std::thread::sleep(std::time::Duration::from_millis(2100));
}

/// What every test may read and none may change.
pub struct Fixture {
    _folder: TempDir,
    pub root: PathBuf,
    pub phantom: Phantom,
    pub manifest: Manifest,
    pub audit: Audit,
}

/// A small phantom with every defect, its slices 512 pixels as real ones, scanned and audited; drawn at the first call.
pub fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| {
        let folder = folder();
        let root = folder.path().join("phantom");
        let phantom = draw_phantom(&root, &small_phantom(), silent).expect("draws");
        let manifest = Manifest::scan(&root, silent).expect("scans");
        let audit = Audit::run(&manifest, silent).expect("audits");
        Fixture { _folder: folder, root, phantom, manifest, audit }
    })
}

pub fn small_phantom() -> PhantomConfig {
    PhantomConfig { train_scans: 12, val_scans: 5, prediction_scans: 3, slices: 8, ..PhantomConfig::default() }
}

/// Settings for seconds, not minutes.
pub fn tiny_run(name: &str) -> RunConfig {
    let mut run = RunConfig {
        name: name.into(),
        device: "cpu".into(),
        epochs: 2,
        ..RunConfig::published(Architecture::Fcn).by_patient().small()
    };
    run.preprocess.size = 32;
    run
}

/// The accepted slices of the fixture as a run's experiment under `home`: its folder is `home/<run>`.
pub fn prepared(home: &Path, run: &RunConfig) -> Experiment {
    experiment(home, &fixture().audit.accepted(), run)
}

/// The same of other slices.
pub fn experiment(home: &Path, manifest: &Manifest, run: &RunConfig) -> Experiment {
    experiment_of(home, split_of(manifest, run.split.clone()), manifest, run).expect("belongs together")
}

/// The same of a split that may be another than the run asks for.
pub fn experiment_of(home: &Path, split: Split, manifest: &Manifest, run: &RunConfig) -> anyhow::Result<Experiment> {
    let cache = SliceCache::open_or_build(home.join("cache"), manifest, &run.preprocess, silent).expect("caches");
    Experiment::of_parts(RunFolder::at(home.join(&run.name)), split, cache, run.clone())
}

pub fn split_of(manifest: &Manifest, config: SplitConfig) -> Split {
    Split::new(manifest, &config).expect("splits")
}

/// Records a file of a run that a test has changed, as if the run had written it so.
pub fn record(path: &Path) {
    let (folder, name) = (path.parent().expect("a folder"), path.file_name().expect("a name").to_string_lossy());
    let sums = std::fs::read_to_string(folder.join("SHA256SUMS")).expect("reads");
    let others = sums.lines().filter(|line| !line.ends_with(&format!("  {name}"))).map(|line| format!("{line}\n"));
    let sum = Digest::of(&std::fs::read(path).expect("reads"));
    let lines = others.chain([format!("{sum}  {name}\n")]).collect::<String>();
    std::fs::write(folder.join("SHA256SUMS"), lines).expect("writes");
}

/// The Python with PyTorch, Pillow and scikit-learn.
pub fn python() -> String {
    std::env::var("COVID_CT_PYTHON").expect("COVID_CT_PYTHON names no Python with PyTorch: `make test` sets it")
}

/// Runs a script of tests/ and returns what it printed.
pub fn run_python(script: &str, arguments: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(script);
    let output = Command::new(python()).arg(&script).args(arguments).output().expect("Python starts");
    assert!(output.status.success(), "{} failed: {}", script.display(), String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Whether the condition holds within this time.
pub fn holds_within(seconds: u64, mut is_so: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    loop {
        match is_so() {
            true => return true,
            false if begun.elapsed() >= Duration::from_secs(seconds) => return false,
            false => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// Sends a signal, such as `-INT`.
pub fn signal(signal: &str, process: impl Display) {
    Command::new("kill").args([signal, &process.to_string()]).status().expect("kill");
}

/// The program, with the test's workspace and data set.
pub fn program(workspace: &Path, data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_covid-ct"));
    command.env("COVID_CT_WORKSPACE", workspace).env("COVID_CT_DATA", data);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs the program to its end.
pub fn run(workspace: &Path, data: &Path, arguments: &[&str]) -> Output {
    program(workspace, data).args(arguments).output().expect("the program starts")
}

/// Runs the program, which must succeed, and returns what it printed.
pub fn run_well(workspace: &Path, data: &Path, arguments: &[&str]) -> String {
    let output = run(workspace, data, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}
