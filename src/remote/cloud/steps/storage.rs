//! The steps on the slides' Google Cloud Storage pages: bucket, archives, checksums.

use super::{Commands, step};
use crate::remote::cloud::cloud_config::CloudConfig;
use crate::remote::cloud::command::{Command, Expects};
use crate::remote::cloud::costs::Costs;
use crate::remote::cloud::steps_plan::{Effect, Step};
use std::path::Path;

impl Commands<'_> {
    pub(super) fn bucket(&self) -> Step {
        let url = self.bucket_url();
        let flags = [
            url,
            self.project_flag(),
            format!("--location={}", self.0.region),
            "--uniform-bucket-level-access".to_owned(),
            "--public-access-prevention".to_owned(),
        ];
        // Lists the project's buckets only: one of the same name in another project is not among them.
        let ours = [
            self.project_flag(),
            format!("--filter=name={}", self.0.bucket),
            "--format=value(location,public_access_prevention,uniform_bucket_level_access)".to_owned(),
        ];
        let as_made = Expects::Fields(vec![
            ("location", self.0.region.to_uppercase()),
            ("public access prevention", "enforced".to_owned()),
            ("uniform access", "True".to_owned()),
        ]);
        Step {
            effect: Effect::Free,
            commands: vec![Command::gcloud("storage buckets create", flags, Expects::Success)],
            done: Some(Command::gcloud("storage buckets list", ours, as_made)),
            ..step(
                "bucket",
                "Google Cloud Storage: 1 and 2",
                "Creates the bucket, in the instance's region and closed to the public. Its name must be unique in the \
                 world: error 409 means that it is taken.",
            )
        }
    }

    /// The archives: step, what it is, path.
    fn archives(&self) -> [(&'static str, &'static str, &Path); 3] {
        let archives = &self.0.archives;
        [
            ("upload-training", "training set", &archives.training),
            ("upload-validation", "validation set", &archives.validation),
            ("upload-prediction", "prediction set", &archives.prediction),
        ]
    }

    fn object(&self, archive: &Path) -> String {
        let name = archive.file_name().unwrap_or_default().to_string_lossy();
        format!("{}/{name}", self.bucket_url())
    }

    pub(super) fn uploads(&self) -> Vec<Step> {
        let upload = |(name, set, path): (&'static str, &str, &Path)| {
            let object = self.object(path);
            let size = [object.clone(), "--format=value(size)".to_owned()];
            Step {
                effect: Effect::Costs(storage_costs(self.0)),
                commands: vec![Command::gcloud("storage cp", [local(path), object], Expects::Success)],
                done: Some(Command::gcloud("storage objects describe", size, Expects::SizeOf(path.to_owned()))),
                ..step(
                    name,
                    "Google Cloud Storage: 3",
                    format!("Uploads the {set}. gcloud compares CRC32C by itself and resumes after an interruption."),
                )
            }
        };
        self.archives().map(upload).into()
    }

    pub(super) fn verify_uploads(&self) -> Step {
        let crc = || "--format=value(crc32c_hash)".to_owned();
        let pair = |(_, _, path): (&str, &str, &Path)| {
            let here = [local(path), "--skip-md5".to_owned(), crc()];
            let there = [self.object(path), crc()];
            [
                Command::gcloud("storage hash", here, Expects::CommandOutput),
                Command::gcloud("storage objects describe", there, Expects::CommandOutput),
            ]
        };
        Step {
            commands: self.archives().map(pair).into_iter().flatten().collect(),
            in_pairs: true,
            ..step(
                "verify-uploads",
                "Google Cloud Storage: 4",
                "Compares CRC32C of local files and objects. Not MD5: objects uploaded in parts have none.",
            )
        }
    }

    pub(super) fn delete_bucket(&self) -> Step {
        let url = self.bucket_url();
        let flags = ["--recursive".to_owned(), url.clone()];
        Step {
            effect: Effect::Destroys(self.0.bucket.clone()),
            commands: vec![Command::gcloud("storage rm", flags, Expects::Success)],
            done: Some(Command::gcloud(
                "storage buckets describe",
                [url, "--format=value(name)".to_owned()],
                Expects::NotFound,
            )),
            ..step(
                "delete-bucket",
                "Google Cloud Storage",
                "Deletes the bucket with all archives. Nothing costs money after that.",
            )
        }
    }
}

/// A path that gcloud cannot take for a flag.
fn local(path: &Path) -> String {
    let text = path.display().to_string();
    if text.starts_with('-') { format!("./{text}") } else { text }
}

fn storage_costs(config: &CloudConfig) -> String {
    match Costs::new(config) {
        Ok(costs) => format!("storage: {:.2} USD a month for all three archives", costs.bucket_month()),
        Err(_) => format!("storage, by the month; no price known for {}", config.region),
    }
}
