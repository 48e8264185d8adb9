//! The first pages: the question, the data, the results with their intervals, the leak beside them.

use super::Sources;
use super::data_flow::{Flow, names};
use super::html::paragraph;
use super::leaking_runs::leaking;
use super::run_parts::Run;
use crate::base::errors::Result;
use crate::base::escape::visible;
use crate::base::figure::Figure;
use crate::base::progress::{counted, thousands};
use crate::base::table::{Show, Table, percent};
use crate::data::manifest::Label;
use crate::data::split::{SplitUnit, Subset};
use crate::evaluate::assessment::{Assessed, FEW, OF_SCANS, counts, estimated, rule_text};
use crate::evaluate::leak::LeakProbe;
use crate::evaluate::new_patients::AgainstChance;
use crate::stats::metrics::{Estimate, Measure, Performance, Predicted, Truth};
use maud::{PreEscaped, html};
use serde_json::{Value, json};

/// What the first pages say; a summary for a paper says the same.
#[derive(Debug, Clone, Default)]
pub(super) struct FirstPages {
    pub(super) question: String,
    pub(super) flow: Option<Table>,
    /// Which run, how sure, on whom, and where it fails.
    pub(super) answers: Vec<(&'static str, String)>,
    /// The scans of sound splits; `None` without such a run.
    pub(super) results: Option<Table>,
    /// The runs with a leak; `None` without one.
    pub(super) leaking: Option<Table>,
    /// What not to believe; added with its section.
    pub(super) limits: Vec<String>,
}

/// What the table of results shows of scans.
const FIGURES: [Measure; 5] =
    [Measure::RocAuc, Measure::BalancedAccuracy, Measure::MacroF1, Measure::Sensitivity, Measure::Specificity];

/// The run that one would use: of those without a leak the one with the highest scan AUC on the validation set. The test set
/// chooses nothing.
pub(super) fn best(runs: &[Run]) -> Option<&Run> {
    let sound = runs.iter().filter(|run| !run.leaks() && run.assessment.is_some());
    sound.reduce(|best, run| if validation_area(run) > validation_area(best) { run } else { best })
}

/// The scan AUC that chooses among runs.
fn validation_area(run: &Run) -> Option<f64> {
    run.assessed(Subset::Validation)?.scans.get(Measure::RocAuc).value
}

/// ROC and calibration of the scans that a run was tested on; of the validation scans where there is no test set.
pub(super) fn first_pictures(run: &Run) -> Result<Vec<(String, Figure)>> {
    let Some(of) = &run.assessment else { return Ok(Vec::new()) };
    let Some(subset) = of.subsets.last().map(|of| of.subset) else { return Ok(Vec::new()) };
    let drawn = of.subsets.iter().filter(|of| of.roc.is_some()).map(|of| of.subset);
    let roc = drawn.zip(of.roc_figures()?).find(|(of, _)| *of == subset);
    let roc = roc.map(|(_, figure)| (format!("{}-{subset}-roc", run.name), figure));
    let reliability = (format!("{}-{subset}-reliability-scans", run.name), of.scan_reliability_figure(subset)?);
    Ok(roc.into_iter().chain([reliability]).collect())
}

impl FirstPages {
    pub(super) fn of(from: &Sources<'_>, flow: &Flow) -> Self {
        let best = best(&from.runs);
        Self {
            question: format!(
                "Can a network tell covid from non-covid by the chest CT of a patient that it has never seen? Tried on the \
                 data set {}{} with {}{}.",
                from.accepted.name,
                if from.accepted.root.join("phantom.json").is_file() {
                    " (synthetic: drawn pictures, no patients)"
                } else {
                    ""
                },
                counted(from.runs.len() as u64, "trained network"),
                networks(&from.runs)
            ),
            flow: Some(flow.in_short(from, best)),
            answers: answers(from, best),
            results: results(&from.runs, best),
            leaking: leaking(&from.runs),
            limits: Vec::new(),
        }
    }

    pub(super) fn html(&self) -> String {
        let tables = [&self.results, &self.leaking].into_iter().flatten().map(Show::html);
        let flow = self.flow.as_ref().map_or(String::new(), Show::html);
        html! {
            (PreEscaped(paragraph(&self.question)))
            @for (what, answer) in &self.answers { p { b { (what) } " " (unbroken(answer)) } }
            div.beside { @for table in tables { div { (PreEscaped(table)) } } }
            (PreEscaped(flow))
        }
        .into_string()
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "question": self.question, "answers": self.answers, "flow": self.flow, "results": self.results,
            "leaking": self.leaking,
        })
    }
}

/// Text in which no line begins with a percent sign.
fn unbroken(text: &str) -> String {
    visible(text).replace(" %", "\u{a0}%")
}

fn networks(runs: &[Run]) -> String {
    let mut names: Vec<String> = runs.iter().map(|run| run.evaluation.run.architecture.to_string()).collect();
    names.sort();
    names.dedup();
    if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) }
}

fn answers(from: &Sources<'_>, best: Option<&Run>) -> Vec<(&'static str, String)> {
    let Some(run) = best else {
        return match from.runs.is_empty() {
            true => Vec::new(),
            false => {
                vec![("Which:", "none, because every run has a leak: nothing here holds for new patients.".to_owned())]
            }
        };
    };
    let sound = from.runs.iter().filter(|run| !run.leaks()).count();
    let is_tied = |of: &&Run| of.name != run.name && !of.leaks() && validation_area(of) == validation_area(run);
    let tied: Vec<&Run> = from.runs.iter().filter(is_tied).collect();
    let tied =
        if tied.is_empty() { String::new() } else { format!(" (tied with {}; the first is shown)", names(&tied)) };
    let which = format!(
        "{} ({}, {} weights), with the highest scan AUC on the validation set of the {} without a leak{tied}. A scan is called {} ({}).",
        run.name,
        run.evaluation.run.architecture,
        run.evaluation.run.pretrained.as_deref().unwrap_or("random initial"),
        counted(sound as u64, "run"),
        run.evaluation.rule.text(),
        run.evaluation.rule.chosen
    );
    let test = run.assessed(Subset::Test);
    let mut answers: Vec<(&str, String)> = test.and_then(answer).map(|said| ("Answer:", said)).into_iter().collect();
    answers.push(("Which:", which));
    match test {
        None => answers.push(("How sure:", "not known, because it has no test set.".to_owned())),
        Some(of) => {
            answers.extend([("How sure:", how_sure(of, &from.runs, run)), ("Tested on:", tested_on(of, run))]);
            answers.extend(where_it_fails(run, of).map(|wrong| ("Where it fails:", wrong)));
        }
    }
    answers.extend(from.leak.as_ref().map(|probe| ("The leak:", measured(probe))));
    answers
}

/// Whether a network can tell the two apart.
fn answer(test: &Assessed) -> Option<String> {
    let answer = match AgainstChance::of(test)? {
        AgainstChance::Better => "yes, better than chance: the interval of the scan AUC lies above 0.5",
        AgainstChance::NotShown => "not shown: the interval of the scan AUC holds 0.5, which is chance",
        AgainstChance::Worse => "no: the interval of the scan AUC lies below 0.5, which is chance",
    };
    Some(format!("{answer} ({} tested).", counted(test.scans.patients as u64, "patient")))
}

fn how_sure(of: &Assessed, runs: &[Run], best: &Run) -> String {
    let [area, accuracy, f1] =
        [Measure::RocAuc, Measure::BalancedAccuracy, Measure::MacroF1].map(|measure| in_words(of.scans.get(measure)));
    let interval = |of: &Performance| of.get(Measure::RocAuc).interval;
    let alike: Vec<&Run> = runs
        .iter()
        .filter(|run| run.name != best.name && !run.leaks())
        .filter(|run| {
            let both = run.assessed(Subset::Test).and_then(|other| interval(&other.scans).zip(interval(&of.scans)));
            both.is_some_and(|(a, b)| a.low <= b.high && b.low <= a.high)
        })
        .collect();
    let others = match alike.is_empty() {
        true => String::new(),
        false => format!(
            " The intervals of {} overlap with these: the test does not show which of them is better.",
            names(&alike)
        ),
    };
    format!(
        "scan AUC {area}, balanced accuracy {accuracy}, macro F1 {f1}: 95 % confidence intervals, with the value found in \
         brackets. They hold for patients like these alone{}.{others}",
        if of.scans.patients < FEW { ", and so few patients are no more than an indication" } else { "" }
    )
}

/// A value with its interval, as a part of a sentence.
fn in_words(of: &Estimate) -> String {
    if of.value.is_some() { estimated(of) } else { "undefined".to_owned() }
}

fn tested_on(of: &Assessed, run: &Run) -> String {
    let all: usize = run.evaluation.counts.iter().filter(|of| of.subset == Subset::Test).map(|of| of.slices).sum();
    let out = match all.saturating_sub(of.slices.samples) {
        0 => String::new(),
        out => format!(" Left out besides, as without lungs: {}.", counted(out as u64, "slice")),
    };
    let here = counts(of);
    let here = here.strip_prefix("test: ").unwrap_or(&here);
    format!("{here}{out} None of these patients is known to be in training.")
}

/// The errors of a run on the test scans.
fn where_it_fails(run: &Run, of: &Assessed) -> Option<String> {
    let scans = &run.evaluation.subset(Subset::Test).ok()?.scans;
    let wrong = |measure: Measure, truth: Label, called: Label| {
        let (row, column) = (truth.index(), called.index());
        let support: u64 = scans.rows()[row].iter().sum();
        format!(
            "{} of {} {truth} scans of the test set are called {called}: {} {}",
            thousands(scans.count(Truth(row), Predicted(column))),
            thousands(support),
            measure.name().to_lowercase(),
            in_words(of.scans.get(measure)),
        )
    };
    let missed = wrong(Measure::Sensitivity, Label::Covid, Label::NonCovid);
    let alarms = wrong(Measure::Specificity, Label::NonCovid, Label::Covid);
    // What goes wrong more often first.
    let is_missed_first = scans.sensitivity() <= scans.specificity();
    let both = if is_missed_first { format!("{missed}; {alarms}") } else { format!("{alarms}; {missed}") };
    let order = match of.scans.get(Measure::RocAuc).value == Some(1.0) && scans.correct() < scans.total() {
        true => {
            " All the same the scan AUC is 1: their order is right, and the threshold, chosen on other patients, does not \
                 part them."
        }
        false => "",
    };
    Some(format!("{both} (Wilson's intervals, by scan).{order}"))
}

/// One row for the test set of each run without a leak, for each of its sources, and for scans from elsewhere.
fn results(runs: &[Run], best: Option<&Run>) -> Option<Table> {
    let columns =
        ["Run", "Scans", "ROC AUC", "Balanced accuracy, %", "Macro F1, %", "Sensitivity, %", "Specificity, %"];
    let mut table = Table::new("Scans of runs without a leak: 95 % intervals, and values", &columns);
    let mut row = |run: &Run, what: String, of: &Performance| {
        let (scans, patients) = (thousands(of.samples as u64), counted(of.patients as u64, "patient"));
        let counts = if of.patients == of.samples { scans } else { format!("{scans} of {patients}") };
        let figures = FIGURES.map(|measure| estimated(of.get(measure)).replace(" %", ""));
        table.row([run.name.clone(), format!("{what}: {counts}")].into_iter().chain(figures));
    };
    let mut external = false;
    let is_best = |run: &&Run| best.is_some_and(|best| best.name == run.name);
    let others = runs.iter().filter(|run| !run.leaks() && !is_best(run));
    for run in best.into_iter().chain(others) {
        // Where there is no test set, the optimistic figures of the validation set.
        let Some(tested) = run.assessment.as_ref().and_then(|of| of.subsets.last()) else { continue };
        row(run, tested.subset.to_string(), &tested.scans);
        for (source, of) in &tested.sources {
            row(run, format!("{}, source {source}", tested.subset), of);
        }
        for of in &run.external {
            external |= !of.leaks();
            for scans in &of.assessment.subsets {
                let leak = if of.leaks() { " (LEAK)" } else { "" };
                row(run, format!("external: {}{leak}", of.data), &scans.scans);
            }
        }
    }
    let sound = runs.iter().filter(|run| !run.leaks());
    let rule = |run: &Run| {
        Some(format!("{} {:.3} and {}", run.name, validation_area(run)?, rule_text(run.evaluation.rule.rule).1))
    };
    let chosen = sound.filter_map(rule).collect::<Vec<_>>().join("; ");
    let elsewhere = if external { "" } else { " External validation was not done." };
    (!table.rows().is_empty()).then(|| {
        table.note(format!(
            "Intervals: {OF_SCANS}. Network, epoch and threshold were chosen on the validation set, never on these scans (scan \
             AUC there and threshold of scans: {chosen}).{elsewhere}"
        ))
    })
}

/// What a network scores where nothing but the patients can be learned.
fn measured(probe: &LeakProbe) -> String {
    let of = |unit: SplitUnit| {
        let arm = probe.arms.iter().find(|arm| arm.shuffled && arm.unit == unit);
        percent(arm.and_then(|arm| arm.accuracy()))
    };
    let gap = probe.gap(true).map_or(String::new(), |gap| {
        let points = |of: f64| format!("{:.1}", 100.0 * of);
        let interval = gap.interval.map(|(low, high)| format!(" ({} to {})", points(low), points(high)));
        format!(": the leak gives {}{} points", points(gap.value), interval.unwrap_or_default())
    });
    format!(
        "with labels shuffled among patients, where nothing but the patients can be learned and chance is 50 %, {} has a \
         balanced accuracy of slices of {} under a split by slice, of {} under a split by patient{gap}.",
        probe.run.architecture,
        of(SplitUnit::Slice),
        of(SplitUnit::Patient)
    )
}
