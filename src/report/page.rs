//! The report as one HTML page.

use super::html::with_classes;
use super::{Report, RunLine, Section};
use crate::base::table::document;
use maud::{Markup, PreEscaped, html};

/// The sections that decide, in their order; all others are folded.
const FIRST: [&str; 3] = ["intended-use", "summary", "limits"];

impl Report {
    pub(super) fn page(&self) -> String {
        let (version, torch) = (env!("CARGO_PKG_VERSION"), crate::nn::device::libtorch_version());
        let body = html! {
            header {
                h1 { (self.title) }
                p.small { "Made by covid-ct " (version) " with libtorch " (torch) ". For research, not for diagnosis." }
                nav {
                    "Folded below: "
                    @for section in self.folded() { a href={ "#" (section.anchor) } { (section.heading) } " · " }
                    @for (number, run) in self.runs_in_order() { a href={ "#run-" (number) } { (run.name) } " · " }
                    a href="#top" { "top" }
                }
            }
            main id="top" {
                @for section in FIRST.iter().filter_map(|anchor| self.sections.iter().find(|of| of.anchor == *anchor)) {
                    section id=(section.anchor) { h2 { (section.heading) } (PreEscaped(&section.shared)) }
                }
                section {
                    h2 { "All that was found" }
                    p.unfolded { "Folded; a link from the top opens its part, and `covid-ct report --full` opens all for print." }
                    @for section in self.folded() {
                        (self.fold(section.anchor, html! { (section.heading) }, PreEscaped(section.shared.clone())))
                    }
                    @for (number, run) in self.runs_in_order() {
                        (self.fold(&format!("run-{number}"), html! { (run.name) small { ": " (run.line) } }, self.run(number, run)))
                    }
                }
            }
        };
        let (body, classes) = with_classes(&body.into_string());
        document(&self.title, &(STYLE.to_owned() + &classes), &PreEscaped(body)) + "\n"
    }

    /// The sections of which all runs share something, without the first ones.
    fn folded(&self) -> impl Iterator<Item = &Section> {
        self.sections.iter().filter(|of| !FIRST.contains(&of.anchor) && !of.shared.is_empty())
    }

    /// The runs with their numbers, the leaking ones last.
    fn runs_in_order(&self) -> Vec<(usize, &RunLine)> {
        let mut runs: Vec<(usize, &RunLine)> = self.runs.iter().enumerate().collect();
        runs.sort_by_key(|(_, run)| run.leaking);
        runs
    }

    /// A part that is closed until a link leads into it. The anchor lies inside: browsers open what they go to.
    fn fold(&self, anchor: &str, summary: Markup, inside: Markup) -> Markup {
        html! {
            details open[self.is_full] { summary { (summary) } div id=(anchor) { (inside) } }
        }
    }

    /// What all sections say of one run.
    fn run(&self, number: usize, run: &RunLine) -> Markup {
        html! {
            @if run.leaking { p.warning { "LEAKING SPLIT: " (run.name) " is here for comparison only." } }
            @for section in &self.sections {
                @for (_, part) in section.of_runs.iter().filter(|(of, _)| *of == number) {
                    h3 { (run.name) ": " (section.heading) } (PreEscaped(part))
                }
            }
        }
    }
}

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:15px/1.5 system-ui,sans-serif;max-width:1160px;margin:2em auto;padding:0 1.2em;background:Canvas;color:CanvasText}\
h1{font-size:1.7em;margin-bottom:.1em}h2{margin-top:1.2em;border-bottom:1px solid #8886;padding-bottom:.2em}h3{margin-top:1.6em}\
nav{font-size:13px;line-height:1.9}.small{font-size:12px;opacity:.8;overflow-wrap:anywhere}p{max-width:62em}\
details{border:1px solid #8886;border-radius:6px;margin:.5em 0;padding:0 .9em}summary{cursor:pointer;padding:.45em 0;font-weight:600}\
summary small{font-weight:400;font-size:13px}\
.warning{border-left:5px solid #d55e00;padding:.5em 1em;background:#d55e0022;font-weight:600}\
.row,.beside{display:flex;flex-wrap:wrap;gap:1.2em;align-items:flex-start}.row>*{flex:1 1 400px;max-width:640px;min-width:0}\
.beside>*{flex:0 1 auto;min-width:0}.three{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(300px,100%),1fr))}\
.three pre{font-size:10.5px}figure{margin:.6em 0}figure img{border-radius:4px}pre{font-size:13px;overflow-x:auto}\
.covid-ct{overflow-x:auto}\
@page{size:A4;margin:14mm}\
@media (prefers-color-scheme:dark){.warning{background:#d55e0040}}\
@media print{:root{color-scheme:light}*{print-color-adjust:exact;-webkit-print-color-adjust:exact}.covid-ct,pre{overflow:visible!important}pre{white-space:pre-wrap}\
body{max-width:none;margin:0;font-size:11px}h1{font-size:1.4em;margin-top:0}h2{margin:.6em 0 .3em}p,ul{margin:.3em 0}figure,tr{break-inside:avoid}\
h2,h3,caption{break-after:avoid}nav,.unfolded{display:none}main>section:last-child{break-before:page}details{padding:0 .6em;margin:.2em 0}summary{padding:.2em 0}summary small{font-size:10px}\
.row>*{flex-basis:45%}.beside{gap:.2em}#intended-use h2{display:none}ul{padding-left:1.6em}figure{margin:.2em 0}.three{grid-template-columns:repeat(2,minmax(0,1fr))}.three pre{font-size:8px}table,figcaption,.covid-ct>div{font-size:9px!important}.covid-ct>div,figcaption{max-width:none!important}\
td,th{padding:2px 3px!important}th{white-space:normal!important}}";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::first_pages::FirstPages;
    use serde_json::json;

    /// A leaking run before a sound one.
    fn report() -> Report {
        let line = |name: &str, leaking| RunLine { name: name.to_owned(), line: "FCN".to_owned(), leaking };
        let section = |anchor, heading, shared: &str, of_runs: &[(usize, &str)]| Section {
            anchor,
            heading,
            shared: shared.to_owned(),
            of_runs: of_runs.iter().map(|(run, part)| (*run, (*part).to_owned())).collect(),
        };
        Report {
            title: "covid-ct: drawn".to_owned(),
            first: FirstPages::default(),
            sections: vec![
                section("summary", "Results at a glance", "<p>which</p>", &[]),
                section("data", "Data", "<p>all files</p>", &[]),
                section("limits", "What not to believe, and why", "<p>doubt</p>", &[]),
                section("training", "Training", "", &[(0, "<p>of leaky</p>"), (1, "<p>of sound</p>")]),
            ],
            runs: vec![line("leaky", true), line("sound", false)],
            figures: Vec::new(),
            checklists: Vec::new(),
            json: json!({}),
            is_full: false,
        }
    }

    #[test]
    fn what_decides_is_open_and_the_rest_folded_with_leaking_runs_last() {
        let page = report().page();
        let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text} is not in {page}"));
        let order =
            ["<p>which</p>", "<p>doubt</p>", "<details>", "<p>all files</p>", "<p>of sound</p>", "<p>of leaky</p>"];
        assert!(order.map(at).is_sorted(), "{page}");
        // Training has parts of runs alone, and so no fold of its own.
        assert_eq!((page.matches("<details>").count(), page.matches("<details open>").count()), (3, 0));
        for anchor in ["data", "run-0", "run-1"] {
            assert!(page.contains(&format!("href=\"#{anchor}\"")), "{anchor} is not in {page}");
            let inside = &page[..at(&format!("<div id=\"{anchor}\"></div>").replace("></div>", ">"))];
            assert_eq!(inside.matches("<details>").count(), inside.matches("</details>").count() + 1, "{anchor}");
        }
        let full = report().full().page();
        assert_eq!((full.matches("<details>").count(), full.matches("<details open>").count()), (0, 3));
    }
}
