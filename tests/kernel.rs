//! How the kernel builds cells: what cargo had rustc do is done again as long as nothing has changed, and no longer.

use crate::support::folder;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const CELLS: &str = "[lib]\npath = \"src/lib.rs\"\n[dependencies]\ncovid-ct = { path = \"/somewhere\" }\n";

/// A slot with a repository beside it, a cargo that asks for one compilation, and a rustc that can be made to fail.
struct Slot {
    root: tempfile::TempDir,
}

impl Slot {
    fn new() -> Self {
        let slot = Self { root: folder() };
        for name in [".cargo", "slot/.cargo", "slot/out", "repository/src"] {
            fs::create_dir_all(slot.path(name)).expect("a folder");
        }
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
        std::os::unix::fs::symlink(scripts, slot.path("repository/scripts")).expect("a link");
        for name in [
            ".cargo/config.toml",
            "slot/Cargo.lock",
            "slot/.cargo/config.toml",
            "repository/src/lib.rs",
            "repository/build.rs",
        ] {
            slot.write(name, "");
        }
        slot.write("repository/Cargo.toml", "");
        slot.write("slot/Cargo.toml", CELLS);
        let out = slot.path("slot/out").display().to_string();
        let cargo = format!(
            "echo $1 >>calls\n[ $1 = build ] || exit 0\nexport CARGO_PKG_NAME='it is'\nexec $RUSTC_WRAPPER $RUSTC --crate-name ctx \"it's\" \
             --out-dir {out}\n"
        );
        slot.program("cargo", &cargo);
        slot.program(
            "rustc",
            "echo \"rustc $3 $CARGO_PKG_NAME\" >>calls\ncat fails >&2 2>/dev/null && exit 7\ntouch out/libctx.so\n",
        );
        slot
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("writes");
    }

    fn program(&self, name: &str, lines: &str) {
        self.write(name, &format!("#!/bin/sh\n{lines}"));
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).expect("permissions");
    }

    /// Says what was called for `cargo build`, and how it ended.
    fn build(&self) -> (String, Output) {
        _ = fs::remove_file(self.path("slot/calls"));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/kernel_build.sh");
        let output = Command::new("sh")
            .arg(script)
            .args([self.path("repository"), self.path("cargo")])
            .args(["build", "--message-format=json"])
            .env("RUSTC", self.path("rustc"))
            .env_remove("RUSTC_WRAPPER")
            .current_dir(self.path("slot"))
            .output()
            .expect("a shell");
        let calls = fs::read_to_string(self.path("slot/calls")).unwrap_or_default();
        (calls.replace('\n', ", "), output)
    }

    fn calls(&self) -> String {
        // Times of files tell milliseconds apart, at the least.
        std::thread::sleep(std::time::Duration::from_millis(20));
        self.build().0
    }
}

const BY_CARGO: &str = "build, rustc it's it is, ";
const DIRECTLY: &str = "rustc it's it is, ";

#[test]
fn a_cell_is_compiled_as_cargo_did_until_something_changes() {
    let slot = Slot::new();
    assert_eq!(slot.calls(), BY_CARGO);
    let (calls, output) = slot.build();
    assert_eq!(calls, DIRECTLY);
    let so = slot.path("slot/out/libctx.so").display().to_string();
    assert!(so.len() > 1 && String::from_utf8_lossy(&output.stdout).contains(&format!("\"filenames\":[\"{so}\"]")));
    for changed in [
        "repository/src/lib.rs",
        "repository/Cargo.toml",
        "repository/build.rs",
        "slot/Cargo.lock",
        ".cargo/config.toml",
        "rustc",
    ] {
        std::thread::sleep(std::time::Duration::from_millis(20));
        let text = fs::read_to_string(slot.path(changed)).expect("reads");
        slot.write(changed, &format!("{text}\n# changed\n"));
        assert_eq!(slot.calls(), BY_CARGO, "{changed}");
        assert_eq!(slot.calls(), DIRECTLY, "{changed}");
    }
    slot.write("slot/Cargo.toml", &format!("{CELLS}itoa = \"1\"\n"));
    assert_eq!((slot.calls(), slot.calls()), (BY_CARGO.to_owned(), DIRECTLY.to_owned()));
    slot.write("slot/Cargo.toml", &format!("{CELLS}mine = {{ path = \"/mine\" }}\n"));
    let by_cargo = |calls: String| calls.starts_with("build, ");
    assert!(by_cargo(slot.calls()) && by_cargo(slot.calls()), "a crate that may change is cargo's");
}

#[test]
fn a_cells_error_is_its_own_and_a_missing_crate_is_cargos() {
    let slot = Slot::new();
    assert_eq!(slot.calls(), BY_CARGO);
    slot.write("slot/fails", "{\"message\":\"mismatched types\",\"code\":\"E0308\"}\n");
    let (calls, output) = slot.build();
    assert_eq!((calls.as_str(), output.status.code()), (DIRECTLY, Some(7)));
    assert!(String::from_utf8_lossy(&output.stderr).contains("mismatched types"));
    assert!(output.stdout.is_empty(), "no file is promised");
    slot.write("slot/fails", "{\"message\":\"can't find crate\",\"code\":\"E0463\"}\n");
    assert_eq!(slot.calls(), format!("{DIRECTLY}{BY_CARGO}"));
    fs::remove_file(slot.path("slot/fails")).expect("removes");
    assert_eq!((slot.calls(), slot.calls()), (DIRECTLY.to_owned(), DIRECTLY.to_owned()));
}
