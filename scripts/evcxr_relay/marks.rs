
mod evcxr_relay {
    // Added to every cell by mark_cell.sh: tells the relay how the cell ended, in the file that EVCXR_RELAY names.
    use std::io::Write;

    fn record(kind: &str, fields: &[&str]) -> bool {
        let Some(path) = std::env::var_os("EVCXR_RELAY") else { return false };
        // Not there while evcxr runs its prelude: what is printed then is read by nobody, and evcxr would wait for it forever.
        let Ok(mut file) = std::fs::OpenOptions::new().append(true).open(path) else { return false };
        let clean = |field: &&str| field.replace(['\u{1e}', '\u{1f}'], " ");
        let fields: Vec<String> = fields.iter().map(clean).collect();
        file.write_all(format!("{kind}\u{1f}{}\u{1e}", fields.join("\u{1f}")).as_bytes()).is_ok()
    }

    /// An error that `?` returned from the cell.
    pub fn error<T>(shown: &str) {
        if !record("error", &[std::any::type_name::<T>(), shown]) {
            eprintln!("{shown}");
        }
    }

    /// The cell begins. Panics of its own thread are kept for the relay, which knows in the end whether the cell caught them.
    pub fn begin() {
        if !record("begin", &[]) {
            return;
        }
        let (own, usual) = (std::thread::current().id(), std::panic::take_hook());
        std::panic::set_hook(Box::new(move |panic| {
            let payload = panic.payload();
            let text = payload.downcast_ref::<&str>().copied();
            let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no message)");
            let place = panic.location().map_or(String::new(), |place| place.to_string());
            if std::thread::current().id() != own || !record("panic", &[&place, text]) {
                usual(panic);
            }
        }));
    }

    /// The panic was not caught by the cell.
    pub fn escaped() {
        record("escaped", &[]);
    }

    /// The cell is over: all that it printed comes before these lines.
    pub fn end() {
        if record("end", &[]) {
            println!("\u{1}EVCXR_RELAY_END");
            eprintln!("\u{1}EVCXR_RELAY_END");
        }
    }
}
