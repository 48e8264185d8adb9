//! Tests of files of weights: compared with PyTorch, damaged and malicious files, and downloads over a failing network.

mod downloads;
mod inflation;
mod notices;
mod officials;
mod packages;
mod pickles;
mod server;
mod torch_files;

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use tempfile::TempDir;

/// What tests/reference_weights.py wrote, at the first call.
fn reference() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let write = || {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let python = std::env::var("COVID_CT_PYTHON")
            .expect("COVID_CT_PYTHON names no Python with PyTorch: `make test` sets it");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference_weights.py");
        // Run in this folder, so that a file that runs something would leave a trace.
        let output = Command::new(python).arg(script).arg(folder.path()).current_dir(folder.path()).output();
        let output = output.expect("Python starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        folder
    };
    FOLDER.get_or_init(write).path()
}

/// One of the reference's JSON files.
fn reference_json(name: &str) -> serde_json::Value {
    let text = std::fs::read_to_string(reference().join(name)).expect("the reference has it");
    serde_json::from_str(&text).expect("JSON")
}

/// All of an error, on one line.
fn message<T>(result: crate::base::errors::Result<T>) -> String {
    format!("{:#}", result.err().expect("an error"))
}
