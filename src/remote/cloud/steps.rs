//! The steps of the plan: description, commands, and the command that shows whether a step is done already.

use super::cloud_config::CloudConfig;
use super::command::{Command, Expects};
use super::costs::Costs;
use super::setup::{LOG_FILE, SCRIPT_FILE, STATUS_FILE, render_script};
use super::steps_plan::{Effect, Step};

mod storage;

const PLATFORM: &str = "Google Cloud Platform";
const NOTEBOOKS: &str = "Google AI Platform (Notebooks)";
/// The CUDA 13 build of torch needs this driver.
const DRIVER: u32 = 580;
const SSH: &str = "The first time, gcloud makes an SSH key here and writes it into the project's metadata.";
const SERVICES: [&str; 3] = ["notebooks.googleapis.com", "compute.googleapis.com", "storage.googleapis.com"];

/// Every step, in the slides' order.
pub(super) fn all(config: &CloudConfig) -> Vec<Step> {
    let c = Commands(config);
    let mut steps = vec![c.check_tools(), c.project(), c.billing(), c.apis(), c.check_quota(), c.bucket()];
    steps.extend(c.uploads());
    steps.extend([
        c.verify_uploads(),
        c.setup_script(),
        c.instance(),
        c.jupyterlab(),
        c.check_driver(),
        c.check_setup(),
    ]);
    steps.extend([c.stop(), c.start(), c.delete(), c.delete_bucket()]);
    steps
}

/// A step that reads, without commands yet.
fn step(name: &'static str, slide: &'static str, what: impl Into<String>) -> Step {
    let what = what.into();
    let effect = Effect::Reads;
    Step {
        name,
        slide,
        what,
        effect,
        commands: vec![],
        in_pairs: false,
        first: None,
        done: None,
        writes: None,
        missing: None,
    }
}

/// Writes the commands of one configuration.
struct Commands<'a>(&'a CloudConfig);

impl Commands<'_> {
    fn project_flag(&self) -> String {
        format!("--project={}", self.0.project)
    }

    fn bucket_url(&self) -> String {
        format!("gs://{}", self.0.bucket)
    }

    /// `gcloud workbench instances WHAT NAME --location --project` and what follows.
    fn workbench(&self, what: &str, more: &[&str], expects: Expects) -> Command {
        let mut flags = vec![self.0.instance.clone(), format!("--location={}", self.0.zone), self.project_flag()];
        flags.extend(more.iter().map(|flag| (*flag).to_owned()));
        Command::gcloud(&format!("workbench instances {what}"), flags, expects)
    }

    fn state(&self, expects: Expects) -> Command {
        self.workbench("describe", &["--format=value(state)"], expects)
    }

    /// Runs one fixed line on the instance.
    fn ssh(&self, line: &str, expects: Expects) -> Command {
        let flags = [
            self.0.instance.clone(),
            format!("--zone={}", self.0.zone),
            self.project_flag(),
            format!("--command={line}"),
        ];
        Command::gcloud("compute ssh", flags, expects)
    }

    fn check_tools(&self) -> Step {
        // Whether an account is logged in, not which.
        let account = ["--filter=status:ACTIVE", "--format=value(status)"].map(str::to_owned);
        Step {
            commands: vec![
                Command::gcloud("version", [], Expects::Success),
                Command::gcloud("auth list", account, Expects::CommandOutput),
            ],
            ..step(
                "check-tools",
                PLATFORM,
                "Checks that gcloud is installed and logged in. If it is not: gcloud auth login.",
            )
        }
    }

    fn project(&self) -> Step {
        let id = self.0.project.clone();
        let name = format!("--name={}", self.0.project_name);
        Step {
            effect: Effect::Free,
            commands: vec![Command::gcloud("projects create", [id.clone(), name], Expects::Success)],
            done: Some(Command::gcloud(
                "projects describe",
                [id, "--format=value(lifecycleState)".to_owned()],
                Expects::Lines(vec!["ACTIVE".to_owned()]),
            )),
            ..step("project", "Google Cloud Platform: New Project", "Creates the project that everything belongs to.")
        }
    }

    fn billing(&self) -> Step {
        let id = self.0.project.clone();
        let account = self.0.billing_account.clone();
        let flag = format!("--billing-account={}", account.as_deref().unwrap_or("XXXXXX-XXXXXX-XXXXXX"));
        Step {
            effect: Effect::Free,
            commands: vec![Command::gcloud("billing projects link", [id.clone(), flag], Expects::Success)],
            done: Some(Command::gcloud(
                "billing projects describe",
                [id, "--format=value(billingEnabled)".to_owned()],
                Expects::Lines(vec!["True".to_owned()]),
            )),
            missing: account
                .is_none()
                .then(|| "billing_account; `gcloud billing accounts list` shows yours".to_owned()),
            ..step("billing", PLATFORM, "Says who pays for the project. From here on, steps can cost money.")
        }
    }

    fn apis(&self) -> Step {
        let services = SERVICES.map(str::to_owned);
        let enabled = ["--enabled".to_owned(), self.project_flag(), "--format=value(config.name)".to_owned()];
        Step {
            effect: Effect::Free,
            commands: vec![Command::gcloud(
                "services enable",
                services.clone().into_iter().chain([self.project_flag()]),
                Expects::Success,
            )],
            done: Some(Command::gcloud("services list", enabled, Expects::Lines(services.to_vec()))),
            ..step("apis", PLATFORM, "Switches on notebooks, machines and storage for the project.")
        }
    }

    fn check_quota(&self) -> Step {
        let lines =
            ["--flatten=quotas[]", "--format=value(quotas.metric,quotas.limit,quotas.usage)"].map(str::to_owned);
        let quota = |metric: &str| Expects::Quota { metric: metric.to_owned(), needed: self.0.gpu_count };
        let flags = |first: Option<String>| first.into_iter().chain([self.project_flag()]).chain(lines.clone());
        let region = flags(Some(self.0.region.clone()));
        let family = self.0.vm_image_family.clone();
        let image = [family, "--project=cloud-notebooks-managed".to_owned(), "--format=value(diskSizeGb)".to_owned()];
        Step {
            commands: vec![
                Command::gcloud("compute regions describe", region, quota("NVIDIA_T4_GPUS")),
                Command::gcloud("compute project-info describe", flags(None), quota("GPUS_ALL_REGIONS")),
                Command::gcloud("compute images describe-from-family", image, Expects::AtMost(self.0.boot_disk_gb)),
            ],
            // An existing instance uses the quota itself.
            done: Some(self.state(Expects::CommandOutput)),
            ..step(
                "check-quota",
                "Google AI Platform (Notebooks): 3",
                "Checks the quota for a T4 in this region, and that the image fits the boot disk. New projects have 0 GPUs.",
            )
        }
    }

    fn setup_script(&self) -> Step {
        let script = render_script(self.0);
        let flags = [SCRIPT_FILE.to_owned(), format!("{}/{SCRIPT_FILE}", self.bucket_url())];
        Step {
            effect: Effect::Free,
            commands: vec![Command::gcloud("storage cp", flags, Expects::Success)],
            missing: script.as_ref().err().map(|error| format!("{error:#}")),
            writes: script.ok().map(|text| (SCRIPT_FILE.to_owned(), text)),
            ..step("setup-script", NOTEBOOKS, "Uploads the script with which the instance sets itself up.")
        }
    }

    fn instance(&self) -> Step {
        let c = self.0;
        let flags = [
            format!("--machine-type={}", c.machine_type),
            format!("--accelerator-type={}", c.gpu),
            format!("--accelerator-core-count={}", c.gpu_count),
            "--install-gpu-driver".to_owned(),
            "--vm-image-project=cloud-notebooks-managed".to_owned(),
            format!("--vm-image-family={}", c.vm_image_family),
            format!("--boot-disk-size={}", c.boot_disk_gb),
            format!("--boot-disk-type={}", c.boot_disk_type),
            format!("--data-disk-size={}", c.data_disk_gb),
            format!("--data-disk-type={}", c.data_disk_type),
            // At every start, so that an interrupted set-up is completed.
            format!(
                "--metadata=post-startup-script={}/{SCRIPT_FILE},post-startup-script-behavior=run_every_start,\
                 idle-timeout-seconds={}",
                self.bucket_url(),
                c.idle_timeout_seconds
            ),
        ];
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        Step {
            effect: Effect::Costs(instance_costs(c)),
            commands: vec![self.workbench("create", &flags, Expects::Success)],
            done: Some(self.state(Expects::CommandOutput)),
            missing: render_script(c).err().map(|error| format!("{error:#}")),
            first: Some("check-quota"),
            ..step(
                "instance",
                "Google AI Platform (Notebooks): 1 to 4",
                "Rents the machine with its T4 and starts it. The slides' PyTorch 1.9 is gone; our own is set up.",
            )
        }
    }

    fn jupyterlab(&self) -> Step {
        Step {
            commands: vec![self.workbench("describe", &["--format=value(proxyUri)"], Expects::CommandOutput)],
            ..step(
                "jupyterlab",
                "Google AI Platform (Notebooks): 5",
                "Shows the address of JupyterLab on the instance.",
            )
        }
    }

    fn check_driver(&self) -> Step {
        let line = "nvidia-smi --query-gpu=driver_version --format=csv,noheader";
        let what = format!("Checks that the NVIDIA driver is {DRIVER} or newer. {SSH}");
        let commands = vec![self.ssh(line, Expects::AtLeast(DRIVER))];
        Step { effect: Effect::Free, commands, ..step("check-driver", NOTEBOOKS, what) }
    }

    fn check_setup(&self) -> Step {
        let line = format!("cat {STATUS_FILE}; echo 'The end of {LOG_FILE}:'; tail -n 15 {LOG_FILE}");
        let what =
            format!("Checks that the instance has set itself up, in about half an hour; its log is {LOG_FILE}. {SSH}");
        let commands = vec![self.ssh(&line, Expects::First("ok".to_owned()))];
        Step { effect: Effect::Free, commands, ..step("check-setup", NOTEBOOKS, what) }
    }

    fn stop(&self) -> Step {
        Step {
            effect: Effect::Saves("ends the cost of machine and GPU; disks and bucket still cost money".to_owned()),
            commands: vec![self.workbench("stop", &[], Expects::Success)],
            done: Some(self.state(Expects::Lines(vec!["STOPPED".to_owned()]))),
            ..step("stop", NOTEBOOKS, "Stops the instance. Nothing on its disks is lost.")
        }
    }

    fn start(&self) -> Step {
        Step {
            effect: Effect::Costs(instance_costs(self.0)),
            commands: vec![self.workbench("start", &[], Expects::Success)],
            done: Some(self.state(Expects::Lines(vec!["ACTIVE".to_owned()]))),
            ..step("start", NOTEBOOKS, "Starts it again.")
        }
    }

    fn delete(&self) -> Step {
        Step {
            effect: Effect::Destroys(self.0.instance.clone()),
            commands: vec![self.workbench("delete", &[], Expects::Success)],
            done: Some(self.state(Expects::NotFound)),
            ..step("delete", NOTEBOOKS, "Deletes the instance with both disks. Download runs and reports first.")
        }
    }
}

fn instance_costs(config: &CloudConfig) -> String {
    match Costs::new(config) {
        Ok(costs) => format!("{:.2} USD an hour while it runs, until it is stopped", costs.running_hour()),
        Err(_) => format!("by the hour while it runs; no price known for {}", config.region),
    }
}
