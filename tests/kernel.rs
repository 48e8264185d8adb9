//! How the kernel builds cells: the rustc call that cargo made is repeated as long as nothing has changed, and no
//! longer.

use crate::support::folder;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

const CELLS: &str = "[lib]\npath = \"src/lib.rs\"\n[dependencies]\ncovid-ct = { path = \"/somewhere\" }\n";

/// A slot next to a repository, a cargo that asks for one compilation, and a rustc that can be made to fail.
struct Slot {
    root: tempfile::TempDir,
}

impl Slot {
    fn new() -> Self {
        let slot = Self { root: folder() };
        for name in [
            ".cargo",
            "home",
            "clone/.cargo",
            "clone/slot/.cargo",
            "clone/slot/out",
            "repository/src",
            "repository/data_manifest",
        ] {
            fs::create_dir_all(slot.path(name)).expect("a folder");
        }
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
        std::os::unix::fs::symlink(scripts, slot.path("repository/scripts")).expect("a link");
        for name in [
            ".cargo/config.toml",
            "home/config.toml",
            "clone/.cargo/config.toml",
            "clone/slot/Cargo.lock",
            "clone/slot/.cargo/config.toml",
            "clone/slot/out/liblibrary.so",
            "repository/data_manifest/prices.json",
            "repository/src/lib.rs",
            "repository/build.rs",
        ] {
            slot.write(name, "");
        }
        slot.write("repository/Cargo.toml", "");
        slot.write("clone/slot/Cargo.toml", CELLS);
        let out = slot.path("clone/slot/out").display().to_string();
        let cargo = format!(
            "echo $1 >>calls\n[ $1 = build ] || exit 0\nexport CARGO_PKG_NAME='it is'\nexec $RUSTC_WRAPPER $RUSTC --crate-name ctx \"it's\" \
             --out-dir {out} --extern library={out}/liblibrary.so\n"
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

    /// The calls of `cargo build`, and its exit status.
    fn build(&self) -> (String, Output) {
        self.build_with(&[])
    }

    /// The same with these environment variables.
    fn build_with(&self, variables: &[(&str, &str)]) -> (String, Output) {
        _ = fs::remove_file(self.path("clone/slot/calls"));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/kernel_build.sh");
        let output = Command::new("sh")
            .arg(script)
            .args([self.path("repository"), self.path("cargo")])
            .args(["build", "--message-format=json"])
            .env("RUSTC", self.path("rustc"))
            .env("CARGO_HOME", self.path("home"))
            .env_remove("RUSTC_WRAPPER")
            .envs(variables.iter().copied())
            .current_dir(self.path("clone/slot"))
            .output()
            .expect("a shell");
        let calls = fs::read_to_string(self.path("clone/slot/calls")).unwrap_or_default();
        (calls.replace('\n', ", "), output)
    }

    fn calls(&self) -> String {
        tick();
        self.build().0
    }

    fn change(&self, name: &str) {
        tick();
        let text = fs::read_to_string(self.path(name)).expect("reads");
        self.write(name, &format!("{text}\n# changed\n"));
    }
}

/// Times of files differ after some milliseconds only.
fn tick() {
    std::thread::sleep(Duration::from_millis(20));
}

const BY_CARGO: &str = "build, rustc it's it is, ";
const DIRECTLY: &str = "rustc it's it is, ";

#[test]
fn a_cell_is_compiled_as_cargo_did_until_something_changes() {
    let slot = Slot::new();
    assert_eq!(slot.calls(), BY_CARGO);
    let (calls, output) = slot.build();
    assert_eq!(calls, DIRECTLY);
    let so = slot.path("clone/slot/out/libctx.so").display().to_string();
    assert!(so.len() > 1 && String::from_utf8_lossy(&output.stdout).contains(&format!("\"filenames\":[\"{so}\"]")));
    for changed in [
        // The library and what is compiled into it.
        "repository/src/lib.rs",
        "repository/Cargo.toml",
        "repository/build.rs",
        "repository/data_manifest/prices.json",
        "clone/slot/out/liblibrary.so",
        // Versions of crates.
        "clone/slot/Cargo.lock",
        // Flags: the slot's, the clone's, those of a folder above, the user's.
        "clone/slot/.cargo/config.toml",
        "clone/.cargo/config.toml",
        ".cargo/config.toml",
        "home/config.toml",
        // The toolchain.
        "rustc",
        "cargo",
    ] {
        slot.change(changed);
        assert_eq!(slot.calls(), BY_CARGO, "{changed}");
        assert_eq!(slot.calls(), DIRECTLY, "{changed}");
    }
}

#[test]
fn a_library_put_in_place_with_an_old_time_is_a_change() {
    let slot = Slot::new();
    assert_eq!((slot.calls(), slot.calls()), (BY_CARGO.to_owned(), DIRECTLY.to_owned()));
    for name in ["repository/src/lib.rs", "clone/slot/out/liblibrary.so", "rustc"] {
        slot.change(name);
        let old = SystemTime::now() - Duration::from_secs(86_400);
        let file = fs::File::options().write(true).open(slot.path(name)).expect("opens");
        file.set_modified(old).expect("a time");
        drop(file);
        assert_eq!((slot.calls(), slot.calls()), (BY_CARGO.to_owned(), DIRECTLY.to_owned()), "{name}");
    }
    // Of the same length and time, but another file: a library of other flags has the same name.
    let library = slot.path("clone/slot/out/liblibrary.so");
    let (text, time) = (fs::read(&library).expect("reads"), fs::metadata(&library).and_then(|of| of.modified()));
    let other = slot.path("other.so");
    fs::write(&other, vec![b'x'; text.len()]).expect("writes");
    fs::File::options().write(true).open(&other).and_then(|file| file.set_modified(time?)).expect("a time");
    fs::rename(other, library).expect("replaces");
    assert_eq!((slot.calls(), slot.calls()), (BY_CARGO.to_owned(), DIRECTLY.to_owned()));
}

#[test]
fn every_file_that_the_library_includes_is_watched() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut folders, mut included) = (vec![root.join("src")], Vec::new());
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).expect("a folder").map(|item| item.expect("an item").path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = fs::read_to_string(path).expect("reads");
                let marks = text.split("include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/").skip(1);
                included.extend(marks.filter_map(|rest| rest.split_once('"')).map(|(name, _)| name.to_owned()));
            }
        }
    }
    assert!(included.contains(&"data_manifest/gcp-prices.json".to_owned()), "{included:?}");
    let script = fs::read_to_string(root.join("scripts/kernel_build.sh")).expect("reads");
    for name in included {
        let watched = |name: &Path| script.contains(&format!("\"$repository/{}\"", name.display()));
        // Its folders hold audits of this clone's own data, and change without the library.
        let folder = name.strip_prefix("data_manifest/").filter(|file| file.ends_with(".json") && !file.contains('/'));
        let as_json = folder.is_some() && script.contains("\"$repository\"/data_manifest/*.json");
        assert!(as_json || Path::new(&name).ancestors().any(watched), "scripts/kernel_build.sh does not watch {name}");
    }
}

#[test]
fn another_dep_is_cargos() {
    let slot = Slot::new();
    assert_eq!((slot.calls(), slot.calls()), (BY_CARGO.to_owned(), DIRECTLY.to_owned()));
    for dep in [
        "itoa = \"1\"",
        "itoa = \"1.0.10\"",
        "itoa = { version = \"1\", features = [\"no-panic\"] }",
        "itoa = { git = \"https://example.org/itoa\" }",
        "",
    ] {
        slot.write("clone/slot/Cargo.toml", &format!("{CELLS}{dep}\n"));
        assert_eq!((slot.calls(), slot.calls()), (BY_CARGO.to_owned(), DIRECTLY.to_owned()), "{dep}");
    }
    slot.write("clone/slot/Cargo.toml", &format!("{CELLS}mine = {{ path = \"/mine\" }}\n"));
    let by_cargo = |calls: String| calls.starts_with("build, ");
    assert!(by_cargo(slot.calls()) && by_cargo(slot.calls()), "a crate that may change is cargo's");
}

#[test]
fn another_environment_is_cargos() {
    let slot = Slot::new();
    fs::copy(slot.path("rustc"), slot.path("other-rustc")).expect("copies");
    let other = slot.path("other-rustc").display().to_string();
    assert_eq!((slot.calls(), slot.calls()), (BY_CARGO.to_owned(), DIRECTLY.to_owned()));
    for variable in [
        ("RUSTFLAGS", "-Copt-level=2"),
        ("RUSTC", other.as_str()),
        ("CARGO_PROFILE_DEV_OPT_LEVEL", "1"),
        ("LIBTORCH", "/another/torch"),
        ("CXXFLAGS", "-O1"),
        ("MINE", "of `:build_env`, in\ntwo lines"),
    ] {
        tick();
        let calls = || slot.build_with(&[variable]).0;
        assert_eq!((calls(), calls()), (BY_CARGO.to_owned(), DIRECTLY.to_owned()), "{variable:?}");
    }
    assert_eq!((slot.calls(), slot.calls()), (BY_CARGO.to_owned(), DIRECTLY.to_owned()));
    let calls = slot.build_with(&[("JPY_PARENT_PID", "1234")]).0;
    assert_eq!(calls, DIRECTLY, "a kernel's own number is of no matter");
}

#[test]
fn a_cells_error_is_its_own_and_a_missing_crate_is_cargos() {
    let slot = Slot::new();
    assert_eq!(slot.calls(), BY_CARGO);
    slot.write("clone/slot/fails", "{\"message\":\"mismatched types\",\"code\":\"E0308\"}\n");
    let (calls, output) = slot.build();
    assert_eq!((calls.as_str(), output.status.code()), (DIRECTLY, Some(7)));
    assert!(String::from_utf8_lossy(&output.stderr).contains("mismatched types"));
    assert!(output.stdout.is_empty(), "no file is promised");
    slot.write("clone/slot/fails", "{\"message\":\"can't find crate\",\"code\":\"E0463\"}\n");
    assert_eq!(slot.calls(), format!("{DIRECTLY}{BY_CARGO}"));
    fs::remove_file(slot.path("clone/slot/fails")).expect("removes");
    assert_eq!((slot.calls(), slot.calls()), (DIRECTLY.to_owned(), DIRECTLY.to_owned()));
}
