//! The phantom with what real data brings: every planted case is found, and nothing else.

use crate::support::{folder, silent};
use covid_ct::{Audit, Check, Manifest, PhantomConfig, draw_phantom};
use std::collections::BTreeMap;

#[test]
fn every_case_is_found_as_often_as_it_was_planted_and_nothing_else() {
    let folder = folder();
    let root = folder.path().join("field");
    let config = PhantomConfig {
        size: 256,
        train_scans: 12,
        val_scans: 5,
        prediction_scans: 3,
        defects: false,
        field_cases: true,
        ..PhantomConfig::default()
    };
    let phantom = draw_phantom(&root, &config, silent).expect("draws");
    let manifest = Manifest::scan(&root, silent).expect("scans");
    let audit = Audit::run(&manifest, silent).expect("audits");
    let mut planted: BTreeMap<&str, usize> = BTreeMap::new();
    for case in &phantom.defects {
        *planted.entry(&case.check).or_default() += 1;
        let told = |of: &covid_ct::Finding| {
            case.paths.iter().all(|path| [Some(&of.path), of.with.as_ref()].contains(&Some(path)))
        };
        let found = || audit.findings().iter().filter(|of| of.check.name() == case.check);
        assert!(found().any(told), "{case:#?}: found {:#?}", found().collect::<Vec<_>>());
    }
    for check in Check::ALL {
        let expected = planted.get(check.name()).copied().unwrap_or(0);
        assert_eq!(audit.count(*check), expected, "{check}: {}", audit.details(*check));
    }
}
