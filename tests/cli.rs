//! Messages of the command line.

use crate::support::{fixture, folder, run, run_well};
use std::path::Path;
use std::process::{Command, Output};

fn complaint(output: &Output) -> String {
    assert!(!output.status.success(), "it should have failed: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn help_teaches_the_order_of_the_stages() {
    let folder = folder();
    let help = run_well(folder.path(), &fixture().root, &["--help"]);
    for word in
        ["phantom", "audit", "split", "cache", "train", "evaluate", "predict", "report", "doctor", "COVID_CT_DATA"]
    {
        assert!(help.contains(word), "{word} is missing in\n{help}");
    }
    for stage in ["phantom", "audit", "split", "cache", "train", "evaluate", "predict", "report", "doctor"] {
        assert!(run_well(folder.path(), &fixture().root, &[stage, "--help"]).contains("Usage: covid-ct"));
    }
}

#[test]
fn a_stage_without_the_one_before_says_which_to_run() {
    let folder = folder();
    let told = |arguments: &[&str]| complaint(&run(folder.path(), &fixture().root, arguments));
    assert!(told(&["split"]).contains("run `covid-ct audit` first"));
    assert!(told(&["evaluate"]).contains("run `covid-ct train` first"));
    assert!(told(&["report"]).contains("run `covid-ct audit` first"));
    assert!(told(&["audit", "--details", "nonsense"]).contains("black-slice"));
    assert!(told(&["train", "--device", "cuda:7"]).contains("cuda:7"));
    assert!(told(&["train", "--learning-rate", "0"]).contains("learning_rate: expected more than 0, found 0"));
}

#[test]
fn two_data_sets_of_one_name_are_never_taken_for_each_other() {
    let (folder, other) = (folder(), folder());
    let name = fixture().root.file_name().expect("a name");
    let twin = other.path().join(name);
    std::fs::create_dir_all(twin.join("train/covid/ct_scan_0")).expect("creates");
    run_well(folder.path(), &fixture().root, &["audit"]);
    for stage in ["split", "cache", "train", "report"] {
        let error = complaint(&run(folder.path(), &twin, &[stage]));
        let both = [&twin, &fixture().root].map(|root| root.display().to_string());
        assert!(both.iter().all(|root| error.contains(root)) && error.contains("audit` again"), "{stage}: {error}");
    }
}

#[test]
fn a_data_folder_that_is_not_there_is_named() {
    let folder = folder();
    let error = complaint(&run(folder.path(), &folder.path().join("nowhere"), &["audit"]));
    assert!(error.contains("nowhere") && error.contains("no such folder"), "{error}");
}

#[test]
fn the_phantom_is_drawn_once_and_nothing_is_overwritten() {
    let folder = folder();
    let root = folder.path().join("p");
    let draw = |more: &[&str]| {
        let path = root.display().to_string();
        let arguments = [
            "phantom",
            &path,
            "--size",
            "64",
            "--train-scans",
            "3",
            "--val-scans",
            "3",
            "--prediction-scans",
            "1",
            "--slices",
            "4",
        ];
        run(folder.path(), &fixture().root, &[&arguments[..], more].concat())
    };
    assert!(draw(&[]).status.success() && draw(&[]).status.success());
    assert!(complaint(&draw(&["--seed", "2"])).contains("another configuration"));
}

#[test]
fn doctor_looks_and_tells() {
    let folder = folder();
    let output = run(folder.path(), &fixture().root, &["doctor"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mpi = if cfg!(feature = "mpi") { "mpirun or srun, each does its share" } else { "not by this build" };
    for what in ["libtorch", "2.11.0", "CUDA", "Notebook kernel", "Disk free", "Memory available", "Data set", mpi] {
        assert!(text.contains(what), "{what} is missing in\n{text}");
    }
    assert!(matches!(output.status.code(), Some(0 | 3)));
}

/// With a library of the driver's name that does nothing, and no `LD_LIBRARY_PATH`, as at a terminal.
#[test]
fn cuda_is_loaded_where_there_is_a_driver() {
    let folder = folder();
    let (source, driver) = (folder.path().join("driver.c"), folder.path().join("libcuda.so.1"));
    std::fs::write(&source, "int nothing;").expect("writes");
    let mut compiler = Command::new("c++");
    compiler.args(["-shared", "-Wl,-soname,libcuda.so.1", "-o"]).arg(&driver).arg(&source);
    assert!(compiler.status().expect("a compiler").success());
    let loads_cuda = |driver: Option<&Path>| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_covid-ct"));
        program.arg("doctor").current_dir(folder.path()).env_remove("LD_LIBRARY_PATH").env("LD_DEBUG", "files");
        let output = driver.iter().fold(&mut program, |program, path| program.env("LD_PRELOAD", path)).output();
        let said = String::from_utf8_lossy(&output.expect("runs").stderr).into_owned();
        said.lines().any(|line| line.contains("calling init") && line.ends_with("/libtorch_cuda.so"))
    };
    assert!(loads_cuda(Some(&driver)));
    let real = Path::new("/proc/driver/nvidia/version").exists();
    assert!(real || !loads_cuda(None), "230 MB for nothing");
}

/// Several processes of a program without MPI would do the same work, and write over each other.
#[cfg(not(feature = "mpi"))]
#[test]
fn processes_that_cannot_work_together_say_so() {
    let home = folder();
    let output = crate::support::program(home.path(), home.path())
        .arg("doctor")
        .env("OMPI_COMM_WORLD_SIZE", "4")
        .output()
        .expect("starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("mpirun has started 4 processes, but this covid-ct was built without MPI"), "{said}");
}
