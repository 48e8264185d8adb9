//! Ranks that die, stand still, have no room, or are cut off.

use crate::ranks::{audited, by_launcher, history, in_ranks, losses, run_folder, run_in_ranks, run_well_in_ranks};
use crate::support::{holds_within, program, signal};
use covid_ct::RunConfig;
use std::fs;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// A launcher and what it has started, ended with the test.
struct Started(Child);

impl Started {
    fn by(command: &mut Command) -> Self {
        Self(command.spawn().expect("the launcher starts"))
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if self.0.try_wait().is_ok_and(|ended| ended.is_none()) {
            for process in ranks_of(self.0.id()) {
                signal("-CONT", &process);
            }
            // mpirun ends its ranks, two_hosts.sh its hosts.
            signal("-TERM", self.0.id());
            self.0.wait().ok();
        }
    }
}

/// The processes that mpirun has started.
fn ranks_of(mpirun: u32) -> Vec<String> {
    let children = Command::new("pgrep").args(["-P", &mpirun.to_string()]).output().expect("pgrep");
    String::from_utf8(children.stdout).expect("UTF-8").lines().map(str::to_owned).collect()
}

/// Waits until the condition holds.
fn until(what: &str, seconds: u64, is_so: impl FnMut() -> bool) {
    assert!(holds_within(seconds, is_so), "no {what} after {seconds} s");
}

/// Whether hosts can be made of network namespaces; says so where not.
pub fn has_network_namespaces() -> bool {
    static THERE: OnceLock<bool> = OnceLock::new();
    *THERE.get_or_init(|| {
        let probe = format!("cct-probe-{}", std::process::id());
        let ip = |what: &str| {
            Command::new("ip").args(["netns", what, &probe]).output().is_ok_and(|output| output.status.success())
        };
        let is_there = ip("add") && ip("delete");
        if !is_there {
            eprintln!("not run: hosts in network namespaces need root and iproute2");
        }
        is_there
    })
}

#[test]
fn a_rank_that_dies_ends_all_and_any_number_of_them_goes_on() {
    let (_folder, data, home) = audited();
    let train = "train --network fcn --size 64 --epochs 2 --batch-size 1 --checkpoint-minutes 0 --name run";
    let arguments: Vec<&str> = train.split(' ').collect();
    let log = fs::File::create(home.path().join("log")).expect("a file");
    let mut command = in_ranks(3, home.path(), &data, &arguments);
    let mut together = Started::by(command.stdout(log.try_clone().expect("a file")).stderr(log));
    let last = run_folder(home.path(), "run").path().join("last.safetensors");
    until("checkpoint", 120, || last.exists());
    let ranks = ranks_of(together.0.id());
    assert_eq!(ranks.len(), 3, "{ranks:?}");
    signal("-KILL", &ranks[1]);
    let killed = Instant::now();
    assert!(!together.0.wait().expect("ends").success());
    assert!(killed.elapsed() < Duration::from_secs(30));
    let mut run = RunConfig::read(run_folder(home.path(), "run").path().join("config.json")).expect("reads");
    run.checkpoint_minutes = 5.0;
    let config = home.path().join("config.json");
    run.write(&config).expect("writes");
    let output = run_in_ranks(2, home.path(), &data, &["train", "--config", config.to_str().expect("UTF-8")]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("resumed in epoch"), "{said}");
    assert_eq!(history(home.path(), "run").epochs.len(), 2);
}

/// A rank that stands still for half a minute is waited for, with a word, and afterwards named as the slow one. What it learns is
/// the same.
#[test]
fn a_slow_rank_is_waited_for_and_named() {
    const NAMED: &str = "every step takes as long as the slowest";
    let (_folder, data, home) = audited();
    // Batches of which both ranks have as much.
    let train = |name| format!("train --network fcn --size 64 --epochs 6 --batch-size 2 --name {name}");
    run_well_in_ranks(2, home.path(), &data, &train("even").split(' ').collect::<Vec<_>>());
    let log = home.path().join("log");
    let file = fs::File::create(&log).expect("a file");
    let arguments = train("slow");
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let mut command = in_ranks(2, home.path(), &data, &arguments);
    let mut together = Started::by(command.stdout(file.try_clone().expect("a file")).stderr(file));
    let said = || fs::read_to_string(&log).expect("reads");
    for epoch in 2.. {
        until("epoch", 120, || said().contains(&format!("epoch {epoch}/6: ")));
        let ranks = ranks_of(together.0.id());
        signal("-STOP", &ranks[1]);
        match epoch {
            2 => until("word", 90, || said().contains("rank 0 has waited 30 s for the others")),
            _ => std::thread::sleep(Duration::from_secs(20)),
        }
        signal("-CONT", &ranks[1]);
        until("epoch's end", 120, || said().contains(&format!("Epoch {epoch}: ")));
        // One time in ten it is stopped while it waits for the other, and then that is what it takes for waiting.
        if said().contains(NAMED) || epoch == 5 {
            break;
        }
    }
    assert!(together.0.wait().expect("ends").success(), "{}", said());
    let named = said().lines().find(|line| line.contains(NAMED)).map(str::to_owned);
    let named = named.unwrap_or_else(|| panic!("no rank is named: {}", said()));
    let seconds = named.split("computed for ").nth(1).and_then(|rest| rest.split(' ').next()).expect("seconds");
    assert!(named.starts_with("rank 1 on ") && seconds.parse::<f64>().expect("a number") > 15.0, "{named}");
    let [even, slow] = ["even", "slow"].map(|name| losses(&history(home.path(), name)));
    assert_eq!(even, slow);
}

/// Ranks that do not write need no room: one whose files may not grow learns with the others.
#[test]
fn a_full_disk_matters_to_the_first_rank_alone() {
    let (_folder, data, home) = audited();
    let train = |name| format!("train --network fcn --size 64 --epochs 1 --batch-size 8 --name {name}");
    // Open MPI itself keeps a file of shared memory for each rank: so these two speak by TCP.
    let full = |rank: usize| format!("[ $OMPI_COMM_WORLD_RANK = {rank} ] && ulimit -f 0; exec \"$0\" \"$@\"");
    let run = |rank, name| {
        let mut mpirun = Command::new("mpirun");
        mpirun.args(["--oversubscribe", "--bind-to", "none", "--mca", "btl", "tcp,self", "-n", "2", "bash", "-c"]);
        mpirun.arg(full(rank));
        let arguments = train(name);
        let arguments: Vec<&str> = arguments.split(' ').collect();
        by_launcher(&mut mpirun, home.path(), &data, &arguments).output().expect("mpirun starts")
    };
    let output = run(1, "second");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(history(home.path(), "second").epochs.len(), 1);
    let begun = Instant::now();
    let output = run(0, "first");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("rank 0 of 2") && said.contains("File too large"), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(120));
}

/// The cable between the hosts is cut while they train: both ends notice, and the run goes on from its checkpoint alone.
#[test]
fn a_cut_network_ends_the_ranks_and_nothing_is_lost() {
    if !has_network_namespaces() {
        return;
    }
    let (_folder, data, home) = audited();
    let train = "train --network fcn --size 64 --epochs 2 --batch-size 1 --checkpoint-minutes 0 --name run";
    let arguments: Vec<&str> = train.split(' ').collect();
    let [cut, log] = ["cut", "log"].map(|name| home.path().join(name));
    let file = fs::File::create(&log).expect("a file");
    let mut script = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/two_hosts.sh"));
    let mut hosts = by_launcher(&mut script, home.path(), &data, &arguments);
    let mut hosts = Started::by(hosts.env("CUT_BY", &cut).stdout(file.try_clone().expect("a file")).stderr(file));
    let last = run_folder(home.path(), "run").path().join("last.safetensors");
    until("checkpoint", 120, || last.exists());
    fs::write(&cut, "").expect("writes");
    let begun = Instant::now();
    assert!(!hosts.0.wait().expect("ends").success());
    let said = fs::read_to_string(&log).expect("reads");
    println!("ended {:.0} s after the cut", begun.elapsed().as_secs_f64());
    assert!(begun.elapsed() < Duration::from_secs(120), "{:?}: {said}", begun.elapsed());
    assert!(said.contains("lost communication"), "{said}");
    let here = home.path().to_str().expect("UTF-8");
    let left = || Command::new("pgrep").args(["-f", here]).output().expect("pgrep").stdout;
    until("end on both hosts", 60, || left().is_empty());
    let resumed = program(home.path(), &data).args(&arguments).output().expect("starts");
    let said = String::from_utf8_lossy(&resumed.stderr);
    assert!(resumed.status.success() && said.contains("resumed in epoch"), "{said}");
    assert_eq!(history(home.path(), "run").epochs.len(), 2);
}
