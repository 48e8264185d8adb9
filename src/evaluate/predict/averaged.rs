//! The predictions of several networks, averaged.

use super::{About, Predictions, SlicePrediction};
use crate::base::errors::{Context, Result, bail, ensure};
use crate::base::files::Digest;

impl Predictions {
    /// The mean over several networks of each slice's covid probability, as the predictions of a network named `run` with
    /// the joint hash of the weights (SHA-256 over the networks' hashes in their order).
    ///
    /// # Errors
    /// No predictions, or predictions of different subsets, manifests, splits or slices; both runs are named.
    pub fn averaged(run: &str, networks: &[Self]) -> Result<Self> {
        let first = networks.first().with_context(|| format!("averaging predictions as {run}: found none"))?;
        for other in networks {
            first.same_slices(other).with_context(|| format!("averaging predictions as {run}"))?;
        }
        let mean = |(index, row): (usize, &SlicePrediction)| {
            let sum: f64 = networks.iter().map(|network| f64::from(network.rows[index].covid)).sum();
            SlicePrediction { covid: (sum / networks.len() as f64) as f32, ..row.clone() }
        };
        let rows = first.rows.iter().enumerate().map(mean).collect();
        let weights = Digest::joint(networks.iter().map(|network| network.about.weights));
        let about = About { run: run.to_owned(), weights, ..first.about.clone() };
        Ok(Self::new(about, rows))
    }

    fn same_slices(&self, other: &Self) -> Result<()> {
        let (a, b) = (&self.about, &other.about);
        ensure!(a.subset == b.subset, "{} predicted the {} subset, {} the {} subset", a.run, a.subset, b.run, b.subset);
        for (noun, of_a, of_b) in [("manifest", a.manifest, b.manifest), ("split", a.split, b.split)] {
            ensure!(of_a == of_b, "{} has the {noun} {of_a}, {} has {of_b}", a.run, b.run);
        }
        let counts = (self.rows.len(), other.rows.len());
        ensure!(counts.0 == counts.1, "{} predicted {} slices, {} {}", a.run, counts.0, b.run, counts.1);
        let differs = self.rows.iter().zip(&other.rows).find(|(a, b)| (&a.path, a.label) != (&b.path, b.label));
        if let Some((of_a, of_b)) = differs {
            let label = |row: &SlicePrediction| row.label.map_or("no label".to_owned(), |label| label.to_string());
            bail!(
                "{} predicted {} ({}), {} in its place {} ({})",
                a.run,
                of_a.path,
                label(of_a),
                b.run,
                of_b.path,
                label(of_b)
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::manifest::Label;
    use crate::data::split::Subset;

    fn predictions(run: &str, covid: [f32; 2]) -> Predictions {
        let about = About {
            run: run.to_owned(),
            subset: Subset::Test,
            leaks: Vec::new(),
            weights: Digest::of(run.as_bytes()),
            manifest: Digest::of(b"manifest"),
            split: Digest::of(b"split"),
        };
        let rows = [(1, covid[0]), (2, covid[1])].map(|(number, covid)| SlicePrediction {
            path: format!("train/covid/ct_scan_0/{number}.jpg"),
            scan: "train/covid/ct_scan_0".to_owned(),
            patient: None,
            label: Some(Label::Covid),
            covid,
        });
        Predictions::new(about, rows.to_vec())
    }

    #[test]
    fn averaged_by_hand() {
        let (a, b) = (predictions("a", [0.25, 1.0]), predictions("b", [0.75, 0.5]));
        let averaged = Predictions::averaged("both", &[a.clone(), b.clone()]).expect("averages");
        let covid: Vec<f32> = averaged.rows().iter().map(|row| row.covid).collect();
        assert_eq!(covid, [0.5, 0.75]);
        assert_eq!(averaged.rows()[1], SlicePrediction { covid: 0.75, ..a.rows()[1].clone() });
        let weights = Digest::of(&[a.about.weights.0, b.about.weights.0].concat());
        assert_eq!(averaged.about, About { run: "both".to_owned(), weights, ..a.about.clone() });
        let one = Predictions::averaged("one", std::slice::from_ref(&a)).expect("averages");
        assert_eq!(one.rows(), a.rows());
    }

    #[test]
    fn predictions_of_other_slices_are_refused() {
        let a = predictions("a", [0.0, 1.0]);
        let refused = |change: &dyn Fn(&mut Predictions)| {
            let mut b = predictions("b", [0.5, 0.5]);
            change(&mut b);
            format!("{:#}", Predictions::averaged("both", &[a.clone(), b]).expect_err("refused"))
        };
        assert!(refused(&|b| b.about.subset = Subset::Validation).contains("b the validation subset"));
        assert!(refused(&|b| b.about.split = Digest::of(b"other")).contains("a has the split"));
        assert!(refused(&|b| b.about.manifest = Digest::of(b"other")).contains("a has the manifest"));
        assert!(refused(&|b| _ = b.rows.pop()).contains("a predicted 2 slices, b 1"));
        let other = refused(&|b| b.rows[1].label = None);
        assert!(other.contains("2.jpg (covid), b in its place") && other.contains("(no label)"), "{other}");
        assert!(Predictions::averaged("none", &[]).is_err());
    }
}
