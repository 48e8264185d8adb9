//! Seeds of a tiny run.

use super::*;
use crate::evaluate::decision_rules::RuleKind;
use crate::evaluate::several_runs::tests::{tiny, workspace};

fn config() -> RunConfig {
    let mut config = tiny();
    config.split.test_fraction = 0.4;
    config
}

#[test]
fn seeds_share_a_split_and_their_average_is_the_mean_of_their_probabilities() {
    let folder = tempfile::tempdir().expect("a folder");
    let work = workspace(folder.path());
    let found = SeedAverage::run(&work, &config(), &[1, 7], |_| ()).expect("averages");
    let common = work.run("fcn-seeds");
    for subset in [Subset::Validation, Subset::Test] {
        let averaged = common.predictions(subset).expect("reads");
        let [a, b] = ["fcn-seed1", "fcn-seed7"].map(|run| work.run(run).predictions(subset).expect("reads"));
        assert!(a.rows() != b.rows(), "another seed gives another network");
        assert_eq!((a.about.split, averaged.about.split), (b.about.split, a.about.split));
        for ((row, a), b) in averaged.rows().iter().zip(a.rows()).zip(b.rows()) {
            assert_eq!((&row.path, &row.path), (&a.path, &b.path));
            assert_eq!(row.covid, ((f64::from(a.covid) + f64::from(b.covid)) / 2.0) as f32);
        }
        assert_eq!(found.averaged.weights, averaged.about.weights);
    }
    assert_eq!(
        found.rule,
        ScanRule::choose(&common.predictions(Subset::Validation).expect("reads"), RuleKind::ShareOfSlices)
            .expect("chooses")
    );
    for seed in &found.seeds {
        // The same figures as the run's own assessment states.
        let own = work.run(&seed.run).assessment().expect("reads");
        assert!(seed.subsets.len() == 2 && seed.subsets.iter().zip(&own.subsets).all(|(a, b)| a.scans == b.scans));
        for (of, averaged) in seed.subsets.iter().zip(&found.averaged.subsets) {
            let difference = of.averaged_minus_this.get(Measure::RocAuc);
            let [single, average] = [&of.scans, &averaged.scans].map(|of| of.get(Measure::RocAuc).value);
            assert_eq!((difference.a, difference.b), (single, average));
        }
    }
    let table = found.table();
    let first: Vec<&str> = table.rows().iter().map(|row| row[0].as_str()).collect();
    assert_eq!(first, ["Seed 1", "Seed 7", "Mean of the seeds", "Averaged network"]);
    assert!(table.columns().len() == 5 && found.paired_table().rows().len() == 4);
    assert_eq!(common.seed_average().expect("reads"), found);
    // Finished runs are recognised, and give the same numbers.
    assert_eq!(SeedAverage::run(&work, &config(), &[1, 7], |_| ()).expect("averages"), found);
}

#[test]
fn one_seed_or_the_same_twice_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let work = Workspace::at(Some(folder.path().to_owned()), Some(folder.path().to_owned())).expect("opens");
    let error =
        |seeds: &[u64]| format!("{:#}", SeedAverage::run(&work, &config(), seeds, |_| ()).expect_err("refused"));
    assert!(error(&[3]).contains("expected 2 to 100 seeds, found 1"));
    assert!(error(&[3, 4, 3]).contains("expected different seeds, found [3, 4, 3]"));
}
