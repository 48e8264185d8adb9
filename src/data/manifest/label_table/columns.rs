//! The columns of a table of labels.

use super::{LabelRow, Sets};
use crate::base::errors::{Context, Result, bail, ensure};
use crate::base::escape::csv_text;
use crate::data::manifest::pseudonym::is_placeholder;
use crate::data::manifest::root_tables::cut;
use crate::data::manifest::{Label, Set};
use csv::StringRecord;
use icu_normalizer::ComposingNormalizerBorrowed;
use std::collections::BTreeSet;

/// Names of columns, in lower case; the first is the one in messages.
const PATH: &[&str] = &[
    "path",
    "file",
    "filename",
    "file_name",
    "filepath",
    "file_path",
    "image",
    "image_path",
    "image_name",
    "img",
    "img_path",
    "slice",
    "folder",
];
const SCAN: &[&str] = &["scan", "scan_id", "scan_name", "ct_scan", "volume", "volume_id"];
const PATIENT: &[&str] = &["patient", "patient_id", "patientid", "subject", "subject_id", "case"];
const SERIES: &[&str] = &["series", "series_uid", "seriesinstanceuid", "series_instance_uid"];
const LABEL: &[&str] = &["label", "class", "diagnosis", "target", "finding", "y"];
const SET: &[&str] = &["set", "split", "subset", "partition"];
const SOURCE: &[&str] = &["source", "scanner", "hospital", "site", "centre", "center"];

/// What else than [words](Label::named) a label may be in a table.
const YES: &[&str] = &["1", "1.0", "yes", "true"];
const NO: &[&str] = &["0", "0.0", "no", "false"];
const UNKNOWN: &[&str] = &["", "?", "unknown", "na", "n/a", "nan", "none", "null"];

/// Where each column is.
pub(super) struct Columns {
    path: Option<usize>,
    scan: Option<usize>,
    patient: Option<usize>,
    series: Option<usize>,
    set: Option<usize>,
    source: Option<usize>,
    label: usize,
    /// The positive and the negative label, where they are none of the usual.
    names: Option<LabelNames>,
}

/// Which label is the positive one, and which is the negative one; `None`: all others.
#[derive(Debug, Clone, PartialEq, Eq)]
struct LabelNames {
    positive: String,
    negative: Option<String>,
}

impl LabelNames {
    /// What a header says in brackets: `positive: NAME`, or `positive: NAME, negative: NAME`, in lower case.
    fn in_header(said: &str) -> Option<Self> {
        let said = said.trim().strip_prefix("positive:")?;
        let (positive, negative) = match said.split_once([',', ';']) {
            Some((positive, rest)) => (positive, Some(rest.trim().strip_prefix("negative:")?.trim().to_lowercase())),
            None => (said, None),
        };
        Some(Self { positive: positive.trim().to_lowercase(), negative })
    }
}

impl Columns {
    /// # Errors
    /// No column that names scans, none of labels, or labels that cannot be told apart.
    pub(super) fn of(header: &StringRecord, records: &[StringRecord], sets: Sets) -> Result<Self> {
        let find = |names: &[&str]| names.iter().find_map(|known| header.iter().position(|name| clean(name) == *known));
        // The header may say which label is the positive one: `label (positive: pneumonia)`.
        let named = header.iter().enumerate().find_map(|(column, name)| {
            let (name, rest) = name.split_once('(')?;
            let said = LabelNames::in_header(rest.trim_end().strip_suffix(')')?)?;
            LABEL.contains(&clean(name).as_str()).then_some((column, said))
        });
        let label = named.as_ref().map(|(column, _)| *column).or_else(|| find(LABEL));
        let label = label.with_context(|| {
            format!("expected a column label (or one of {}), found {}", LABEL[1..].join(", "), columns_shown(header))
        })?;
        let (path, scan, patient, series) = (find(PATH), find(SCAN), find(PATIENT), find(SERIES));
        ensure!(
            [path, scan, patient, series].iter().any(Option::is_some),
            "expected a column that names the scans (path, scan, patient or series), found {}",
            columns_shown(header)
        );
        let found: BTreeSet<String> =
            records.iter().filter_map(|record| record.get(label)).map(str::to_lowercase).collect();
        let names = label_names(&found, named.map(|(_, said)| said))?;
        let set = match find(SET) {
            None if sets == Sets::Read => {
                let known = [path, scan, patient, series, find(SOURCE), Some(label)];
                says_sets(records, |column| !known.contains(&Some(column)))?
            }
            known => known.filter(|_| sets == Sets::Read),
        };
        Ok(Self { path, scan, patient, series, set, source: find(SOURCE), label, names })
    }

    /// # Errors
    /// A set that is none.
    pub(super) fn row(&self, record: &StringRecord) -> Result<LabelRow> {
        let line = record.position().map_or(0, csv::Position::line);
        let get =
            |column: Option<usize>| column.and_then(|column| record.get(column)).filter(|value| !value.is_empty());
        let owned = |column| get(column).map(str::to_owned);
        let set = get(self.set).map(set_named).transpose().with_context(|| format!("line {line}"))?.flatten();
        Ok(LabelRow {
            line,
            path: get(self.path).map(normalised),
            scan: owned(self.scan),
            patient: owned(self.patient).filter(|patient| !is_placeholder(patient)),
            series: owned(self.series),
            label: get(Some(self.label)).and_then(|label| self.label_named(&label.to_lowercase())),
            set,
            source: owned(self.source),
        })
    }

    fn label_named(&self, name: &str) -> Option<Label> {
        match &self.names {
            Some(of) if name == of.positive => Some(Label::Covid),
            Some(LabelNames { negative: Some(negative), .. }) => (name == negative).then_some(Label::NonCovid),
            Some(_) => (!UNKNOWN.contains(&name)).then_some(Label::NonCovid),
            None => usual(name),
        }
    }
}

/// The column, whatever its name, that says nothing but sets, in half of the rows and more: a part that is not read would be
/// trained on.
///
/// # Errors
/// Several.
fn says_sets(records: &[StringRecord], may_be: impl Fn(usize) -> bool) -> Result<Option<usize>> {
    let said = |column: usize| records.iter().filter_map(move |row| row.get(column)).filter(|value| !value.is_empty());
    let width = records.iter().map(StringRecord::len).max().unwrap_or(0);
    let is_one = |column: &usize| {
        may_be(*column)
            && 2 * said(*column).count() >= records.len().max(1)
            && said(*column).all(|value| Set::named(value).is_some())
    };
    match (0..width).filter(is_one).collect::<Vec<_>>()[..] {
        [first, second, ..] => {
            bail!("the columns {} and {} both say train, val and the like: name one of them set", first + 1, second + 1)
        }
        [only] => Ok(Some(only)),
        [] => Ok(None),
    }
}

/// The label that a usual word stands for.
fn usual(name: &str) -> Option<Label> {
    let is = |names: &[&str]| names.contains(&name);
    Label::named(name).or(is(YES).then_some(Label::Covid)).or(is(NO).then_some(Label::NonCovid))
}

/// A path as tables of ours have it: one that starts like a formula or holds what is not seen is written otherwise, and any
/// loses the space around it.
pub(in crate::data::manifest) fn as_written(path: &str) -> String {
    normalised(csv_text(path).trim())
}

/// A path under the root, with `/`, and with accents as they are mostly written: macOS takes letters with accents apart in names of
/// files (Unicode's forms NFD and NFC).
pub(in crate::data::manifest) fn normalised(path: &str) -> String {
    let path = path.replace('\\', "/");
    let path = path.trim_start_matches("./").trim_matches('/');
    ComposingNormalizerBorrowed::new_nfc().normalize(path).into_owned()
}

/// What a header holds, for a message: without a header it is the first patient's row, so that only known names are shown.
pub(in crate::data::manifest) fn columns_shown(header: &StringRecord) -> String {
    let all = [PATH, SCAN, PATIENT, SERIES, LABEL, SET, SOURCE].concat();
    let known: Vec<&str> = header.iter().filter(|name| all.contains(&clean(name).as_str())).collect();
    format!(
        "{} columns, known of them: {}",
        header.len(),
        if known.is_empty() { "none".into() } else { known.join(", ") }
    )
}

fn clean(name: &str) -> String {
    name.trim().to_lowercase().replace([' ', '-'], "_")
}

/// A few short labels for a message; others may be names of patients, or sentences about them.
fn shown(labels: &[&String]) -> String {
    let is_label = |label: &&&String| label.chars().count() <= 16 && !label.contains([' ', '^', ',']);
    let short: Vec<String> = labels.iter().filter(is_label).map(|label| format!("{label:?}")).collect();
    let hidden = labels.len() - short.len();
    let mut parts: Vec<String> = short.iter().take(5).cloned().collect();
    if short.len() > parts.len() {
        parts.push(format!("{} more", short.len() - parts.len()));
    }
    if hidden > 0 {
        parts.push(format!("{hidden} long or of several words (not shown: they may be names)"));
    }
    parts.join(", ")
}

/// The positive and the negative label of a table; `None` where all are usual ones. Nothing is guessed: 1 and 2 may mean
/// no and yes.
fn label_names(found: &BTreeSet<String>, said: Option<LabelNames>) -> Result<Option<LabelNames>> {
    let labels: Vec<&String> = found.iter().filter(|label| !UNKNOWN.contains(&label.as_str())).collect();
    let all = || shown(&labels);
    match (labels.as_slice(), said) {
        (_, Some(LabelNames { positive, negative: Some(negative) })) => {
            let is_negative = |label: &String| match negative.as_str() {
                "others" => *label != positive,
                negative => label == negative,
            };
            ensure!(
                labels.contains(&&positive) && labels.iter().any(|label| is_negative(label)) && positive != negative,
                "the header says that {:?} is the positive label and {:?} the negative one; expected both, found {}",
                cut(&positive),
                cut(&negative),
                all()
            );
            Ok(Some(LabelNames { positive, negative: Some(negative).filter(|negative| negative != "others") }))
        }
        ([a, b], Some(LabelNames { positive, negative: None })) if **a == positive || **b == positive => {
            let negative = if **a == positive { b } else { a };
            Ok(Some(LabelNames { positive, negative: Some((*negative).clone()) }))
        }
        (_, Some(LabelNames { positive, .. })) => {
            let positive = cut(&positive);
            bail!(
                "the header says that {positive:?} is the positive label; expected it and one other, found {}. Of more labels it says \
                 both: `label (positive: NAME, negative: NAME)`, and scans of others are to be predicted; or `negative: others`",
                all()
            )
        }
        (labels, None) if labels.iter().all(|label| usual(label).is_some()) => Ok(None),
        ([a, b], None) if Label::named(a).is_some() != Label::named(b).is_some() => {
            let (known, other) = if Label::named(a).is_some() { (a, b) } else { (b, a) };
            bail!(
                "of two labels one is {known:?}, the other is not understood: {}. Where it is a mistake, write covid, non-covid \
                 or nothing; where it means all that {known:?} does not, name the column `label (positive: NAME)`",
                shown(&[*other])
            )
        }
        ([_, _], None) => bail!(
            "cannot tell which of the labels {} is the positive one: name the column `label (positive: NAME)`",
            all()
        ),
        ([_, _, _, ..], None) => bail!(
            "expected two labels, such as covid and non-covid, or empty where it is unknown; found {}. Name the column `label (positive: \
             NAME, negative: NAME)`: scans of other labels are to be predicted; or `(positive: NAME, negative: others)`",
            all()
        ),
        _ => bail!("expected two labels, such as covid and non-covid, or empty where it is unknown; found {}", all()),
    }
}

fn set_named(name: &str) -> Result<Option<Set>> {
    let name = name.to_lowercase();
    match Set::named(&name).context("expected a set of train, val or prediction, found another word")? {
        // Of a test set the labels would be dropped.
        Set::Prediction if !(name.starts_with("predict") || name.starts_with("unlabel")) => bail!(
            "the set {name:?}: the test set is drawn from train; keep one of your own in another folder and judge it with \
             `covid-ct validate`"
        ),
        set => Ok(Some(set)),
    }
}
