//! The command line under mpirun: several processes write and learn what one does, and end together.

use crate::rank_faults::has_network_namespaces;
use crate::support::{folder, grow_old, program, run_well, silent, small_phantom};
use covid_ct::tch::Tensor;
use covid_ct::{Architecture, History, Learn, Network, PhantomConfig, RunConfig, RunFolder, draw_phantom};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// A data set of 64 pixels whose scans can be known again.
fn data() -> (TempDir, PathBuf) {
    let folder = folder();
    let root = folder.path().join("data");
    draw_phantom(&root, &PhantomConfig { size: 64, ..small_phantom() }, silent).expect("draws");
    grow_old();
    (folder, root)
}

/// The same, and a workspace in which it was audited.
pub fn audited() -> (TempDir, PathBuf, TempDir) {
    let (folder, data) = data();
    let home = crate::support::folder();
    run_well(home.path(), &data, &["audit"]);
    (folder, data, home)
}

/// The program in so many processes.
pub fn in_ranks(ranks: usize, workspace: &Path, data: &Path, arguments: &[&str]) -> Command {
    let ranks = ranks.to_string();
    by_launcher(
        Command::new("mpirun").args(["--oversubscribe", "--bind-to", "none", "-n", &ranks]),
        workspace,
        data,
        arguments,
    )
}

/// The program, started by another one that is given its path and arguments.
pub fn by_launcher(launcher: &mut Command, workspace: &Path, data: &Path, arguments: &[&str]) -> Command {
    let own = program(workspace, data);
    let mut command = Command::new(launcher.get_program());
    command.args(launcher.get_args()).arg(own.get_program()).args(arguments);
    command.envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1").env("OMP_NUM_THREADS", "1");
    // Of some thousand good ends one is taken for an improper one by Open MPI 4's mpirun: docs/machines.md, faults.
    command.env("OMPI_MCA_orte_allowed_exit_without_sync", "1");
    command.stdin(std::process::Stdio::null());
    command
}

pub fn run_in_ranks(ranks: usize, workspace: &Path, data: &Path, arguments: &[&str]) -> Output {
    in_ranks(ranks, workspace, data, arguments).output().expect("mpirun starts")
}

pub fn run_well_in_ranks(ranks: usize, workspace: &Path, data: &Path, arguments: &[&str]) -> String {
    let output = run_in_ranks(ranks, workspace, data, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

pub fn run_folder(workspace: &Path, name: &str) -> RunFolder {
    RunFolder::at(workspace.join("runs/data").join(name))
}

pub fn history(workspace: &Path, name: &str) -> History {
    run_folder(workspace, name).history().expect("a history")
}

/// Training loss, validation loss and accuracies of every epoch.
pub fn losses(history: &History) -> Vec<[f64; 4]> {
    let of = |of: &covid_ct::EpochRecord| {
        [of.training.loss, of.validation.loss, of.training.accuracy, of.validation.accuracy]
    };
    history.epochs.iter().map(of).collect()
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
            assert!(together.contains("slices seen by 3 processes, each at its share"), "{together}");
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
    let (_folder, data, home) = audited();
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
        for ranks in [1, 3] {
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
            let tensors = Tensor::read_safetensors(best).expect("reads");
            let network =
                Network::from_tensors(architecture, tensors.into_iter().collect(), covid_ct::tch::Device::Cpu);
            let last = checkpoint(home.path(), &run.name).into_iter();
            let moments: BTreeMap<_, _> = last.filter(|(name, _)| name.starts_with("adam.first.")).collect();
            found.push((history, network.expect("a network"), moments));
        }
        let (alone, trained, moments) = found.remove(0);
        assert!(losses(&alone).iter().flatten().all(|value| value.is_finite()));
        for (together, also, other_moments) in found {
            // The first moments are a mean of the last gradients, of which a network of many layers multiplies the rounding.
            let square = |of: &Tensor| of.square().sum(covid_ct::tch::Kind::Double).double_value(&[]);
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

/// The tensors of a run's last checkpoint, Adam's moments included.
fn checkpoint(workspace: &Path, name: &str) -> BTreeMap<String, Tensor> {
    let last = run_folder(workspace, name).path().join("last.safetensors");
    Tensor::read_safetensors(last).expect("reads").into_iter().collect()
}

/// A batch in four shares is the same to the bit, whether one process computes them all or each of four one: gradients, batch norm,
/// dropout, mixup, weights of slices, the last short batch of which a share is empty, a head over stages and one over features.
#[test]
fn shares_of_a_batch_give_the_same_bits_with_any_number_of_ranks() {
    let (_folder, data, home) = audited();
    let whole = |architecture| {
        let run =
            RunConfig { epochs: 2, batch_size: 7, learn: Learn::Whole, stages: false, ..RunConfig::of(architecture) };
        RunConfig { pretrained: None, shares: 4, ..run }
    };
    let mut mixed = whole(Architecture::Compact);
    (mixed.recipe.mixup, mixed.recipe.label_smoothing, mixed.recipe.averaging) = (0.4, 0.1, Some(0.9));
    let stages = RunConfig { stages: true, batch_size: 8, ..whole(Architecture::ResNet18) };
    let head = RunConfig { learn: Learn::Head, batch_size: 8, ..whole(Architecture::EfficientNetLite0) };
    let head = RunConfig { recipe: covid_ct::Recipe::default(), ..head };
    for mut run in [whole(Architecture::Fcn), mixed, stages, head] {
        run.preprocess.size = 64;
        let architecture = run.architecture;
        let mut alone = None;
        for ranks in [1, 2, 4] {
            if ranks == 4 && architecture != Architecture::Compact {
                continue;
            }
            run.name = format!("{}-{ranks}", architecture.key());
            let config = home.path().join("config.json");
            run.write(&config).expect("writes");
            // Also alone with one thread: more of them divide a convolution otherwise.
            run_well_in_ranks(ranks, home.path(), &data, &["train", "--config", config.to_str().expect("UTF-8")]);
            let found = (losses(&history(home.path(), &run.name)), checkpoint(home.path(), &run.name));
            let Some((losses, tensors)) = &alone else {
                assert!(found.0.iter().flatten().all(|value| value.is_finite()));
                alone = Some(found);
                continue;
            };
            assert_eq!(&found.0, losses, "{architecture} by {ranks} ranks");
            assert_eq!(found.1.len(), tensors.len());
            for (name, tensor) in tensors {
                assert!(tensor.equal(&found.1[name]), "{architecture} by {ranks} ranks: {name} differs");
            }
        }
    }
    let by_three =
        run_in_ranks(3, home.path(), &data, &["train", "--network", "fcn", "--shares", "4", "--name", "three"]);
    let said = String::from_utf8_lossy(&by_three.stderr).into_owned();
    assert!(!by_three.status.success() && said.contains("4 cannot be divided among 3 processes"), "{said}");
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
    let output = run_in_ranks(3, home.path(), &data, &["train", "--no-such-option"]);
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    // The whole of it once.
    assert!(said.contains("unexpected argument '--no-such-option'"), "{said}");
    assert_eq!(said.matches("Usage: ").count(), 1, "{said}");
}

/// A rank with other settings, or an older copy of the data: what it adds to the sums would be learned all the same.
#[test]
fn a_rank_with_other_settings_or_files_is_refused_before_anything_is_learned() {
    let (_folder, data, home) = audited();
    let refused = |difference: &str, arguments: &str| {
        let script = format!("[ $OMPI_COMM_WORLD_RANK = 1 ] && {difference}; exec \"$0\" \"$@\" $MORE");
        let mut mpirun = Command::new("mpirun");
        mpirun.args(["--oversubscribe", "--bind-to", "none", "-n", "2", "bash", "-c", &script]);
        let arguments: Vec<&str> = arguments.split(' ').collect();
        let output = by_launcher(&mut mpirun, home.path(), &data, &arguments).output().expect("mpirun starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains("all hosts must"), "{said}");
        said
    };
    let train = "train --network fcn --size 64 --epochs 1 --batch-size 8 --name run";
    let said = refused("MORE='--seed 2'", train);
    assert!(said.contains("covid-ct, rank 1 of 2: ") && said.contains("it has seed = 1, this one has 2"), "{said}");
    assert!(!home.path().join("runs/data/run").exists(), "nothing was begun");
    // Another data set of as many files, which an audit of its own accepts.
    let (_other, files, audit) = audited();
    let scan = files.join("train/covid/ct_scan_0");
    fs::write(scan.join("1.jpg"), fs::read(scan.join("0.jpg")).expect("reads")).expect("writes");
    run_well(audit.path(), &files, &["audit"]);
    let (files, audit) = (files.display(), audit.path().display());
    let there = format!("export COVID_CT_DATA='{files}' COVID_CT_WORKSPACE='{audit}'");
    let said = refused(&there, train);
    assert!(said.contains("it has the manifest "), "{said}");
    let said = refused(&there, "audit");
    assert!(said.contains("the files of the data set (names and sizes): rank 0 has "), "{said}");
}

/// Two hosts with a cable between them: what the ranks add up crosses it, and they learn what one process learns.
#[test]
fn ranks_on_two_hosts_add_up_across_the_network() {
    if !has_network_namespaces() {
        return;
    }
    let (_folder, data, home) = audited();
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
