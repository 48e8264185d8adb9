//! The leaking runs, each beside the same network split by patient.

use super::run_parts::Run;
use crate::base::table::{Table, percent};
use crate::data::split::Subset;
use crate::train::config::RunConfig;
use std::collections::BTreeSet;

/// What a leaking run scores, and what the same network scores on patients that it has never seen: in a run split by patient,
/// and where there is none on the patients of its own validation set; `None` without a leaking run.
pub(super) fn leaking(runs: &[Run]) -> Option<Table> {
    let columns =
        ["Leaking run", "Test slices right", "The same network on new patients", "Slices right", "Difference, points"];
    let mut table = Table::new("LEAKING runs: do not believe their test figures", &columns);
    let mut differing = BTreeSet::new();
    for run in runs.iter().filter(|run| run.leaks()) {
        let of = &run.evaluation;
        let twin = twin(run, runs);
        let (compared, there) = match twin {
            Some(twin) => {
                differing.extend(differences(&of.run, &twin.evaluation.run));
                (format!("{}, split by patient", twin.name), twin.evaluation.slice_accuracy(Subset::Test))
            }
            None if of.leaks.contains(&Subset::Validation) => {
                ("not here: its validation set leaks, too".to_owned(), None)
            }
            None => ("its validation set".to_owned(), of.slice_accuracy(Subset::Validation)),
        };
        let here = of.slice_accuracy(Subset::Test);
        table.row([run.name.clone(), percent(here), compared, percent(there), points(here, there)]);
    }
    let settings = differing.into_iter().collect::<Vec<_>>().join(", ");
    let alone = match settings.is_empty() {
        true => String::new(),
        false => format!(
            " The pairs also differ in other settings ({settings}), so the difference is not the leak's alone: that is what the \
             shuffled labels measure."
        ),
    };
    (!table.rows().is_empty()).then(|| {
        table.note(format!(
            "The training of leaking runs holds slices of the same scans as their test set: they remember patients. A slice counts as \
             covid from a probability of 0.5 on, whatever the threshold of scans.{alone}"
        ))
    })
}

/// The run without a leak of the same network from the same initial weights, with the same seed if there is one.
fn twin<'a>(run: &Run, runs: &'a [Run]) -> Option<&'a Run> {
    let of = &run.evaluation.run;
    let is_twin = |other: &&Run| {
        let other_run = &other.evaluation.run;
        !other.leaks() && (other_run.architecture, &other_run.pretrained) == (of.architecture, &of.pretrained)
    };
    let twins = || runs.iter().filter(is_twin);
    twins().find(|other| other.evaluation.run.seed == of.seed).or_else(|| twins().next())
}

/// The settings in which two runs differ, in words, apart from name, split and what changes no result.
fn differences(a: &RunConfig, b: &RunConfig) -> Vec<String> {
    const EXPECTED: [&str; 6] = ["name", "split", "device", "checkpoint_minutes", "test_every_epoch", "accuracy"];
    let [a, b] = [a, b].map(|of| serde_json::to_value(of).unwrap_or_default());
    let Some(a) = a.as_object() else { return Vec::new() };
    let differing = a.iter().filter(|(name, value)| !EXPECTED.contains(&name.as_str()) && b.get(name) != Some(value));
    let in_words = |name: &str| match name {
        "learn" => "what learns".to_owned(),
        "stages" => "earlier stages".to_owned(),
        _ => name.replace('_', " "),
    };
    differing.map(|(name, _)| in_words(name)).collect()
}

fn points(here: Option<f64>, there: Option<f64>) -> String {
    here.zip(there).map_or("–".to_owned(), |(here, there)| format!("{:+.1}", 100.0 * (here - there)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::model::Architecture;

    #[test]
    fn differences_are_points_and_settings_in_words() {
        assert_eq!(points(Some(0.879), Some(0.784)), "+9.5");
        assert_eq!(points(Some(0.538), Some(0.852)), "-31.4");
        assert_eq!(points(Some(0.5), None), "–");
        let a = RunConfig { name: "a".to_owned(), ..RunConfig::of(Architecture::Compact) };
        let b = RunConfig { name: "b".to_owned(), batch_size: a.batch_size + 1, seed: a.seed + 1, ..a.clone() };
        assert_eq!(differences(&a, &b), ["batch size", "seed"]);
        assert!(differences(&a, &RunConfig { name: "b".to_owned(), ..a.clone() }).is_empty());
    }
}
