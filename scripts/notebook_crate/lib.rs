//! The library and all that it needs as one shared library. A cell that had each of 300 crates linked into it took half a
//! second longer to link, was 25 MB long, and had its own copy of every global variable.

pub use covid_ct::*;
