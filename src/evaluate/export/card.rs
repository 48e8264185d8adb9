//! Model cards of exported networks.

use crate::base::errors::{Result, ensure};
use crate::base::escape::{markdown, markdown_code, shell_word};
use crate::base::files::Digest;
use crate::base::progress::{counted, thousands};
use crate::data::preprocess::Preprocess;
use crate::data::split::Subset;
use crate::evaluate::assessment::{Assessment, INTERVALS, estimated};
use crate::evaluate::evaluation::{Evaluation, NetworkSummary, SubsetCount};
use crate::evaluate::predict::Classifier;
use crate::evaluate::scan_decisions::ScanRule;
use crate::nn::weights::{WeightsFile, WeightsNotice, notice_of};
use crate::stats::calibration::Temperature;
use crate::stats::metrics::{Estimate, Measure};
use crate::train::config::RunConfig;
use crate::train::provenance::Provenance;
use crate::train::run_folder::RunFolder;
use serde::Serialize;
use std::fmt::Write;
use std::path::Path;

/// A model card (Mitchell et al. 2019), from the checkpoint and the files of its run that belong to it.
#[derive(Debug, Serialize)]
pub(super) struct Card {
    /// Name of the exported file.
    model: String,
    /// Hash of that file; `None` in the card that is part of it.
    sha256: Option<Digest>,
    what: String,
    architecture: &'static str,
    network: NetworkSummary,
    /// Input `[N, 3, size, size]`: (grey level / 255 − mean) / std, the same in all three channels.
    preprocess: Preprocess,
    input: String,
    output: String,
    /// The order of the logits.
    classes: Vec<String>,
    intended_use: &'static str,
    limits: Vec<String>,
    run: RunConfig,
    epoch: usize,
    checkpoint: Digest,
    /// `None` for random ones.
    initial_weights: Option<WeightsFile>,
    /// Their source and terms; `None` for random ones and for a file that is not known.
    initial_weights_notice: Option<&'static WeightsNotice>,
    frozen_backbone: Option<Digest>,
    trained_on_manifest: Digest,
    split: Digest,
    leaking_split: bool,
    /// The run's evaluation; `None` with the reason in `not_evaluated`.
    evaluated: Option<Evaluated>,
    not_evaluated: Option<String>,
    /// Version that trained the network, and version that wrote this card.
    trained_with: String,
    exported_with: &'static str,
    libtorch: String,
    /// Where it was trained.
    machines: Vec<Provenance>,
}

/// Data and results of an evaluated run.
#[derive(Debug, Serialize)]
struct Evaluated {
    data: String,
    leak: Option<String>,
    counts: Vec<SubsetCount>,
    results: Vec<CardResult>,
    scan_rule: ScanRule,
    /// The temperature that logits are divided by for calibrated probabilities; it is not part of the exported network.
    temperature: Option<Temperature>,
}

/// One measure of one subset.
#[derive(Debug, Serialize)]
struct CardResult {
    subset: Subset,
    leaks: bool,
    by: &'static str,
    #[serde(flatten)]
    estimate: Estimate,
}

const INTENDED_USE: &str = "Research on how networks are trained and tested on chest-CT slices; not for diagnosis: no \
                            patient may be treated, or left untreated, because of its output.";

impl Card {
    pub(super) fn of(classifier: &Classifier, file: &Path) -> Self {
        let info = classifier.info();
        let folder = RunFolder::at(classifier.path().parent().unwrap_or(Path::new(".")));
        let (evaluated, not_evaluated) = match Evaluated::of(classifier, &folder) {
            Ok(found) => (Some(found), None),
            Err(error) => {
                (None, Some(format!("{error:#}: run `covid-ct evaluate --name {}`", shell_word(&info.run.name))))
            }
        };
        let size = info.run.preprocess.size;
        Self {
            model: file.file_name().map_or(String::new(), |name| name.to_string_lossy().into_owned()),
            sha256: None,
            what: format!("{} that classifies chest-CT slices as covid or non-covid", info.run.architecture),
            architecture: info.run.architecture.key(),
            network: NetworkSummary::of(classifier.network(), info.run.learn),
            preprocess: info.run.preprocess.clone(),
            input: format!(
                "[N, 3, {size}, {size}] f32: a grey slice ({}; grey levels {}) resized bilinearly with antialiasing, in \
                 three equal channels",
                info.run.preprocess.crop.described(),
                info.run.preprocess.stretch.described()
            ),
            output: "[N, 2] logits; softmax gives probabilities that are NOT calibrated".to_owned(),
            classes: info.classes.clone(),
            intended_use: INTENDED_USE,
            limits: limits(!info.leaks.is_empty(), evaluated.is_some()),
            run: info.run.clone(),
            epoch: info.position.epoch,
            checkpoint: classifier.weights(),
            initial_weights: info.pretrained.clone(),
            initial_weights_notice: info.pretrained.as_ref().and_then(notice_of),
            frozen_backbone: info.backbone,
            trained_on_manifest: info.manifest,
            split: info.split,
            leaking_split: !info.leaks.is_empty(),
            evaluated,
            not_evaluated,
            trained_with: info.version.clone(),
            exported_with: env!("CARGO_PKG_VERSION"),
            libtorch: crate::nn::device::libtorch_version(),
            machines: folder.provenance().unwrap_or_default(),
        }
    }

    /// The same card with the hash of the exported file.
    pub(super) fn with_hash(self, sha256: Digest) -> Self {
        Self { sha256: Some(sha256), ..self }
    }

    /// The card as Markdown.
    pub(super) fn markdown(&self) -> Result<String> {
        let mut page = String::new();
        let file = self.sha256.map_or(String::new(), |hash| format!(" (SHA-256 {hash})"));
        let (name, what, model) = (markdown(&self.run.name), markdown(&self.what), markdown_code(&self.model));
        writeln!(page, "# Model card: {name}\n\n{what}.\n\nFile: {model}{file}\n")?;
        writeln!(page, "## Intended use\n\n**{}**\n\n## Use\n", self.intended_use)?;
        let Preprocess { mean, std, .. } = self.preprocess;
        writeln!(page, "- Input: {}; then (grey level / 255 − {mean}) / {std}.", self.input)?;
        writeln!(page, "- Output: {}, in the order {}.", self.output, markdown(&self.classes.join(", ")))?;
        self.network_and_training(&mut page)?;
        match (&self.evaluated, &self.not_evaluated) {
            (Some(of), _) => of.markdown(&mut page)?,
            (None, why) => {
                writeln!(page, "\n## Results\n\nNone on this card: {}.", markdown(why.as_deref().unwrap_or("–")))?
            }
        }
        writeln!(page, "\n## Limits\n")?;
        self.limits.iter().try_for_each(|limit| writeln!(page, "- {limit}"))?;
        writeln!(page, "\n## Versions\n")?;
        writeln!(
            page,
            "Trained with covid-ct {}, exported with {}, libtorch {}.",
            markdown(&self.trained_with),
            self.exported_with,
            markdown(&self.libtorch)
        )?;
        for of in &self.machines {
            let commit = of.built_from.as_ref().or(of.commit.as_ref()).map_or("–", String::as_str);
            let [processor, when, commit] = [of.processor.as_str(), &of.when, commit].map(markdown);
            writeln!(page, "Trained on {processor} from {when} UTC, commit {commit}.")?;
        }
        Ok(page)
    }

    fn network_and_training(&self, page: &mut String) -> Result<()> {
        let (all, learned) = (thousands(self.network.parameters), thousands(self.network.learned));
        writeln!(page, "\n## Network and training\n")?;
        writeln!(page, "- {} weighted layers, {all} parameters, {learned} learned.", self.network.weighted_layers())?;
        page.push_str(&initial_weights(self.initial_weights.as_ref(), self.run.seed));
        if let Some(backbone) = self.frozen_backbone {
            writeln!(page, "- Frozen backbone: SHA-256 {backbone}.")?;
        }
        writeln!(page, "- Epoch {} of {}, checkpoint {}.", self.epoch, self.run.epochs, self.checkpoint)?;
        writeln!(page, "- Manifest {}, split {}.", self.trained_on_manifest, self.split)?;
        let leaks =
            if self.leaking_split { "LEAKS: its test figures do not hold for new patients" } else { "does not leak" };
        Ok(writeln!(page, "- The split {leaks}.")?)
    }
}

impl Evaluated {
    /// Evaluation and assessment in the checkpoint's folder.
    ///
    /// # Errors
    /// Missing files, or files of another checkpoint.
    fn of(classifier: &Classifier, folder: &RunFolder) -> Result<Self> {
        let (evaluation, info) = (folder.evaluation()?, classifier.info());
        for (noun, found, expected) in [
            ("weights", evaluation.weights, classifier.weights()),
            ("manifest", evaluation.manifest, info.manifest),
            ("split", evaluation.split, info.split),
        ] {
            ensure!(found == expected, "its evaluation is of the {noun} {found}, the checkpoint of {expected}");
        }
        let assessment = folder.assessment()?;
        let (found, expected) = (assessment.weights, classifier.weights());
        ensure!(found == expected, "its assessment is of the weights {found}, the checkpoint is {expected}");
        Ok(Self {
            results: results(&evaluation, &assessment),
            data: evaluation.data,
            leak: evaluation.warning,
            counts: evaluation.counts,
            scan_rule: evaluation.rule,
            temperature: assessment.temperature,
        })
    }

    fn markdown(&self, page: &mut String) -> Result<()> {
        writeln!(
            page,
            "\n## Data: {}\n\n| Subset | Class | Slices | Scans |\n|---|---|---:|---:|",
            markdown(&self.data)
        )?;
        for of in &self.counts {
            let label = of.label.map_or("–".to_owned(), |label| label.to_string());
            let (slices, scans) = (thousands(of.slices as u64), thousands(of.scans as u64));
            writeln!(page, "| {} | {label} | {slices} | {scans} |", of.subset)?;
        }
        if let Some(leak) = &self.leak {
            writeln!(page, "\n**{}**", markdown(leak))?;
        }
        writeln!(page, "\n## Results\n\n| Measure | Subset | By | 95 % interval (value) |\n|---|---|---|---|")?;
        for of in &self.results {
            let mark = if of.leaks { " (LEAKING)" } else { "" };
            let (name, estimate) = (of.estimate.measure.name(), estimated(&of.estimate));
            writeln!(page, "| {name} | {}{mark} | {} | {estimate} |", of.subset, of.by)?;
        }
        writeln!(page, "\n95 % intervals: {INTERVALS}. Epoch and threshold were chosen on the validation set.")?;
        writeln!(
            page,
            "\n## From a slice to a scan\n\nA scan is {} ({}).",
            markdown(&self.scan_rule.text()),
            markdown(&self.scan_rule.chosen)
        )?;
        writeln!(page, "\n## Calibration\n")?;
        match &self.temperature {
            Some(of) => writeln!(
                page,
                "The exported probabilities are not calibrated. Divide the logits by the temperature {:.6} (fitted on \
                 {}) before the softmax.",
                of.value,
                counted(of.samples as u64, "validation slice")
            )?,
            None => {
                writeln!(page, "The exported probabilities are not calibrated, and no temperature could be fitted.")?
            }
        }
        Ok(())
    }
}

/// The lines on the initial weights: the file, and its source and terms where they are known.
fn initial_weights(file: Option<&WeightsFile>, seed: u64) -> String {
    let Some(file) = file else { return format!("- Initial weights: random, seed {seed}.\n") };
    let terms = match notice_of(file) {
        Some(of) => format!(
            "  - Source: {}.\n  - Licence: {}.\n  - Trained on: {}.\n  - Input they expect: {}.\n",
            of.source, of.licence, of.training_data, of.input
        ),
        None => "  - Source and licence are not known.\n".to_owned(),
    };
    format!("- Initial weights: {}, SHA-256 {}.\n{terms}", markdown_code(&file.name), file.sha256)
}

fn results(evaluation: &Evaluation, assessment: &Assessment) -> Vec<CardResult> {
    let mut results = Vec::new();
    for of in &assessment.subsets {
        for (by, performance) in [("slice", &of.slices), ("scan", &of.scans)] {
            let leaks = evaluation.leaks.contains(&of.subset);
            let result = |measure| CardResult { subset: of.subset, leaks, by, estimate: *performance.get(measure) };
            results.extend(Measure::ALL.map(result));
        }
    }
    results
}

fn limits(leaking: bool, evaluated: bool) -> Vec<String> {
    let mut limits = vec![
        "It was never tested on another data set: its accuracy on other hospitals, scanners and diseases is unknown.",
        "Every slice of a covid scan was labelled covid, also one without a lesion.",
        "Predictive values depend on how common the disease is in the data.",
        "It classifies any image: an image that is not a chest CT gets a prediction too.",
    ];
    if leaking {
        limits.push("Its split leaks: test figures show what it has memorised, not its accuracy on new patients.");
    }
    if !evaluated {
        limits.push("This card has no results: the network was not evaluated.");
    }
    limits.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initial_weights_are_shown_with_their_terms() {
        let file = |name: &str, hash: &str| WeightsFile {
            name: name.to_owned(),
            sha256: Digest::parse(&format!("{hash:0<64}")).expect("digits"),
        };
        let ct = file("a.safetensors", "99df5c4fee3d62184f0422097b79023f588b7be4e8a08532c99920ab1ff873bd");
        let shown = initial_weights(Some(&ct), 1);
        for part in ["`a.safetensors`, SHA-256 99df5c4fee3d", "astra", "MIT, as", "it is unknown", "−1000 to 200 HU"]
        {
            assert!(shown.contains(part), "{part} is not in {shown}");
        }
        let shown = initial_weights(Some(&file("vgg19-dcbb9e9d.pth", "dcbb9e9d")), 1);
        assert!(shown.contains("Licence: BSD-3-Clause") && shown.contains("ImageNet"), "{shown}");
        let shown = initial_weights(Some(&file("mine.pth", "ab")), 1);
        assert!(shown.ends_with("\n  - Source and licence are not known.\n"), "{shown}");
        let shown = initial_weights(Some(&file("a`b\n<b>.pth", "ab")), 1);
        assert!(shown.starts_with(r"- Initial weights: ``a`b\n<b>.pth``, SHA-256 ab0"), "{shown}");
        assert_eq!(initial_weights(None, 7), "- Initial weights: random, seed 7.\n");
    }
}
