//! The audit of real slices: what is found on them is there to see.

use crate::support::silent;
use covid_ct::{Audit, Check};
use std::path::Path;

#[test]
fn real_slices_are_taken_for_nothing_else() {
    let real = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/ct");
    if !real.is_dir() {
        println!("NOT EXERCISED: there are no real slices here ({} is missing)", real.display());
        return;
    }
    let (audit, _) = Audit::in_one_pass(&real, None, silent).expect("audits");
    assert_eq!(audit.manifest().slices.len(), 1968);
    let others = [
        Check::TextPage,
        Check::MaskPicture,
        Check::Noise,
        Check::SeveralSlices,
        Check::LocalizerPicture,
        Check::Blurred,
        Check::Overexposed,
    ];
    for check in others {
        assert_eq!(audit.count(check), 0, "{}", audit.details(check));
    }
    // Pictures from journals, with letters, frames and white edges; of the annotations one is a bright thing beside the
    // patient.
    let counts = [Check::Annotated, Check::Borders].map(|check| audit.count(check));
    assert_eq!(counts, [26, 199], "{}", audit.details(Check::Annotated));
}
