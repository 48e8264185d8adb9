//! The numbers behind a figure, as CSV.

use crate::base::escape::csv_text;

/// Rows of texts and numbers under their columns' names.
#[derive(Debug, Clone)]
pub(crate) struct Csv(String);

impl Csv {
    pub(crate) fn new(columns: &[&str]) -> Self {
        Self(columns.join(",") + "\n")
    }

    /// Adds a row: texts first, then numbers, which are empty where undefined.
    pub(crate) fn row(&mut self, texts: &[&str], numbers: &[Option<f64>]) {
        let texts = texts.iter().map(|text| quoted(&csv_text(text)));
        let numbers = numbers.iter().map(|number| number.map_or(String::new(), |number| number.to_string()));
        self.0 += &texts.chain(numbers).collect::<Vec<_>>().join(",");
        self.0.push('\n');
    }

    pub(super) fn text(self) -> String {
        self.0
    }
}

fn quoted(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_and_undefined_numbers_empty() {
        let mut csv = Csv::new(&["run", "subset", "x", "y"]);
        csv.row(&["a, \"b\"", "test"], &[Some(0.1), None]);
        csv.row(&["=1+1", "test"], &[Some(2.0), Some(-1e-9)]);
        assert_eq!(csv.text(), "run,subset,x,y\n\"a, \"\"b\"\"\",test,0.1,\n'=1+1,test,2,-0.000000001\n");
    }
}
