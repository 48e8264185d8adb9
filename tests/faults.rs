//! A part of the campaign of `make faults`, with a fixed seed.

use crate::support::python;
use std::path::Path;
use std::process::Command;

#[test]
fn no_fault_is_silent_and_none_ends_the_program() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/faults");
    let mut campaign = Command::new(python());
    campaign.arg(script).args(["--program", env!("CARGO_BIN_EXE_covid-ct"), "--trials", "80", "--seed", "1"]);
    let output = campaign.output().expect("Python starts");
    let (said, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{error}");
    assert!(said.contains("| all | 80 | 0 |"), "{said}");
}
