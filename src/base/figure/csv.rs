//! The numbers behind a figure, as CSV.

use crate::base::errors::Result;
use crate::base::escape::csv_text;

/// Rows of texts and numbers under their columns' names.
#[derive(Debug, Clone)]
pub(crate) struct Csv(Vec<Vec<String>>);

impl Csv {
    pub(crate) fn new(columns: &[&str]) -> Self {
        Self(vec![columns.iter().map(ToString::to_string).collect()])
    }

    /// Adds a row: texts first, then numbers, which are empty where undefined.
    pub(crate) fn row(&mut self, texts: &[&str], numbers: &[Option<f64>]) {
        let texts = texts.iter().map(|text| csv_text(text));
        let numbers = numbers.iter().map(|number| number.map_or(String::new(), |number| number.to_string()));
        self.0.push(texts.chain(numbers).collect());
    }

    pub(super) fn text(self) -> Result<String> {
        let mut csv = csv::Writer::from_writer(Vec::new());
        self.0.iter().try_for_each(|row| csv.write_record(row))?;
        Ok(String::from_utf8(csv.into_inner()?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_columns_are_quoted_too() {
        let mut csv = Csv::new(&["slice, counted from 1", "value"]);
        csv.row(&["a"], &[Some(1.0)]);
        assert_eq!(csv.text().expect("writes"), "\"slice, counted from 1\",value\na,1\n");
    }

    #[test]
    fn texts_are_quoted_and_undefined_numbers_empty() {
        let mut csv = Csv::new(&["run", "subset", "x", "y"]);
        csv.row(&["a, \"b\"", "test"], &[Some(0.1), None]);
        csv.row(&["=1+1", "test"], &[Some(2.0), Some(-1e-9)]);
        assert_eq!(
            csv.text().expect("writes"),
            "run,subset,x,y\n\"a, \"\"b\"\"\",test,0.1,\n'=1+1,test,2,-0.000000001\n"
        );
    }
}
