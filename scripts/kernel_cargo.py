#!/usr/bin/env python3
"""The `cargo` that rust-analyzer, inside the kernel, asks for the list of crates; answers with a short list.

To infer the type of a variable, evcxr carries a rust-analyzer that reads the sources of every crate below the library,
about 300 of them: half a minute at every start, two gigabytes, and a second more in every cell. The types that a reader
meets come from few crates. So the answer to `cargo metadata` holds those alone; compiling is not affected. A crate that a
notebook adds with `:dep` is kept, with its dependencies.

Everything else goes to the real cargo. So does `cargo metadata` if anything is unexpected: it is only slower then.
"""
import json, os, subprocess, sys

# The library under the name that cells give it, and itself.
LIBRARY = {"covid-ct-notebook", "covid-ct"}
# Crates that appear in its signatures or are used directly in cells.
VISIBLE = {"anyhow", "tch", "torch-sys", "polars", "polars-core", "polars-error", "polars-utils"}


def shortened(text):
    metadata = json.loads(text)
    names = {package["id"]: package["name"] for package in metadata["packages"]}
    needs = {node["id"]: [d["pkg"] for d in node["deps"]] for node in (metadata.get("resolve") or {}).get("nodes", [])}
    cells = next((i for i, name in names.items() if name == "ctx"), None)
    library = {i for i, name in names.items() if name in LIBRARY}
    if cells is None or len(library) != len(LIBRARY) or cells not in needs:
        return text
    kept = {cells} | library | {i for i, name in names.items() if name in VISIBLE}
    waiting = [i for i in needs[cells] if i not in library]
    while waiting:
        package = waiting.pop()
        kept.add(package)
        waiting += [i for i in needs[package] if i not in kept]
    metadata["packages"] = [package for package in metadata["packages"] if package["id"] in kept]
    nodes = [node for node in metadata["resolve"]["nodes"] if node["id"] in kept]
    for node in nodes:
        node["deps"] = [dependency for dependency in node["deps"] if dependency["pkg"] in kept]
        node["dependencies"] = [i for i in node["dependencies"] if i in kept]
    metadata["resolve"]["nodes"] = nodes
    return json.dumps(metadata)


def main():
    cargo, arguments = os.environ["COVID_CT_CARGO"], sys.argv[1:]
    os.environ["CARGO_HOME"] = os.environ["COVID_CT_CARGO_HOME"]
    if arguments[:1] != ["metadata"]:
        os.execv(cargo, [cargo, *arguments])
    done = subprocess.run([cargo, *arguments], stdout=subprocess.PIPE, text=True)
    try:
        answer = shortened(done.stdout)
    except (ValueError, KeyError, TypeError):
        answer = done.stdout
    sys.stdout.write(answer)
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
