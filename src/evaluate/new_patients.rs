//! What is known of a network on patients that it has not seen, in one sentence.

use crate::base::progress::counted;
use crate::data::split::Subset;
use crate::evaluate::assessment::{Assessed, Assessment, estimated};
use crate::stats::metrics::Measure;

/// Whether a test set shows that a network ranks scans better than chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AgainstChance {
    /// The 95 % interval of the scan AUC lies above 0.5.
    Better,
    /// It holds 0.5.
    NotShown,
    /// It lies below.
    Worse,
}

impl AgainstChance {
    /// `None` where the test set has one label only.
    pub(crate) fn of(test: &Assessed) -> Option<Self> {
        let interval = test.scans.get(Measure::RocAuc).interval?;
        Some(match () {
            () if interval.low > 0.5 => Self::Better,
            () if interval.high < 0.5 => Self::Worse,
            () => Self::NotShown,
        })
    }
}

impl Assessment {
    /// What the test set says of new patients, with a warning where that is little.
    pub fn on_new_patients(&self) -> String {
        let Some(test) = self.subset(Subset::Test) else {
            return "WARNING: the run has no test set: how good the network is on new patients is not known."
                .to_owned();
        };
        if self.leaks.contains(&Subset::Test) {
            return "WARNING: LEAK: the network learned from scans of its test set: how good it is on new patients is not \
                    known."
                .to_owned();
        }
        let scans = counted(test.scans.samples as u64, "test scan");
        let area = estimated(test.scans.get(Measure::RocAuc));
        match AgainstChance::of(test) {
            None => format!(
                "WARNING: tested on {scans} of one label: how good the network is on new patients is not known."
            ),
            Some(AgainstChance::Better) => {
                format!("On {scans} of new patients its scan AUC was {area}; 0.5 is chance.")
            }
            Some(AgainstChance::NotShown) => format!(
                "WARNING: on {scans} of new patients the network was not shown to be better than chance: scan AUC {area}, and \
                 0.5 is chance. It is no better, or the scans are too few to show it."
            ),
            Some(AgainstChance::Worse) => format!(
                "WARNING: on {scans} of new patients the network was worse than chance: scan AUC {area}, and 0.5 is chance."
            ),
        }
    }
}
