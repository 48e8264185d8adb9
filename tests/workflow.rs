//! The whole path on the command line, from a phantom to a report.

use crate::support::{fixture, folder, python, record, run_python, run_well};
use covid_ct::{
    Artifact, Comparison, Digest, Evaluation, Measure, PairedRuns, Provenance, Report, RunFolder, Split, SplitConfig,
    Subset, Workspace,
};
use serde_json::Value;
use std::fs;
use std::path::Path;

#[test]
fn from_phantom_to_report() {
    let folder = folder();
    let (home, data) = (folder.path(), &fixture().root);
    let step = |arguments: &[&str]| run_well(home, data, arguments);
    let audit = step(&["audit"]);
    assert!(audit.contains("Number of Patients") && audit.contains("black-slice"), "{audit}");
    let small = ["--small", "--size", "32", "--epochs", "3", "--device", "cpu"];
    let with = |first: &str, more: &[&str]| {
        [&[first], &small[..], more].concat().into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    for (preset, name) in [(&["--network", "compact"][..], "compact"), (&["--published"][..], "fcn-published")] {
        for stage in ["split", "cache", "train"] {
            let arguments = with(stage, preset);
            step(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        }
        let evaluated = step(&["evaluate", "--name", name]);
        assert!(evaluated.contains("precision    recall  f1-score   support"), "{evaluated}");
        let predicted = step(&["predict", "--name", name]);
        assert!(predicted.contains("Number of patients") && predicted.contains("ct_scan_1"), "{predicted}");
    }
    let explained = step(&["explain", "--name", "compact"]);
    assert!(explained.contains("heat outside the lungs") && explained.contains(".svg"), "{explained}");
    let shortcuts = step(&["shortcuts"]);
    assert!(shortcuts.contains("size of the files"), "{shortcuts}");
    let leak = [
        "leakage",
        "--network",
        "fcn",
        "--small",
        "--size",
        "32",
        "--epochs",
        "2",
        "--device",
        "cpu",
        "--repeats",
        "1",
    ];
    assert!(step(&leak).contains("shuffled among patients"));
    let evaluation = run_of(home, "compact").evaluation().expect("reads");
    let test = evaluation.subset(Subset::Test).expect("a test subset");
    assert!(!evaluation.leaking && test.scans.total() > 0);
    assert!(run_of(home, "fcn-published").evaluation().expect("reads").leaking);
    let csv = fs::read_to_string(home.join("runs/phantom/fcn-published/predictions-prediction.csv")).expect("reads");
    let unlabelled =
        fixture().audit.accepted().slices.iter().filter(|s| fixture().manifest.scans[s.scan].label.is_none()).count();
    assert_eq!(csv.lines().count(), 1 + unlabelled);
    let published = concat!(env!("CARGO_MANIFEST_DIR"), "/data_manifest/published-results.json");
    step(&["report", "--published", published]);
    let (html, json) = read_report(home);
    says_what_the_run_holds(home, &html, &json);
    counts_every_file_once(home, &html, &json);
    answers_from_what_it_holds(home, &json);
    parses_and_fetches_nothing(&home.join("report.html"));
    is_read_by_all(home, &html);
    has_a_summary_for_a_paper(home, &step(&["report", "--format", "md"]));
    step(&["export", "--name", "compact", home.join("model.safetensors").to_str().expect("UTF-8")]);
    a_card_says_what_the_run_holds(home);
    nothing_stands_beside_what_it_was_not_made_from(home, &step);
}

fn read_report(folder: &Path) -> (String, Value) {
    let read = |name: &str| fs::read_to_string(folder.join(name)).expect("a report");
    (read("report.html"), serde_json::from_str(&read("report.json")).expect("JSON"))
}

/// Hashes, counts and figures are those of the runs' own files.
fn says_what_the_run_holds(home: &Path, html: &str, json: &Value) {
    // Long words have places where a narrow column may break them.
    let html = html.replace("<wbr>", "");
    for name in ["compact", "fcn-published"] {
        let folder = run_of(home, name);
        let (of, assessment) = (folder.evaluation().expect("reads"), folder.assessment().expect("reads"));
        let weights = fs::read(folder.path_of(Artifact::BestCheckpoint)).expect("reads");
        assert_eq!(of.weights, Digest::of(&weights));
        assert_eq!(of.manifest, fixture().audit.accepted().hash());
        for hash in [of.weights, of.manifest, of.split] {
            assert!(html.contains(&hash.to_string()), "{name}: the report does not name {hash}");
        }
        let test = of.subset(Subset::Test).expect("a test subset");
        for matrix in [&test.slices, &test.scans] {
            let counts = format!("{}/{}", matrix.correct(), matrix.total());
            assert!(html.contains(&counts), "{name}: the report does not count {counts}");
        }
        let estimate = assessment.subset(Subset::Test).expect("assessed").slices.get(Measure::Accuracy);
        let interval = estimate.interval.expect("patients were drawn");
        let shown = format!("{:.1} to {:.1} %", 100.0 * interval.low, 100.0 * interval.high);
        assert!(html.contains(&shown), "{name}: the report does not show {shown}");
        let run = &json["runs"][name];
        assert_eq!(serde_json::from_value::<Evaluation>(run["evaluation"].clone()).expect("an evaluation"), of);
        assert_eq!(run["leaking"], name == "fcn-published");
        assert_eq!(run["provenance"][0]["libtorch"], Provenance::here().libtorch);
        let inference = folder.inference().expect("reads");
        assert_eq!(json["inference"][name]["scans"].as_array().map(Vec::len), Some(inference.scans.len()));
    }
    for said in ["LEAKING SPLIT", "Proof of no overlap", "81.1 %", "Research only", "McNemar", "Holm"] {
        assert!(html.contains(said), "the report does not contain {said:?}");
    }
    for part in
        ["intended_use", "limits", "preprocessing", "audit", "partition", "leakage", "shortcuts", "explanations"]
    {
        assert!(!json[part].is_null(), "the report's JSON has no {part}");
    }
    assert_eq!(json["left_out"], serde_json::json!([]), "all of it belongs together");
    assert_eq!(json["data"]["findings"]["black-slice"], 1);
}

/// What was read is what was left out, by reason, and what was accepted; each split's subsets sum up to what it uses.
fn counts_every_file_once(home: &Path, html: &str, json: &Value) {
    let (all, accepted) = (fixture().manifest.slices.len(), fixture().audit.accepted().slices.len());
    let flow = &json["data"]["flow"];
    let reasons = flow["excluded"].as_array().expect("reasons").iter();
    let out: u64 = reasons.map(|reason| reason[1].as_u64().expect("a count")).sum();
    assert_eq!(
        (flow["read"]["slices"].as_u64(), flow["accepted"]["slices"].as_u64()),
        (Some(all as u64), Some(accepted as u64))
    );
    assert_eq!(out as usize, all - accepted);
    assert!(html.contains(&format!("{all} files read, {out} left out by the audit, {accepted} accepted")));
    let splits = flow["splits"].as_array().expect("splits");
    assert_eq!(splits.len(), 2, "one of each unit");
    for of in splits {
        let name = of["runs"][0].as_str().expect("a run");
        let counts = run_of(home, name).evaluation().expect("reads").counts;
        let used: usize = counts.iter().map(|count| count.slices).sum();
        let left = of["left_out"]["slices"].as_u64().expect("a count") as usize;
        assert_eq!(of["used"]["slices"].as_u64(), Some(used as u64), "{name}");
        assert_eq!(used + left, accepted, "{name}: every accepted slice is used or left out");
    }
}

fn answers_from_what_it_holds(home: &Path, json: &Value) {
    let of = run_of(home, "compact").evaluation().expect("reads");
    let answer = |list: &str, id: &str| {
        let items = json["checklists"][list]["items"].as_array().expect("items");
        items.iter().find(|item| item["id"] == id).unwrap_or_else(|| panic!("no {id}"))["answer"].to_string()
    };
    let test = of.subset(Subset::Test).expect("a test subset").slices.total();
    for (list, id, said) in [
        ("CLAIM", "CLAIM 24", format!("compact: random, seed {}", of.run.seed)),
        ("CLAIM", "CLAIM 22", "5 weighted layers, 1,555,074 parameters".to_owned()),
        ("CLAIM", "CLAIM 32", format!("compact: {test} test slices")),
        ("TRIPOD+AI", "TRIPOD+AI 12d", "no column names a hospital".to_owned()),
        ("TRIPOD+AI", "TRIPOD+AI 23b", "Not reported".to_owned()),
    ] {
        assert!(answer(list, id).contains(&said), "{id}: {} does not contain {said:?}", answer(list, id));
    }
    for list in ["CLAIM", "TRIPOD+AI"] {
        let of = &json["checklists"][list];
        assert!(of["answered"].as_u64().expect("a count") > 3, "{list}");
        assert!(of["note"].as_str().expect("a note").contains("paraphrase"), "{list}");
        assert!(of["checked"].as_str().expect("a note").contains("not at hand"), "{list}");
    }
}

fn parses_and_fetches_nothing(page: &Path) {
    run_python("../scripts/print_report.py", &["--check", page.to_str().expect("UTF-8")]);
    let html = fs::read_to_string(page).expect("reads");
    assert!(!html.contains("http://") && !html.contains("https://"));
    let broken = page.with_file_name("broken.html");
    fs::write(&broken, html.replace("</main>", "<img src=\"https://example.org/a.png\"/>")).expect("writes");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/print_report.py");
    let output = std::process::Command::new(python()).arg(script).arg("--check").arg(&broken).output().expect("starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("example.org") && said.contains("closes <main>"), "{said}");
}

/// Captions, scopes, alternative texts, folds, figures' files, and no more bytes than a mail takes.
fn is_read_by_all(home: &Path, html: &str) {
    let count = |of: &str| html.matches(of).count();
    assert!(count("<table ") > 20 && count("<table ") == count("<caption "), "every table has a caption");
    assert_eq!(count("<th "), count("<th scope="), "every heading says what it is of");
    assert_eq!(count("<details>"), count("<details"), "everything is folded");
    let leaking = html.find("<summary>fcn-published").expect("a fold for the leaking run");
    assert!(
        html.find("<summary>compact").expect("a fold") < leaking && !html[leaking..].contains("</section><section")
    );
    let alternatives: Vec<&str> = html.split("<img alt=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    for (said, and) in [
        ("compact, test: ROC: ", " scans: area "),
        ("compact, test scans: truth covid: ", " called non-covid"),
        ("compact, test: Most confident and wrong: ", "picture"),
        ("fcn-published, test slices (LEAKING): ", " called covid"),
    ] {
        let is_said = alternatives.iter().any(|of| of.starts_with(said) && of.contains(and));
        assert!(is_said, "{said:?} is not among {alternatives:#?}");
    }
    assert!(html.len() < 1_000_000, "{} bytes", html.len());
    let csv = fs::read_to_string(home.join("figures/compact-test-roc.csv")).expect("the numbers behind a figure");
    assert!(csv.starts_with("curve,1 - specificity,sensitivity\n") && csv.lines().count() > 4, "{csv}");
    let svg = fs::read_to_string(home.join("figures/compact-test-roc.svg")).expect("a figure");
    assert!(svg.contains("prefers-color-scheme:dark"), "{svg}");
}

fn has_a_summary_for_a_paper(home: &Path, said: &str) {
    assert!(said.contains("report.md"), "{said}");
    let summary = fs::read_to_string(home.join("report.md")).expect("a summary");
    for part in [
        "# covid-ct: phantom",
        "Research only",
        "**Scans of runs without a leak",
        "LEAKING runs",
        "| compact | test: ",
        "A scan is called covid",
        "its validation set",
        "**CLAIM",
        "**TRIPOD+AI",
    ] {
        assert!(summary.contains(part), "{part:?} is not in {summary}");
    }
}

fn a_card_says_what_the_run_holds(home: &Path) {
    let folder = run_of(home, "compact");
    let (of, assessment) = (folder.evaluation().expect("reads"), folder.assessment().expect("reads"));
    let read = |ending: &str| fs::read_to_string(home.join(format!("model.safetensors.{ending}"))).expect("a card");
    let (card, page): (Value, String) = (serde_json::from_str(&read("json")).expect("JSON"), read("md"));
    let file = Digest::of(&fs::read(home.join("model.safetensors")).expect("reads"));
    for (key, hash) in
        [("sha256", file), ("checkpoint", of.weights), ("trained_on_manifest", of.manifest), ("split", of.split)]
    {
        assert_eq!(card[key], hash.to_string(), "{key}");
        assert!(page.contains(&hash.to_string()), "the page does not name {key} {hash}");
    }
    assert_eq!(card["epoch"].as_u64(), Some(of.best_epoch as u64));
    let temperature = assessment.temperature.expect("two labels");
    assert_eq!(card["evaluated"]["temperature"]["value"].as_f64(), Some(temperature.value));
    assert_eq!(card["evaluated"]["counts"], serde_json::json!(of.counts));
    assert_eq!(card["evaluated"]["scan_rule"], serde_json::json!(of.rule));
    for shown in assessment.subset(Subset::Test).expect("assessed").scans.estimates() {
        let results = card["evaluated"]["results"].as_array().expect("results");
        let same = |row: &&Value| {
            row["subset"] == "test" && row["by"] == "scan" && row["measure"] == serde_json::json!(shown.measure)
        };
        assert_eq!(results.iter().find(same).expect("a row")["value"].as_f64(), shown.value);
    }
    for said in ["not for diagnosis", "not calibrated", "random, seed 1", &format!("{:.6}", temperature.value)] {
        assert!(page.contains(said), "the card does not contain {said:?}: {page}");
    }
}

fn nothing_stands_beside_what_it_was_not_made_from(home: &Path, step: &impl Fn(&[&str]) -> String) {
    let (accepted, runs) = (fixture().audit.accepted(), home.join("runs/phantom"));
    let fcn = run_of(home, "compact");
    let of = fcn.evaluation().expect("reads");
    // The split in its folder is now another one: no proof is shown, and no new split is drawn.
    let other = Split::new(&accepted, &SplitConfig { seed: 77, ..of.run.split.clone() }).expect("splits");
    assert_ne!(other.hash(), of.split);
    let work = Workspace::at(Some(home.to_owned()), Some(fixture().root.clone())).expect("opens");
    let kept = fs::read(fcn.path_of(Artifact::Split)).expect("reads");
    other.write(fcn.path_of(Artifact::Split), &accepted).expect("writes");
    step(&["report", "compact"]);
    let (html, json) = read_report(home);
    let left = json["left_out"][0].to_string();
    assert!(left.contains(&other.hash().to_string()) && left.contains(&of.split.to_string()), "{left}");
    assert!(left.contains("split.json") && left.contains("delete the file"), "{left}");
    assert!(!html.contains(&format!("Split {}", other.hash())), "a proof of another split");
    assert_eq!(json["partition"], serde_json::json!([]), "no split is shown that the run does not have");
    let error =
        String::from_utf8(crate::support::run(home, &fixture().root, &["evaluate", "--name", "compact"]).stderr)
            .expect("UTF-8");
    assert!(error.contains(&other.hash().to_string()) && error.contains(&of.split.to_string()), "{error}");
    fs::write(fcn.path_of(Artifact::Split), kept).expect("restores");

    // A run of the same weights, and one of other data.
    copy(&runs.join("compact"), &runs.join("twin"));
    let paired = PairedRuns::of(&["compact", "twin", "fcn-published"].map(|name| run_of(home, name)), &accepted)
        .expect("compares");
    assert_eq!(paired.pairs.len(), 2, "validation and test of the twin: {paired}");
    assert!(paired.pairs.iter().all(|pair| (pair.paired.mcnemar.p, pair.adjusted) == (1.0, 1.0)), "{paired}");
    assert!(paired.left_out.iter().any(|why| why.contains("fcn-published: no other run has its split")), "{paired}");
    copy(&runs.join("compact"), &runs.join("elsewhere"));
    let (file, foreign) = (runs.join("elsewhere/evaluation.json"), Digest::of(b"other data").to_string());
    let text = fs::read_to_string(&file).expect("reads").replace(&of.manifest.to_string(), &foreign);
    fs::write(&file, text).expect("writes");
    record(&file);
    let two = ["compact", "elsewhere"].map(|name| run_of(home, name));
    let error = format!("{:#}", Comparison::of(&two).expect_err("two data sets"));
    assert!(error.contains(&foreign) && error.contains(&of.manifest.to_string()), "{error}");
    assert!(PairedRuns::of(&two, &accepted).is_err());

    let write = |names: &[&str], into: &str| {
        let runs: Vec<RunFolder> = names.iter().map(|name| work.run(name)).collect();
        Report::new(&work, &runs, None).expect("reports").write(home.join(into)).expect("writes");
        read_report(&home.join(into))
    };
    let (_, json) = write(&["compact", "elsewhere"], "two");
    let left = json["left_out"].to_string();
    assert!(left.contains("the run elsewhere") && left.contains(&foreign), "{left}");
    assert!(!json["runs"]["compact"].is_null() && json["runs"]["elsewhere"].is_null());
    // Without runs the report has advice.
    let (html, json) = write(&[], "none");
    assert!(html.contains("covid-ct train") && json["data"]["files"].as_u64().is_some() && json["runs"].is_null());
    parses_and_fetches_nothing(&home.join("none/report.html"));
    assert!(Report::new(&work, &[work.run("nothing")], None).is_err());
}

fn run_of(home: &Path, name: &str) -> RunFolder {
    RunFolder::at(home.join("runs/phantom").join(name))
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("lists").flatten() {
        fs::copy(entry.path(), to.join(entry.file_name())).expect("copies");
    }
}
