//! The report as one HTML page.

use super::{Report, Section};
use crate::base::table::escape;

impl Report {
    pub(super) fn page(&self) -> String {
        let contents: String = self
            .sections
            .iter()
            .map(|Section { anchor, heading, .. }| format!("<li><a href=\"#{anchor}\">{}</a></li>", escape(heading)))
            .collect();
        let body: String = self
            .sections
            .iter()
            .map(|Section { anchor, heading, html }| {
                format!("<section id=\"{anchor}\"><h2>{}</h2>{html}</section>", escape(heading))
            })
            .collect();
        format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"/>\
             <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"/>\
             <title>{title}</title><style>{STYLE}</style></head><body><header><h1>{title}</h1>\
             <p class=\"small\">Made by covid-ct {version} with libtorch {torch}. For research, not for \
             diagnosis.</p><nav><ol>{contents}</ol></nav></header><main>{body}</main></body></html>\n",
            title = escape(&self.title),
            version = env!("CARGO_PKG_VERSION"),
            torch = escape(&crate::nn::device::libtorch_version()),
        )
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
