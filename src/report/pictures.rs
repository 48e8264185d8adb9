//! Figures inside the page.

use crate::base::figure::Figure;
use crate::base::table::Show;

/// The figure as HTML.
pub(super) fn embedded(figure: &Figure) -> String {
    figure.html()
}
