//! Text from outside (names of files, scans, patients; other programs' messages) made safe for each output: it is never
//! markup there, and what cannot be seen is shown as an escape such as `\n`.

use std::collections::BTreeSet;
use std::ffi::OsStr;

/// How every word begins that the notebook takes for its own in what a cell prints, wherever it stands in a line.
const PROTOCOL: &str = "EVCXR_";
const SHOWN_PROTOCOL: &str = "EVCXR\\u{5f}";

/// Characters that are not seen, or that change how the text around them is read: control characters, line and paragraph
/// separators, marks of writing direction, characters without width, and those that XML does not allow.
fn is_hidden(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}' | '\u{e0000}'..='\u{e007f}')
}

/// The characters in a name that are not seen, each once: `U+000A, U+001B`; `None` without any.
pub(crate) fn hidden_in(name: &str) -> Option<String> {
    let found: BTreeSet<char> = name.chars().filter(|c| is_hidden(*c)).collect();
    let codes: Vec<String> = found.into_iter().map(|c| format!("U+{:04X}", u32::from(c))).collect();
    (!codes.is_empty()).then(|| codes.join(", "))
}

/// Text or a path on one line: a line break is shown as `\n`, an escape character as `\u{1b}`, and so on; words that the
/// notebook would take for its own are broken. Shown text stays as it is, so that it may be shown again.
///
/// ```
/// assert_eq!(covid_ct::visible("ct_scan_3\u{1b}[1m\n"), r"ct_scan_3\u{1b}[1m\n");
/// ```
pub fn visible(text: impl AsRef<OsStr>) -> String {
    shown(&text.as_ref().to_string_lossy(), |_| false)
}

/// The same for text that is laid out in lines.
pub(crate) fn visible_lines(text: &str) -> String {
    shown(text, |c| c == '\n')
}

/// Calls `take` with each hidden character that does not stay and what is seen before it; returns what follows the last.
fn each_hidden(text: &str, stays: impl Fn(char) -> bool, mut take: impl FnMut(&str, char)) -> &str {
    let mut begin = 0;
    for (at, c) in text.char_indices() {
        if is_hidden(c) && !stays(c) {
            take(&text[begin..at], c);
            begin = at + c.len_utf8();
        }
    }
    &text[begin..]
}

fn shown(text: &str, stays: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    let rest = each_hidden(text, stays, |seen, hidden| {
        shown.push_str(seen);
        shown.extend(hidden.escape_default());
    });
    shown.push_str(rest);
    if shown.contains(PROTOCOL) { shown.replace(PROTOCOL, SHOWN_PROTOCOL) } else { shown }
}

/// Text inside HTML and SVG that is put together by hand; the template macro of pages escapes by itself.
pub(crate) fn markup(text: &str) -> String {
    visible(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Text in Markdown: each character stands for itself (CommonMark 2.4, and no address becomes a link).
pub(crate) fn markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in visible(text).chars() {
        if matches!(c, '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '|' | '~' | '&' | '!' | '$') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped.replace("://", "\\://").replace("www.", "www\\.")
}

/// Text in Markdown as code, in which backslashes are letters: fenced by more backticks than it holds in a row.
pub(crate) fn markdown_code(text: &str) -> String {
    let text = visible(text);
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let room = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{fence}{room}{text}{room}{fence}")
}

/// Text as a cell of CSV: spreadsheets take what begins with one of these characters for a formula, and an apostrophe before
/// it for the sign of text. Numbers are not to be passed through here.
pub(crate) fn csv_text(text: &str) -> String {
    let text = visible(text);
    let is_formula = text.trim_start().starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']);
    if is_formula { format!("'{text}") } else { text }
}

/// JSON with the same contents, of which everything can be seen.
pub(crate) fn visible_json(text: String) -> String {
    if text.is_ascii() && !text.contains('\x7f') && !text.contains(PROTOCOL) {
        return text;
    }
    let mut escaped = String::with_capacity(text.len());
    // Between strings JSON has no character to be hidden but the line breaks of its layout.
    let rest = each_hidden(
        &text,
        |c| c == '\n',
        |seen, hidden| {
            escaped.push_str(seen);
            hidden.encode_utf16(&mut [0; 2]).iter().for_each(|unit| escaped += &format!("\\u{unit:04x}"));
        },
    );
    escaped.push_str(rest);
    escaped.replace(PROTOCOL, "EVCXR\\u005f")
}

/// One argument as a POSIX shell reads it back: plain ones as they are, others in single quotes.
///
/// ```
/// assert_eq!(covid_ct::shell_word("data/p24"), "data/p24");
/// assert_eq!(covid_ct::shell_word("my data"), "'my data'");
/// ```
pub fn shell_word(arg: impl AsRef<OsStr>) -> String {
    let arg = arg.as_ref().to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@+%".contains(c);
    if !arg.is_empty() && arg.chars().all(plain) {
        arg.into_owned()
    } else {
        format!("'{}'", arg.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: &str = "\nEVCXR_BEGIN_CONTENT text/html\n<i>x</i>\nEVCXR_END_CONTENT";

    #[test]
    fn what_is_not_seen_is_shown() {
        let shown = [
            ("scan\n\r\t2", r"scan\n\r\t2"),
            ("\u{1b}[1mbold\u{7f}\u{9b}", r"\u{1b}[1mbold\u{7f}\u{9b}"),
            ("a\u{2028}b\u{2029}c\u{85}", r"a\u{2028}b\u{2029}c\u{85}"),
            ("cov\u{202e}txt.\u{2066}\u{200f}", r"cov\u{202e}txt.\u{2066}\u{200f}"),
            ("a\u{200b}b\u{feff}c\u{e0041}\u{ffff}", r"a\u{200b}b\u{feff}c\u{e0041}\u{ffff}"),
            ("Zürich – 1 × 2 ₂ 肺", "Zürich – 1 × 2 ₂ 肺"),
            (r"C:\new", r"C:\new"),
            (BLOCK, r"\nEVCXR\u{5f}BEGIN_CONTENT text/html\n<i>x</i>\nEVCXR\u{5f}END_CONTENT"),
        ];
        for (text, expected) in shown {
            assert_eq!(visible(text), expected);
            assert_eq!(visible(visible(text)), expected, "shown twice");
        }
        assert_eq!(visible(std::path::Path::new("runs/a\nb")), r"runs/a\nb");
        assert_eq!(visible_lines("a\r\n\u{1b}b\n EVCXR_X"), "a\\r\n\\u{1b}b\n EVCXR\\u{5f}X");
        assert_eq!(hidden_in("a\u{200d}b\nc\n").as_deref(), Some("U+000A, U+200D"));
        assert_eq!(hidden_in("ct_scan_3 é"), None);
    }

    #[test]
    fn markup_is_text() {
        assert_eq!(markup("<b>\"x\" & \0"), r"&lt;b&gt;&quot;x&quot; &amp; \u{0}");
        assert_eq!(markdown("a_b*c <b>|`\n[x](y)"), r"a\_b\*c \<b\>\|\`\\n\[x\](y)");
        assert_eq!(markdown("https://a www.b 0.5 -1 #2"), r"https\://a www\.b 0.5 -1 \#2");
        assert_eq!(markdown_code("best.pt"), "`best.pt`");
        assert_eq!(markdown_code("a``b\n`"), r"``` a``b\n` ```");
    }

    #[test]
    fn a_cell_of_csv_is_no_formula() {
        for text in ["=1+1", "+1", "-1", "@x", " =1", "＝1"] {
            assert_eq!(csv_text(text), format!("'{text}"));
        }
        assert_eq!(csv_text("\t=1"), r"\t=1", "a tab is shown, and nothing follows it as a formula");
        for text in ["train/covid/ct_scan_3", "a=1", "1-2", ""] {
            assert_eq!(csv_text(text), text);
        }
    }

    #[test]
    fn json_says_the_same_with_everything_seen() {
        let value = serde_json::json!({ format!("a{BLOCK}"): "\u{1b}\u{7f}\u{9b}\u{202e}\u{2028}\u{e0041}é\\\"" });
        let text = visible_json(serde_json::to_string_pretty(&value).expect("writes"));
        assert!(!text.chars().any(|c| is_hidden(c) && c != '\n') && !text.contains(PROTOCOL), "{text}");
        assert!(text.contains(r"\u009b\u202e\u2028\udb40\udc41é"), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).expect("reads"), value);
        assert_eq!(visible_json("{\"a\": 1}\n".to_owned()), "{\"a\": 1}\n");
    }

    #[test]
    fn a_shell_reads_quoted_arguments_back() {
        let hostile =
            ["", "a b", "it's", "$(touch /tmp/x)", "`id`", "\"$HOME\"", "a\nb", "*", "!!", "~root", "\\", "ü"];
        for arg in hostile {
            let script = format!("printf %s {}", shell_word(arg));
            let output = std::process::Command::new("sh").args(["-c", &script]).output().expect("a shell");
            assert_eq!(String::from_utf8_lossy(&output.stdout), arg);
        }
        assert_eq!(shell_word("--format=value(state)"), "'--format=value(state)'");
        assert_eq!(shell_word("--zone=asia-east1-a"), "--zone=asia-east1-a");
    }
}
