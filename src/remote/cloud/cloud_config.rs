//! The settings: what is rented, where, and what is uploaded, in one JSON file.

use super::naming_rules::{check_bucket, is_label};
use crate::base::errors::{Context, Result, ensure};
use crate::base::files::{read_json, write_json};
use crate::base::table::{Table, shown_as_table};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The archives of the data set on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Archives {
    /// The training set; 32.4 GB in the slides.
    pub training: PathBuf,
    /// The validation set; 7 GB in the slides.
    pub validation: PathBuf,
    /// The set without labels; 1.9 GB in the slides.
    pub prediction: PathBuf,
}

/// The workflow on Google Cloud: every name and size that it needs. Field names are those of the JSON file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CloudConfig {
    /// Id of the project: 6 to 30 lower-case letters, digits and hyphens, unique in the world. The slides' console made
    /// one up (`covid-19-analysis-318015`).
    pub project: String,
    /// Name of the project, as people see it.
    pub project_name: String,
    /// Who pays: `XXXXXX-XXXXXX-XXXXXX`, from `gcloud billing accounts list`. Required for everything that costs money.
    pub billing_account: Option<String>,
    /// Name of the bucket, unique in the world; the slides' own name is most likely taken.
    pub bucket: String,
    /// Region of both the bucket and the instance: reading across regions costs money.
    pub region: String,
    /// Zone of the instance. The slides planned asia-northeast1-a and ended up in asia-east1-a.
    pub zone: String,
    /// Name of the Workbench instance.
    pub instance: String,
    /// An N1 machine: T4 GPUs can be attached to no other kind.
    pub machine_type: String,
    /// The GPU, as `gcloud workbench` spells it.
    pub gpu: String,
    /// How many of them: 1, 2 or 4.
    pub gpu_count: u32,
    /// Size of the boot disk in GB. The step check-quota checks that the image fits.
    pub boot_disk_gb: u32,
    /// Kind of the boot disk.
    pub boot_disk_type: String,
    /// Size of the data disk in GB, mounted at `/home/jupyter`: the only folder that outlives an upgrade.
    pub data_disk_gb: u32,
    /// Kind of the data disk.
    pub data_disk_type: String,
    /// Family of the instance's image, in the project `cloud-notebooks-managed`.
    pub vm_image_family: String,
    /// What is uploaded.
    pub archives: Archives,
    /// Where the instance clones this repository from: an `https://` or `ssh://` address or a path on the instance.
    pub repository: Option<String>,
    /// Seconds without kernel activity after which the instance is stopped, 600 to 86,400. GPU activity does not count:
    /// a training that prints nothing for so long is stopped in the middle.
    pub idle_timeout_seconds: u32,
    /// Currency of the costs; prices are known in USD.
    pub currency: String,
}

impl Default for CloudConfig {
    /// The slides' project, bucket, machine, GPU, disks and the zone they ended up in, with today's image.
    fn default() -> Self {
        Self {
            project: "mia-covd19-challenge".to_owned(),
            project_name: "MIA-COVD19-Challenge".to_owned(),
            billing_account: None,
            bucket: "covid_19_challenge".to_owned(),
            region: "asia-east1".to_owned(),
            zone: "asia-east1-a".to_owned(),
            instance: "covid-ct".to_owned(),
            machine_type: "n1-standard-4".to_owned(),
            gpu: "NVIDIA_TESLA_T4".to_owned(),
            gpu_count: 1,
            boot_disk_gb: 100,
            boot_disk_type: "PD_STANDARD".to_owned(),
            data_disk_gb: 100,
            data_disk_type: "PD_STANDARD".to_owned(),
            vm_image_family: "workbench-instances-2603".to_owned(),
            archives: Archives {
                training: "train.zip".into(),
                validation: "val.zip".into(),
                prediction: "dati_palmucci_pred.zip".into(),
            },
            repository: None,
            idle_timeout_seconds: 10_800,
            currency: "USD".to_owned(),
        }
    }
}

impl CloudConfig {
    /// Reads the JSON. Every field must be there, and no other.
    ///
    /// # Errors
    /// The file cannot be read, or a value cannot work; the message names the field.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let config: Self = read_json(path, "settings for Google Cloud")?;
        config.check().with_context(|| format!("reading settings for Google Cloud from {}", path.display()))?;
        Ok(config)
    }

    /// Reads the file if there is one, else returns the [`default`](Self::default).
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        if path.as_ref().exists() { Self::read(path) } else { Ok(Self::default()) }
    }

    /// Writes the JSON.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        write_json(path.as_ref(), self)
    }

    /// Refuses values that cannot work, naming the field, what it expects and what it holds.
    ///
    /// # Errors
    /// The first such value.
    pub fn check(&self) -> Result<()> {
        self.check_names()?;
        self.check_place()?;
        self.check_machine()?;
        let idle = self.idle_timeout_seconds;
        ensure!((600..=86_400).contains(&idle), "idle_timeout_seconds: expected 600 to 86400, found {idle}");
        ensure!(self.currency == "USD", "currency: expected USD, the only one with prices, found {:?}", self.currency);
        let Archives { training, validation, prediction } = &self.archives;
        let mut names = Vec::new();
        for (field, path) in [("training", training), ("validation", validation), ("prediction", prediction)] {
            let name = path.file_name().and_then(|name| name.to_str());
            let named = name.is_some_and(|n| !n.chars().any(|c| c.is_control() || "*?[]#".contains(c)));
            ensure!(
                named,
                "archives.{field}: expected the path of a file without *, ?, [, ] and # in its name, found {path:?}"
            );
            ensure!(!names.contains(&name), "archives.{field}: another archive has the same file name, {path:?}");
            names.push(name);
        }
        Ok(())
    }

    fn check_names(&self) -> Result<()> {
        let project = &self.project;
        ensure!(
            (6..=30).contains(&project.len()) && is_label(project),
            "project: expected 6 to 30 lower-case letters, digits and hyphens, a letter first and no hyphen last, \
             found {project:?}"
        );
        let name = &self.project_name;
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "-'! ".contains(c));
        ensure!(
            (4..=30).contains(&name.len()) && plain,
            "project_name: expected 4 to 30 letters, digits, spaces, hyphens, ' and !, found {name:?}"
        );
        if let Some(account) = &self.billing_account {
            let groups: Vec<&str> = account.split('-').collect();
            let right = groups.iter().all(|g| g.len() == 6 && g.chars().all(|c| matches!(c, '0'..='9' | 'A'..='F')));
            ensure!(
                groups.len() == 3 && right,
                "billing_account: expected XXXXXX-XXXXXX-XXXXXX in digits and A to F, found {account:?}"
            );
        }
        check_bucket(&self.bucket)?;
        let instance = &self.instance;
        ensure!(
            instance.len() <= 63 && is_label(instance),
            "instance: expected up to 63 lower-case letters, digits and hyphens, a letter first and no hyphen last, \
             found {instance:?}"
        );
        if let Some(repository) = &self.repository {
            let known = ["https://", "ssh://", "git@", "/"].iter().any(|start| repository.starts_with(start));
            let clean = !repository.chars().any(|c| c.is_control() || c.is_whitespace());
            ensure!(
                known && clean,
                "repository: expected an address that starts with https://, ssh:// or git@, or an absolute path, \
                 without spaces, found {repository:?}"
            );
            // The script can be read by others, in the bucket and on the instance.
            let secret = repository.split_once("://").is_some_and(|(scheme, rest)| {
                scheme == "https" && rest.split('/').next().is_some_and(|host| host.contains('@'))
            });
            ensure!(
                !secret,
                "repository: expected no name or token before the host; it would be readable in the bucket"
            );
        }
        Ok(())
    }

    fn check_place(&self) -> Result<()> {
        let region = &self.region;
        let right = is_label(region) && region.contains('-') && region.ends_with(|c: char| c.is_ascii_digit());
        ensure!(right, "region: expected a name like asia-east1, found {region:?}");
        let letter = self.zone.strip_prefix(region.as_str()).and_then(|rest| rest.strip_prefix('-'));
        ensure!(
            letter.is_some_and(|l| l.len() == 1 && l.chars().all(|c| c.is_ascii_lowercase())),
            "zone: expected {region}-a or another letter, found {:?}",
            self.zone
        );
        Ok(())
    }

    fn check_machine(&self) -> Result<()> {
        ensure!(
            self.vcpus().is_some(),
            "machine_type: expected n1-standard-N (1, 2, 4, 8, 16, 32, 64 or 96), n1-highmem-N or n1-highcpu-N, \
             found {:?}: a T4 can be attached to N1 machines only",
            self.machine_type
        );
        ensure!(self.gpu == "NVIDIA_TESLA_T4", "gpu: expected NVIDIA_TESLA_T4, found {:?}", self.gpu);
        ensure!(matches!(self.gpu_count, 1 | 2 | 4), "gpu_count: expected 1, 2 or 4, found {}", self.gpu_count);
        for (field, gigabytes) in [("boot_disk_gb", self.boot_disk_gb), ("data_disk_gb", self.data_disk_gb)] {
            ensure!((100..=64_000).contains(&gigabytes), "{field}: expected 100 to 64000 GB, found {gigabytes}");
        }
        for (field, kind) in [("boot_disk_type", &self.boot_disk_type), ("data_disk_type", &self.data_disk_type)] {
            let known = matches!(kind.as_str(), "PD_STANDARD" | "PD_BALANCED" | "PD_SSD");
            ensure!(known, "{field}: expected PD_STANDARD, PD_BALANCED or PD_SSD, found {kind:?}");
        }
        let family = &self.vm_image_family;
        ensure!(is_label(family), "vm_image_family: expected a name like workbench-instances-2603, found {family:?}");
        Ok(())
    }

    /// How many vCPUs the machine has; `None` when it is no N1.
    pub fn vcpus(&self) -> Option<u32> {
        let kind = self.machine_type.strip_prefix("n1-")?;
        let number = ["standard-", "highmem-", "highcpu-"].iter().find_map(|start| kind.strip_prefix(start))?;
        let vcpus = number.parse().ok()?;
        matches!(vcpus, 1 | 2 | 4 | 8 | 16 | 32 | 64 | 96).then_some(vcpus)
    }

    fn table(&self) -> Table {
        let mut table = Table::new("Settings for Google Cloud", &["Setting", "Value"]);
        let none = |missing: &str| format!("– ({missing})");
        for (setting, value) in [
            ("project", format!("{} ({})", self.project, self.project_name)),
            ("billing_account", self.billing_account.clone().unwrap_or_else(|| none("gcloud billing accounts list"))),
            ("bucket", format!("gs://{}", self.bucket)),
            ("region, zone", format!("{}, {}", self.region, self.zone)),
            ("instance", self.instance.clone()),
            ("machine_type, gpu", format!("{}, {} × {}", self.machine_type, self.gpu_count, self.gpu)),
            ("boot disk", format!("{} GB {}", self.boot_disk_gb, self.boot_disk_type)),
            ("data disk", format!("{} GB {}, at /home/jupyter", self.data_disk_gb, self.data_disk_type)),
            ("vm_image_family", self.vm_image_family.clone()),
            ("archives.training", self.archives.training.display().to_string()),
            ("archives.validation", self.archives.validation.display().to_string()),
            ("archives.prediction", self.archives.prediction.display().to_string()),
            ("repository", self.repository.clone().unwrap_or_else(|| none("where the instance clones from"))),
            ("idle_timeout_seconds", self.idle_timeout_seconds.to_string()),
        ] {
            table.row([setting.to_owned(), value]);
        }
        table.note("Idle shutdown checks kernels, not the GPU: a training that prints nothing is stopped too.")
    }
}

shown_as_table!(CloudConfig);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_back_and_unknown_keys_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("cloud.json");
        assert_eq!(CloudConfig::open(&path).expect("no file: the default"), CloudConfig::default());
        CloudConfig::default().write(&path).expect("writes");
        assert_eq!(CloudConfig::read(&path).expect("reads"), CloudConfig::default());
        let text = std::fs::read_to_string(&path).expect("text").replace("\"bucket\"", "\"buckets\"");
        std::fs::write(&path, text).expect("writes");
        let error = format!("{:#}", CloudConfig::read(&path).expect_err("an unknown key"));
        assert!(error.contains("unknown field `buckets`") && error.contains("cloud.json"), "{error}");
    }

    #[test]
    fn values_that_cannot_work_are_named() {
        let good = CloudConfig::default();
        good.check().expect("the default works");
        let with = |change: &dyn Fn(&mut CloudConfig)| {
            let mut config = good.clone();
            change(&mut config);
            config.check().expect_err("a value that cannot work").to_string()
        };
        for (field, error) in [
            ("project", with(&|c| c.project = "MIA-COVD19-Challenge".into())),
            ("project_name", with(&|c| c.project_name = "a; rm -rf /".into())),
            ("billing_account", with(&|c| c.billing_account = Some("0000".into()))),
            ("instance", with(&|c| c.instance = "--quiet".into())),
            ("region", with(&|c| c.region = "Asia".into())),
            ("zone", with(&|c| c.zone = "asia-northeast1-a".into())),
            ("machine_type", with(&|c| c.machine_type = "e2-standard-4".into())),
            ("gpu_count", with(&|c| c.gpu_count = 3)),
            ("gpu", with(&|c| c.gpu = "T4".into())),
            ("boot_disk_gb", with(&|c| c.boot_disk_gb = 10)),
            ("data_disk_type", with(&|c| c.data_disk_type = "pd-standard".into())),
            ("idle_timeout_seconds", with(&|c| c.idle_timeout_seconds = 60)),
            ("repository", with(&|c| c.repository = Some("https://token@example.org/x".into()))),
            ("repository", with(&|c| c.repository = Some("--upload-pack=x".into()))),
            ("archives.validation", with(&|c| c.archives.validation = "other/train.zip".into())),
            ("archives.training", with(&|c| c.archives.training = "a*.zip".into())),
            ("currency", with(&|c| c.currency = "EUR".into())),
        ] {
            assert!(error.starts_with(field), "{field}: {error}");
        }
    }
}
