//! An interrupt of the notebook, as the kernel's relay passes it on: a file appears, and a long call ends with an error. On the
//! command line it is a signal.

use crate::support::{fixture, folder, holds_within, program, run_well, signal};
use crate::training::tensors;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output};

/// Runs the program, which is asked to end from its start.
fn interrupted(home: &Path, arguments: &[&str]) -> Output {
    let file = home.join("interrupt");
    fs::write(&file, "").expect("writes");
    let output = program(home, &fixture().root).env("EVCXR_RELAY_INTERRUPT", &file).args(arguments).output();
    output.expect("the program starts")
}

fn must_say_so(output: &Output, arguments: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{arguments:?} went on");
    assert!(
        said.contains("interrupted: what was finished and written is kept; run the cell again to go on"),
        "{arguments:?}: {said}"
    );
}

#[test]
fn every_long_call_ends_when_it_is_asked_to_and_goes_on_to_the_same_bits() {
    let (asked, whole) = (folder(), folder());
    let of_run = ["--small", "--size", "32", "--device", "cpu", "--name", "compact"];
    let with_run = |first: &[&'static str]| -> Vec<&str> { first.iter().chain(&of_run).copied().collect() };
    let train: Vec<&str> = with_run(&["train"]).into_iter().chain(["--network", "compact", "--epochs", "2"]).collect();
    let phantom = asked.path().join("drawn");
    let draw = ["phantom", phantom.to_str().expect("UTF-8"), "--size", "64", "--slices", "4"];
    must_say_so(&interrupted(asked.path(), &draw), &draw);
    assert!(!phantom.exists(), "half a phantom was left");
    must_say_so(&interrupted(asked.path(), &["audit"]), &["audit"]);
    for home in [&asked, &whole] {
        fixture().audit.write(home.path().join("data_manifest/phantom")).expect("writes");
    }
    let cache = ["cache", "--small", "--size", "32"];
    must_say_so(&interrupted(asked.path(), &cache), &cache);
    for home in [&asked, &whole] {
        run_well(home.path(), &fixture().root, &cache);
    }
    // Each time it goes on by one batch.
    for _ in 0..3 {
        must_say_so(&interrupted(asked.path(), &train), &train);
    }
    let said = program(asked.path(), &fixture().root).args(&train).output().expect("starts");
    assert!(String::from_utf8_lossy(&said.stderr).contains("resumed in epoch 1 after 3 batches"), "{said:?}");
    run_well(whole.path(), &fixture().root, &train);
    for file in ["last.safetensors", "best.safetensors"] {
        let [one, other] = [&asked, &whole].map(|home| home.path().join("runs/phantom/compact").join(file));
        assert!(tensors(&one) == tensors(&other), "{file} differs");
    }
    for command in ["evaluate", "explain", "leakage"] {
        let arguments = [command, "--name", "compact"];
        must_say_so(&interrupted(asked.path(), &arguments), &arguments);
        if command == "evaluate" {
            run_well(asked.path(), &fixture().root, &arguments);
        }
    }
}

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn a_signal_ends_a_training_after_its_checkpoint() {
    let home = folder();
    fixture().audit.write(home.path().join("data_manifest/phantom")).expect("writes");
    let train =
        "train --small --size 32 --device cpu --network compact --name compact --epochs 1000 --checkpoint-minutes 60";
    let log = home.path().join("log");
    let said = || fs::read_to_string(&log).unwrap_or_default();
    for (name, code, begins_with) in [("-INT", 130, "Epoch 1: "), ("-TERM", 143, "resumed in epoch ")] {
        let file = fs::File::create(&log).expect("a file");
        // A shell that runs tests in the background has them ignore Ctrl-C.
        let command = &mut Command::new("env");
        command
            .args(["--default-signal=INT", env!("CARGO_BIN_EXE_covid-ct")])
            .args(train.split(' '))
            .env("COVID_CT_WORKSPACE", home.path())
            .env("COVID_CT_DATA", &fixture().root)
            .stdout(file.try_clone().expect("a file"))
            .stderr(file);
        let mut training = Running(command.spawn().expect("starts"));
        assert!(holds_within(400, || said().contains(begins_with)), "no training: {}", said());
        signal(name, training.0.id());
        let has_ended = || training.0.try_wait().expect("waits").is_some();
        assert!(holds_within(400, has_ended), "no end: {}", said());
        assert_eq!(training.0.wait().expect("ends").code(), Some(code), "{}", said());
        let announced = said().contains("ends when what is done is written; once more ends at once");
        assert!(announced && said().contains("run the command again to go on"), "{}", said());
        assert!(home.path().join("runs/phantom/compact/last.safetensors").is_file());
    }
}
