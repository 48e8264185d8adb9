//! Asks a Python script of this folder: JSON on its standard input, JSON on its standard output. Also read by the unit tests of
//! `src/stats/logistic_head`.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::io::Write;
use std::process::{Command, Stdio};

/// The answer of `script`, which the Python with scikit-learn runs.
pub fn ask(script: &str, questions: &Value) -> Result<Value> {
    let python = std::env::var("COVID_CT_PYTHON")
        .context("COVID_CT_PYTHON names no Python that has scikit-learn: `make test` sets it")?;
    let mut running = Command::new(&python)
        .arg(format!("{}/tests/{script}", env!("CARGO_MANIFEST_DIR")))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {python}, named by COVID_CT_PYTHON"))?;
    // Taken, so that it is closed before the output is read.
    let mut stdin = running.stdin.take().context("the script has no standard input")?;
    stdin.write_all(&serde_json::to_vec(questions)?)?;
    drop(stdin);
    let output = running.wait_with_output()?;
    ensure!(output.status.success(), "{script} under {python}: {}", output.status);
    serde_json::from_slice(&output.stdout).with_context(|| format!("reading what {script} wrote"))
}
