//! The report as one HTML page.

use super::{Report, Section};
use crate::base::table::document;
use maud::{PreEscaped, html};

impl Report {
    pub(super) fn page(&self) -> String {
        let (version, torch) = (env!("CARGO_PKG_VERSION"), crate::nn::device::libtorch_version());
        let body = html! {
            header {
                h1 { (self.title) }
                p.small { "Made by covid-ct " (version) " with libtorch " (torch) ". For research, not for diagnosis." }
                nav { ol {
                    @for Section { anchor, heading, .. } in &self.sections {
                        li { a href={ "#" (anchor) } { (heading) } }
                    }
                } }
            }
            main {
                @for Section { anchor, heading, html } in &self.sections {
                    section id=(anchor) { h2 { (heading) } (PreEscaped(html)) }
                }
            }
        };
        document(&self.title, STYLE, &body) + "\n"
    }
}

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:15px/1.5 system-ui,sans-serif;max-width:1160px;margin:2em auto;padding:0 1.2em;background:Canvas;color:CanvasText}\
h1{font-size:1.7em;margin-bottom:.1em}h2{margin-top:2em;border-bottom:1px solid #8886;padding-bottom:.2em}h3{margin-top:1.6em}\
nav ol{padding-left:1.6em;columns:2}.small{font-size:12px;opacity:.75;overflow-wrap:anywhere}\
.warning{border-left:5px solid #d55e00;padding:.5em 1em;background:#d55e0022;font-weight:600}\
.row{display:flex;flex-wrap:wrap;gap:1.2em;align-items:flex-start}.row>*{flex:1 1 400px;max-width:640px}.three{display:grid;grid-template-columns:repeat(3,minmax(0,1fr))}.three pre{font-size:10.5px}\
figure{margin:.6em 0}figure img{background:#fff;border-radius:4px}pre{font-size:13px;overflow-x:auto}\
.covid-ct{overflow-x:auto}\
@page{size:A4;margin:14mm}\
@media (prefers-color-scheme:dark){.warning{background:#d55e0040}figure img{opacity:.92}}\
@media print{:root{color-scheme:light}*{print-color-adjust:exact;-webkit-print-color-adjust:exact}.covid-ct,pre{overflow:visible!important}pre{white-space:pre-wrap}\
body{max-width:none;margin:0;font-size:11px}figure,tr{break-inside:avoid}\
h2,h3,.covid-ct>div:has(+table){break-after:avoid}nav{display:none}.row>*{flex-basis:45%}.three{grid-template-columns:repeat(2,minmax(0,1fr))}.three pre{font-size:8px}table,figcaption,.covid-ct>div{font-size:9px!important}\
td,th{padding:2px 4px!important}}";
