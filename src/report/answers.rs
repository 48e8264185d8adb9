//! The facts of a report that the checklists' answers quote.

use super::run_parts::Run;
use super::{Report, Sources};
use crate::base::errors::Result;
use crate::base::progress::{counted, thousands};
use crate::base::table::{Show, Table, percent};
use crate::data::audit::Check;
use crate::data::manifest::Manifest;
use crate::data::split::Subset;
use crate::report::checklist::{Answer, Checklist, Facts};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// How many sources or scanners the patient table names, as part of a sentence.
pub(super) fn sources_in_words(accepted: &Manifest) -> String {
    let sources: BTreeSet<&str> = accepted.scans.iter().filter_map(|scan| scan.source.as_deref()).collect();
    match sources.len() as u64 {
        0 => "no column names a hospital, scanner or collection".to_owned(),
        1 => "its patient table names one source or scanner".to_owned(),
        count => format!("its patient table names {} sources or scanners", thousands(count)),
    }
}

/// The texts of all runs, joined; `None` if a run has none.
fn of_each(runs: &[Run], text: impl Fn(&Run) -> Option<String>) -> Option<String> {
    let each: Option<Vec<String>> = runs.iter().map(|run| Some(format!("{}: {}", run.name, text(run)?))).collect();
    each.filter(|each| !each.is_empty()).map(|each| each.join("; "))
}

fn facts(report: &Report, from: &Sources<'_>) -> Facts {
    let mut facts = Facts::of_sections(report.sections.iter().map(|section| section.anchor));
    facts.section("checklist");
    of_data(&mut facts, from);
    of_training(&mut facts, &from.runs);
    of_results(&mut facts, &from.runs);
    if let Some(probe) = &from.leak {
        let arms = probe.arms.iter().filter(|arm| arm.shuffled).map(|arm| percent(arm.accuracy()));
        facts.say(
            "leak",
            Some(format!("test accuracy with shuffled labels {}", arms.collect::<Vec<_>>().join(" and "))),
        );
    }
    facts
}

fn of_data(facts: &mut Facts, from: &Sources<'_>) {
    let (manifest, out) = (from.audit.manifest(), from.audit.excluded().len() as u64);
    let (all, accepted) = (manifest.slices.len() as u64, from.accepted.slices.len() as u64);
    facts.say("slices", Some(format!("{} of {}", counted(accepted, "slice"), from.accepted.name)));
    facts.say("exclusions", Some(format!("{} of {}", thousands(out), counted(all, "file"))));
    facts.say("sources", Some(sources_in_words(&from.accepted)));
    let unreadable = [Check::NotAFile, Check::TooLarge, Check::EmptyFile, Check::NotAnImage, Check::OversizedHeader];
    let unreadable = unreadable.into_iter().chain([Check::Truncated, Check::Corrupt]);
    let unreadable: usize = unreadable.map(|check| from.audit.count(check)).sum();
    let gaps = from.audit.count(Check::MissingSlice) as u64;
    let unreadable = counted(unreadable as u64, "unreadable file");
    facts.say("gaps", Some(format!("{unreadable}, {} with missing slice numbers", counted(gaps, "scan"))));
}

fn of_training(facts: &mut Facts, runs: &[Run]) {
    let networks: BTreeSet<String> = runs.iter().map(|run| run.evaluation.run.architecture.to_string()).collect();
    let networks: Vec<String> = networks.into_iter().collect();
    facts.say("networks", (!networks.is_empty()).then(|| networks.join(", ")));
    facts.say(
        "unit",
        of_each(runs, |run| {
            let split = run.split.as_ref()?.config();
            let unit = format!("{:?}", split.unit).to_lowercase();
            Some(format!("by {unit}, seed {}, {} for the test", split.seed, split.test_in_words()))
        }),
    );
    facts.say(
        "overlap",
        of_each(runs, |run| {
            let count = run.split.as_ref()?.overlaps().len() as u64;
            let leaks = if run.evaluation.leaking { " (LEAKING)" } else { "" };
            Some(format!("{} between subsets{leaks}", counted(count, "overlap")))
        }),
    );
    facts.say(
        "layers",
        of_each(runs, |run| {
            let of = &run.evaluation.network;
            let (layers, learned) = (of.weighted_layers(), thousands(of.learned));
            Some(format!("{layers} weighted layers, {} parameters, {learned} learned", thousands(of.parameters)))
        }),
    );
    facts.say("initial-weights", of_each(runs, |run| Some(run.evaluation.initial_weights())));
    facts.say(
        "software",
        of_each(runs, |run| {
            let of = run.provenance.first()?;
            Some(format!("covid-ct {}, libtorch {}, {}", of.version, of.libtorch, of.processor))
        }),
    );
    facts.say(
        "settings",
        of_each(runs, |run| {
            let of = &run.evaluation.run;
            Some(format!(
                "{}, batch {}, rate {:e}, seed {}",
                counted(of.epochs as u64, "epoch"),
                of.batch_size,
                of.learning_rate,
                of.seed
            ))
        }),
    );
    facts.say(
        "choice",
        of_each(runs, |run| {
            Some(format!("epoch {} of {}", run.evaluation.best_epoch, run.history.as_ref()?.epochs.len()))
        }),
    );
}

fn of_results(facts: &mut Facts, runs: &[Run]) {
    facts.say(
        "external",
        of_each(runs, |run| {
            let of: Vec<String> = run.external.iter().map(|of| of.title()).collect();
            (!of.is_empty()).then(|| of.join("; "))
        }),
    );
    facts.say(
        "subsets",
        of_each(runs, |run| {
            let names: Vec<&str> = run.evaluation.subsets.iter().map(|of| of.subset.name()).collect();
            Some(names.join(", "))
        }),
    );
    facts.say(
        "test",
        of_each(runs, |run| {
            let test = run.evaluation.subset(Subset::Test).ok()?;
            let mark = run.evaluation.leak_mark(Subset::Test);
            let (slices, scans) = (counted(test.slices.total(), "test slice"), counted(test.scans.total(), "scan"));
            Some(format!("{slices} of {scans}{mark}"))
        }),
    );
    facts.say("rule", of_each(runs, |run| Some(run.evaluation.rule.text())));
    facts.say(
        "intervals",
        of_each(runs, |run| {
            let scans = &run.assessment.as_ref()?.subsets.last()?.scans;
            let defined = scans.estimates().iter().filter(|of| of.interval.is_some()).count();
            let (of, patients) = (scans.estimates().len(), counted(scans.patients as u64, "patient"));
            (defined > 0).then(|| format!("{defined} of {of} measures by scan have an interval, over {patients}"))
        }),
    );
    facts.say(
        "by-source",
        of_each(runs, |run| {
            let sources: BTreeSet<&str> =
                run.assessment.as_ref()?.subsets.iter().flat_map(|of| &of.sources).map(|of| of.0.as_str()).collect();
            (!sources.is_empty()).then(|| sources.into_iter().collect::<Vec<_>>().join(", "))
        }),
    );
    facts.say(
        "temperature",
        of_each(runs, |run| {
            let of = run.assessment.as_ref()?.temperature?;
            Some(format!("{:.3}, fitted on {}", of.value, counted(of.samples as u64, "validation slice")))
        }),
    );
    let explained: Vec<&Run> = runs.iter().filter(|run| !run.explanations.is_empty()).collect();
    let heat = explained.iter().flat_map(|run| {
        run.explanations.iter().map(|of| {
            let (outside, chance) = (percent(of.outside()), percent(of.outside_by_chance()));
            format!("{}, {}: {outside}, spread evenly {chance}", run.name, of.about.subset)
        })
    });
    let heat: Vec<String> = heat.collect();
    facts.say("heat", (!heat.is_empty()).then(|| heat.join("; ")));
}

impl Report {
    /// Adds the checklists; must be the last section, because answers refer to the others.
    pub(super) fn checklist(&mut self, from: &Sources<'_>) -> Result<()> {
        let facts = facts(self, from);
        let headings: BTreeMap<&str, &str> =
            self.sections.iter().map(|section| (section.anchor, section.heading)).collect();
        let heading = |anchor: &str| headings.get(anchor).map_or(anchor.to_owned(), |heading| (*heading).to_owned());
        let (mut html, mut lists) = (String::new(), serde_json::Map::new());
        for list in [Checklist::claim()?, Checklist::tripod()?] {
            let mut table = Table::new(format!("{} ({})", list.name, list.source), &["Item", "Asks for", "Here"]);
            let mut items = Vec::new();
            for item in &list.items {
                let answer = item.answered(&facts);
                items.push(json!({ "id": item.id, "asks": item.asks, "answer": answer }));
                table.row([item.number(&list.name).to_owned(), item.asks.clone(), in_words(answer, &heading)]);
            }
            let count = list.count(&facts);
            let table = table
                .note(format!("{}: {count}. doi:{}", list.name, list.doi))
                .note(format!("{} {}", list.note, list.checked));
            html.push_str(&table.html());
            self.checklists.push(table);
            let list_json = json!({
                "answered": count.answered, "in_part": count.in_part, "of": count.of, "source": list.source,
                "doi": list.doi, "note": list.note, "checked": list.checked, "items": items,
            });
            lists.insert(list.name.clone(), list_json);
        }
        self.json["checklists"] = serde_json::Value::Object(lists);
        self.section("checklist", "Checklists", html);
        Ok(())
    }
}

fn in_words(answer: Answer, heading: &impl Fn(&str) -> String) -> String {
    match answer {
        Answer::Answered { anchor, how, left: None } => format!("{}: {how}", heading(&anchor)),
        Answer::Answered { anchor, how, left: Some(left) } => {
            format!("{}: {how} Not reported, for the author: {left}", heading(&anchor))
        }
        Answer::NotReported { why } => why,
    }
}
