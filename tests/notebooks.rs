//! The notebooks on the real kernel; a failing cell is an error.

use crate::support::{fixture, folder, python};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn runner(out: &Path, notebooks: &[PathBuf]) -> Output {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    Command::new(python())
        .arg(repository.join("scripts/run_notebooks.py"))
        .args(["--out", &out.display().to_string()])
        .args(notebooks)
        .env("COVID_CT_DATA", &fixture().root)
        .output()
        .expect("the runner starts")
}

fn notebook(folder: &Path, name: &str, cells: &[&str]) -> PathBuf {
    let cells: Vec<serde_json::Value> = cells
        .iter()
        .enumerate()
        .map(|(i, source)| {
            serde_json::json!({"cell_type": "code", "id": format!("c{i}"), "execution_count": null, "metadata": {}, "outputs": [], "source": source})
        })
        .collect();
    let kernel = serde_json::json!({"name": "covid-ct", "display_name": "Rust (covid-ct)", "language": "rust"});
    let notebook =
        serde_json::json!({"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": kernel}, "cells": cells});
    let path = folder.join(name);
    fs::write(&path, notebook.to_string()).expect("writes");
    path
}

/// What cells are linked with, in all slots of this clone: other settings give other names.
fn libraries() -> BTreeSet<String> {
    let target = PathBuf::from(std::env::var("CARGO_TARGET_DIR").expect("`make test` sets CARGO_TARGET_DIR"));
    let clone = target.ancestors().nth(2).expect("this clone's folder");
    let listed = |folder: &Path| fs::read_dir(folder).into_iter().flatten().map(|entry| entry.expect("entry").path());
    let slots = listed(clone).map(|slot| slot.join("target"));
    let fingerprints =
        slots.flat_map(|target| listed(&target)).flat_map(|host| listed(&host.join("debug/.fingerprint")));
    let names = fingerprints.map(|made| made.file_name().unwrap_or_default().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("covid-ct-notebook-")).collect()
}

#[test]
fn the_notebooks_run_from_the_first_cell_to_the_report() {
    let (folder, set_up) = (folder(), libraries());
    assert!(!set_up.is_empty(), "set-up compiled no library for cells");
    // One network for the notebook that is run for three: `make demo` runs them all.
    let output = runner(folder.path(), &["--variant", "densenet161"].map(PathBuf::from));
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    for name in [
        "00_google_cloud",
        "01_dataset",
        "02_split",
        "03_train_fcn",
        "04_train_pretrained-densenet161",
        "05_compare",
        "06_inference",
    ] {
        let html = fs::read_to_string(folder.path().join(format!("{name}.html"))).expect("an HTML page");
        assert!(html.contains("class=\"covid-ct\""), "{name} shows no table and no figure");
    }
    assert!(folder.path().join("report.html").is_file(), "{text}");
    assert!(fs::read_dir(folder.path().join("figures")).expect("figures").count() > 10);
    assert_eq!(
        libraries(),
        set_up,
        "cells compiled the library once more: scripts/program.toml has other settings than evcxr"
    );
}

#[test]
fn notebooks_are_committed_without_outputs() {
    let notebooks = Path::new(env!("CARGO_MANIFEST_DIR")).join("notebooks");
    let mut seen = 0;
    for entry in fs::read_dir(notebooks).expect("lists").map(|e| e.expect("entry").path()) {
        if entry.extension().is_some_and(|e| e == "ipynb") {
            let text = fs::read_to_string(&entry).expect("reads");
            let notebook: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            for cell in notebook["cells"].as_array().expect("cells").iter().filter(|c| c["cell_type"] == "code") {
                assert_eq!(cell["outputs"], serde_json::json!([]), "{}", entry.display());
            }
            seen += 1;
        }
    }
    assert!(seen >= 7);
}

/// What the cells of an executed notebook returned, as text.
fn shown(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("the executed notebook");
    let notebook: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let cells = notebook["cells"].as_array().expect("cells").iter();
    let outputs = cells.flat_map(|cell| cell["outputs"].as_array().expect("outputs"));
    outputs
        .map(|output| match &output["data"]["text/plain"] {
            serde_json::Value::Array(lines) => lines.iter().filter_map(|line| line.as_str()).collect(),
            one => one.as_str().unwrap_or_default().to_owned(),
        })
        .collect()
}

#[test]
fn a_cell_that_fails_in_any_way_fails_the_run() {
    let folder = folder();
    let failing = [
        ("question_mark.ipynb", vec!["1 + 1", "RunConfig::read(\"nowhere.json\")?", "2 + 2"], "nowhere.json"),
        ("panic.ipynb", vec!["let empty: Vec<i32> = vec![];", "empty[3]", "2 + 2"], "index out of bounds"),
        ("compile.ipynb", vec!["let x: i32 = \"text\";"], "mismatched types"),
        ("child.ipynb", vec!["std::process::exit(3);"], ""),
    ];
    for (name, cells, said) in failing {
        let output = runner(folder.path(), &[notebook(folder.path(), name, &cells)]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{name} passed: {}", String::from_utf8_lossy(&output.stdout));
        assert!(text.contains(said) && text.contains("failed"), "{name}: {text}");
        assert!(!shown(&folder.path().join(name)).contains('4'), "{name} went on after the failure");
    }
    // A generic function of tch is compiled in the cell: what it calls in C must be there for it.
    let loss = "let images = tch::Tensor::from_slice(&[0.0_f64, 0.0]).reshape([1_i64, 2]);\n\
                let label = tch::Tensor::from_slice(&[1_i64]);\n\
                let loss = images.cross_entropy_loss::<tch::Tensor>(&label, None, tch::Reduction::Mean, -100, 0.0);\n\
                loss.double_value(&[]) == 2_f64.ln()";
    let fine = runner(folder.path(), &[notebook(folder.path(), "fine.ipynb", &["let x = 2;", "x + 2", loss])]);
    assert!(fine.status.success(), "{}", String::from_utf8_lossy(&fine.stderr));
    assert_eq!(shown(&folder.path().join("fine.ipynb")), "4true");
}

#[test]
fn a_session_fails_is_interrupted_and_goes_on() {
    let (home, repository) = (folder(), Path::new(env!("CARGO_MANIFEST_DIR")));
    let session = Command::new(python())
        .arg(repository.join("tests/notebook_session.py"))
        .args([&repository.join("notebooks"), home.path()])
        .env("COVID_CT_DATA", &fixture().root)
        .env("COVID_CT_WORKSPACE", home.path())
        .output()
        .expect("Python starts");
    let [out, err] = [&session.stdout, &session.stderr].map(|said| String::from_utf8_lossy(said));
    assert!(session.status.success(), "{out}{err}");
    assert_eq!(out.matches(" s\n").count(), 7, "six checks and the time of an interrupt: {out}");
}

#[test]
fn nbconvert_stops_at_a_cell_that_failed() {
    let folder = folder();
    let path =
        notebook(folder.path(), "stops.ipynb", &["let one = 1;", "RunConfig::read(\"nowhere.json\")?", "one + 1"]);
    let output = Command::new(python())
        .args(["-m", "nbconvert", "--to", "notebook", "--execute", "--output", "done.ipynb"])
        .arg(&path)
        .output()
        .expect("nbconvert starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("CellExecutionError") && said.contains("nowhere.json"), "{said}");
    assert!(!folder.path().join("done.ipynb").exists());
}
