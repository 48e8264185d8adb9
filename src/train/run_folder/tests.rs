//! A run's folder.

use super::*;
use std::collections::BTreeSet;

#[test]
fn every_machine_that_a_run_was_trained_on_is_recorded_once() {
    let temporary = tempfile::tempdir().expect("a folder");
    let folder = RunFolder::at(temporary.path());
    let record = |machine: &Provenance, resumed| {
        folder.record_provenance(machine.clone(), resumed).expect("writes");
        folder.provenance().expect("reads")
    };
    let here = Provenance::here();
    assert_eq!(record(&here, false), std::slice::from_ref(&here));
    // The same machine at another time adds nothing, another machine does, and a new run starts a new list.
    let later = Provenance { when: "2100-01-01 00:00".to_owned(), ..here.clone() };
    assert_eq!(record(&later, true), std::slice::from_ref(&here));
    let elsewhere = Provenance { processor: "another".to_owned(), ..later.clone() };
    assert_eq!(record(&elsewhere, true), [here, elsewhere.clone()]);
    assert_eq!(record(&later, false), [later]);
}

#[test]
fn file_names_are_unique() {
    let of_subsets = Subset::ALL.into_iter().flat_map(Artifact::of_subset);
    let all: Vec<Artifact> = of_subsets.chain(Artifact::ONCE).collect();
    let names: BTreeSet<String> = all.iter().map(|artifact| artifact.file_name()).collect();
    assert_eq!(names.len(), all.len(), "{names:?}");
}
