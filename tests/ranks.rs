//! The command line under mpirun: several processes write and learn what one does, and end together.

use crate::support::{folder, grow_old, program, run_well, silent, small_phantom};
use covid_ct::{Architecture, History, Learn, Network, PhantomConfig, RunConfig, RunFolder, draw_phantom};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A data set of 64 pixels whose scans can be known again.
fn data() -> (TempDir, PathBuf) {
    let folder = folder();
    let root = folder.path().join("data");
    draw_phantom(&root, &PhantomConfig { size: 64, ..small_phantom() }, silent).expect("draws");
    grow_old();
    (folder, root)
}

/// The program in so many processes.
fn in_ranks(ranks: usize, workspace: &Path, data: &Path, arguments: &[&str]) -> Command {
    let ranks = ranks.to_string();
    by_launcher(
        Command::new("mpirun").args(["--oversubscribe", "--bind-to", "none", "-n", &ranks]),
        workspace,
        data,
        arguments,
    )
}

/// The program, started by another one that is given its path and arguments.
fn by_launcher(launcher: &mut Command, workspace: &Path, data: &Path, arguments: &[&str]) -> Command {
    let own = program(workspace, data);
    let mut command = Command::new(launcher.get_program());
    command.args(launcher.get_args()).arg(own.get_program()).args(arguments);
    command.envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1").env("OMP_NUM_THREADS", "1");
    command.stdin(std::process::Stdio::null());
    command
}

fn run_in_ranks(ranks: usize, workspace: &Path, data: &Path, arguments: &[&str]) -> Output {
    in_ranks(ranks, workspace, data, arguments).output().expect("mpirun starts")
}

fn run_well_in_ranks(ranks: usize, workspace: &Path, data: &Path, arguments: &[&str]) -> String {
    let output = run_in_ranks(ranks, workspace, data, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn run_folder(workspace: &Path, name: &str) -> RunFolder {
    RunFolder::at(workspace.join("runs/data").join(name))
}

fn history(workspace: &Path, name: &str) -> History {
    run_folder(workspace, name).history().expect("a history")
}

/// Training loss, validation loss and accuracies of every epoch.
fn losses(history: &History) -> Vec<[f64; 4]> {
    let of = |of: &covid_ct::EpochRecord| {
        [of.training.loss, of.validation.loss, of.training.accuracy, of.validation.accuracy]
    };
    history.epochs.iter().map(of).collect()
}

/// The processes that mpirun has started.
fn ranks_of(mpirun: u32) -> Vec<String> {
    let children = Command::new("pgrep").args(["-P", &mpirun.to_string()]).output().expect("pgrep");
    String::from_utf8(children.stdout).expect("UTF-8").lines().map(str::to_owned).collect()
}

fn signal(signal: &str, process: &str) {
    assert!(Command::new("kill").args([signal, process]).status().expect("kill").success());
}

/// Waits until the condition holds.
fn until(what: &str, seconds: u64, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(seconds), "no {what} after {seconds} s");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The only file of this name below a folder.
fn found(folder: &Path, name: &str) -> Vec<u8> {
    let output = Command::new("find").arg(folder).args(["-name", name]).output().expect("finds");
    let paths = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(paths.lines().count(), 1, "{name} in {}: {paths}", folder.display());
    fs::read(paths.trim()).expect("reads")
}

#[test]
fn shares_make_the_files_that_one_process_makes() {
    let (_folder, data) = data();
    let (one, three) = (folder(), folder());
    let train = "train --network resnet18 --pretrained none --size 64 --epochs 3 --batch-size 8 --name run";
    for command in ["audit", "cache --size 64", train, "evaluate --name run", "predict --name run"] {
        let arguments: Vec<&str> = command.split(' ').collect();
        let alone = run_well(one.path(), &data, &arguments);
        let together = run_well_in_ranks(3, three.path(), &data, &arguments);
        // Said once, and the same but for the times and places; the audit's slices were read before it.
        assert_eq!(alone.lines().count(), together.lines().count(), "{command}:\n{alone}\n{together}");
        if command == "audit" {
            assert!(together.contains("Nothing audited anew"), "{together}");
        }
    }
    for name in ["audit.json", "manifest.json", "manifest.parquet", "inspected.bin", "features.bin", "split.json"] {
        assert!(found(one.path(), name) == found(three.path(), name), "{name} differs");
    }
    for subset in ["train", "validation", "test", "prediction"] {
        let name = format!("predictions-{subset}.parquet");
        assert!(found(one.path(), &name) == found(three.path(), &name), "{name} differs");
    }
    let [alone, together] = [&one, &three].map(|home| history(home.path(), "run"));
    assert_eq!(losses(&alone), losses(&together));
    let ranks = |home: &TempDir| run_folder(home.path(), "run").provenance().expect("reads")[0].ranks;
    assert_eq!((ranks(&one), ranks(&three)), (1, 3));
}

/// Batches of seven among three ranks, and a last one that is smaller than their number; mixup, an average of the weights,
/// batch norm and dropout are those of one process. A deep network with batch norm multiplies the rounding of its small batches in
/// every step: its steps are too short to matter, so that it tests what is computed and drawn for a batch.
#[test]
fn ranks_learn_what_one_process_learns() {
    let (_folder, data) = data();
    let home = folder();
    run_well(home.path(), &data, &["audit"]);
    for (architecture, mixup, learning_rate) in [
        (Architecture::Fcn, 0.0, 1e-5),
        (Architecture::Compact, 0.4, 1e-5),
        (Architecture::EfficientNetLite0, 0.0, 1e-8),
    ] {
        let mut run = RunConfig { epochs: 2, batch_size: 7, learning_rate, ..RunConfig::of(architecture) };
        (run.learn, run.stages, run.pretrained, run.preprocess.size) = (Learn::Whole, false, None, 64);
        (run.recipe.mixup, run.recipe.label_smoothing, run.recipe.clip_norm) = (mixup, 0.1, Some(1.0));
        (run.recipe.averaging, run.recipe.patience) = (Some(0.9), None);
        let mut found = Vec::new();
        for ranks in [1, 2, 3] {
            run.name = format!("{}-{ranks}", architecture.key());
            let config = home.path().join("config.json");
            run.write(&config).expect("writes");
            let arguments = ["train", "--config", config.to_str().expect("UTF-8")];
            match ranks {
                1 => run_well(home.path(), &data, &arguments),
                _ => run_well_in_ranks(ranks, home.path(), &data, &arguments),
            };
            let history = history(home.path(), &run.name);
            let best = run_folder(home.path(), &run.name).path().join("best.safetensors");
            let tensors = covid_ct::tch::Tensor::read_safetensors(best).expect("reads");
            let network =
                Network::from_tensors(architecture, tensors.into_iter().collect(), covid_ct::tch::Device::Cpu);
            let last = run_folder(home.path(), &run.name).path().join("last.safetensors");
            let last = covid_ct::tch::Tensor::read_safetensors(last).expect("reads").into_iter();
            let moments: std::collections::BTreeMap<_, _> =
                last.filter(|(name, _)| name.starts_with("adam.first.")).collect();
            found.push((history, network.expect("a network"), moments));
        }
        let (alone, trained, moments) = found.remove(0);
        assert!(losses(&alone).iter().flatten().all(|value| value.is_finite()));
        for (together, also, other_moments) in found {
            // The first moments are a mean of the last gradients, of which a network of many layers multiplies the rounding.
            let square = |of: &covid_ct::tch::Tensor| of.square().sum(covid_ct::tch::Kind::Double).double_value(&[]);
            let all: f64 = moments.values().map(square).sum();
            let off: f64 = moments.iter().map(|(name, of)| square(&(of - &other_moments[name]))).sum();
            assert!(
                all > 0.0 && (off / all).sqrt() < 0.1,
                "{architecture}: gradients are off by {}",
                (off / all).sqrt()
            );
            for (expected, found) in losses(&alone).iter().flatten().zip(losses(&together).iter().flatten()) {
                assert!((expected - found).abs() < 1e-5, "{architecture}: {expected} alone, {found} together");
            }
            // With Adam a gradient near 0 can move a weight by the learning rate, to either side.
            for ((name, weight), (_, other)) in trained.tensors().into_iter().zip(also.tensors()) {
                let off = (weight - other).abs().max().double_value(&[]);
                assert!(off < 1e-3, "{architecture}: {name} is off by {off}");
            }
        }
    }
}

#[test]
fn a_rank_that_dies_ends_all_and_any_number_of_them_goes_on() {
    let (_folder, data) = data();
    let home = folder();
    run_well(home.path(), &data, &["audit"]);
    let train = "train --network fcn --size 64 --epochs 2 --batch-size 1 --checkpoint-minutes 0 --name run";
    let arguments: Vec<&str> = train.split(' ').collect();
    let log = fs::File::create(home.path().join("log")).expect("a file");
    let mut together =
        in_ranks(3, home.path(), &data, &arguments).stdout(log.try_clone().expect("a file")).stderr(log).spawn();
    let together = together.as_mut().expect("mpirun starts");
    let last = run_folder(home.path(), "run").path().join("last.safetensors");
    until("checkpoint", 120, || last.exists());
    let ranks = ranks_of(together.id());
    assert_eq!(ranks.len(), 3, "{ranks:?}");
    signal("-KILL", &ranks[1]);
    let killed = Instant::now();
    assert!(!together.wait().expect("ends").success());
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
    let (_folder, data) = data();
    let home = folder();
    run_well(home.path(), &data, &["audit"]);
    let train =
        |name| format!("train --network fcn --size 64 --epochs 2 --batch-size 1 --checkpoint-minutes 0 --name {name}");
    run_well_in_ranks(2, home.path(), &data, &train("even").split(' ').collect::<Vec<_>>());
    let log = home.path().join("log");
    let file = fs::File::create(&log).expect("a file");
    let arguments = train("slow");
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let mut together =
        in_ranks(2, home.path(), &data, &arguments).stdout(file.try_clone().expect("a file")).stderr(file).spawn();
    let together = together.as_mut().expect("mpirun starts");
    let last = run_folder(home.path(), "slow").path().join("last.safetensors");
    until("checkpoint", 120, || last.exists());
    let ranks = ranks_of(together.id());
    let said = || fs::read_to_string(&log).expect("reads");
    signal("-STOP", &ranks[1]);
    until("word", 60, || said().contains("rank 0 has waited 30 s for the others"));
    signal("-CONT", &ranks[1]);
    assert!(together.wait().expect("ends").success(), "{}", said());
    assert!(said().contains("rank 1 on ") && said().contains("every step takes as long as the slowest"), "{}", said());
    let [even, slow] = ["even", "slow"].map(|name| losses(&history(home.path(), name)));
    assert_eq!(even, slow);
}

/// Ranks that do not write need no room: one whose files may not grow learns with the others.
#[test]
fn a_full_disk_matters_to_the_first_rank_alone() {
    let (_folder, data) = data();
    let home = folder();
    run_well(home.path(), &data, &["audit"]);
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
    assert!(begun.elapsed() < Duration::from_secs(30));
}

#[test]
fn what_fails_on_all_is_said_once_and_what_cannot_be_divided_is_refused() {
    let (_folder, data) = data();
    let home = folder();
    let errors = |arguments: &[&str]| {
        let output = run_in_ranks(3, home.path(), &data, arguments);
        assert!(!output.status.success());
        let said = String::from_utf8(output.stderr).expect("UTF-8");
        said.lines().filter(|line| line.starts_with("covid-ct")).map(str::to_owned).collect::<Vec<_>>()
    };
    let [no_audit] = &errors(&["train", "--name", "run"])[..] else { panic!("said more than once") };
    assert!(no_audit.starts_with("covid-ct, rank 0 of 3: ") && no_audit.contains("covid-ct audit"), "{no_audit}");
    let [refused] = &errors(&["report"])[..] else { panic!("said more than once") };
    assert!(refused.contains("run this command without mpirun and srun"), "{refused}");
}

fn has_network_namespaces() -> bool {
    let probe = format!("cct-probe-{}", std::process::id());
    let ip = |what: &str| {
        Command::new("ip").args(["netns", what, &probe]).output().is_ok_and(|output| output.status.success())
    };
    let is_there = ip("add") && ip("delete");
    if !is_there {
        eprintln!("not run: hosts in network namespaces need root and iproute2");
    }
    is_there
}

/// Two hosts with a cable between them: what the ranks add up crosses it, and they learn what one process learns.
#[test]
fn ranks_on_two_hosts_add_up_across_the_network() {
    if !has_network_namespaces() {
        return;
    }
    let (_folder, data) = data();
    let home = folder();
    run_well(home.path(), &data, &["audit"]);
    let train = |name| {
        format!("train --network compact --size 64 --epochs 1 --batch-size 8 --learning-rate 1e-5 --name {name}")
    };
    run_well(home.path(), &data, &train("alone").split(' ').collect::<Vec<_>>());
    let mut script = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/two_hosts.sh"));
    let train_on_hosts = train("hosts");
    let arguments: Vec<&str> = train_on_hosts.split(' ').collect();
    let output = by_launcher(&mut script, home.path(), &data, &arguments).output().expect("bash starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let sent: u64 = String::from_utf8_lossy(&output.stdout).trim().parse().expect("bytes");
    let [alone, hosts] = ["alone", "hosts"].map(|name| history(home.path(), name));
    let last = run_folder(home.path(), "hosts").checkpoint().expect("reads").expect("a checkpoint");
    let steps = last.position.adam_steps as u64;
    let parameters =
        Network::new(Architecture::Compact, 1, covid_ct::tch::Device::Cpu).expect("a network").parameter_count();
    assert!(steps > 5 && sent > steps * parameters * 4, "{sent} bytes for {steps} steps of {parameters} parameters");
    for (expected, found) in losses(&alone).iter().flatten().zip(losses(&hosts).iter().flatten()) {
        assert!((expected - found).abs() < 1e-5, "{expected} alone, {found} on two hosts");
    }
}

/// The cable between the hosts is cut while they train: both ends notice, and the run goes on from its checkpoint alone.
#[test]
fn a_cut_network_ends_the_ranks_and_nothing_is_lost() {
    if !has_network_namespaces() {
        return;
    }
    let (_folder, data) = data();
    let home = folder();
    run_well(home.path(), &data, &["audit"]);
    let train = "train --network fcn --size 64 --epochs 2 --batch-size 1 --checkpoint-minutes 0 --name run";
    let arguments: Vec<&str> = train.split(' ').collect();
    let [cut, log] = ["cut", "log"].map(|name| home.path().join(name));
    let file = fs::File::create(&log).expect("a file");
    let mut script = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/two_hosts.sh"));
    let mut hosts = by_launcher(&mut script, home.path(), &data, &arguments);
    let mut hosts = hosts.env("CUT_BY", &cut).stdout(file.try_clone().expect("a file")).stderr(file).spawn();
    let hosts = hosts.as_mut().expect("bash starts");
    let last = run_folder(home.path(), "run").path().join("last.safetensors");
    until("checkpoint", 120, || last.exists());
    fs::write(&cut, "").expect("writes");
    let begun = Instant::now();
    assert!(!hosts.wait().expect("ends").success());
    let said = fs::read_to_string(&log).expect("reads");
    assert!(begun.elapsed() < Duration::from_secs(45), "{:?}: {said}", begun.elapsed());
    assert!(said.contains("lost communication"), "{said}");
    // Neither host has a rank that goes on.
    let left = Command::new("pgrep").args(["-f", home.path().to_str().expect("UTF-8")]).output().expect("pgrep");
    assert_eq!(String::from_utf8_lossy(&left.stdout), "");
    let alone = "train --network fcn --size 64 --epochs 2 --batch-size 1 --checkpoint-minutes 0 --name run";
    let resumed = program(home.path(), &data).args(alone.split(' ')).output().expect("starts");
    let said = String::from_utf8_lossy(&resumed.stderr);
    assert!(resumed.status.success() && said.contains("resumed in epoch"), "{said}");
    assert_eq!(history(home.path(), "run").epochs.len(), 2);
}
