"""Disks that are full, and limits of the system."""
import os, pathlib, resource, subprocess

import reference as at

MIB = 1 << 20


def space(ref, rng, folder, note):
    """A stage on a disk with too little room, and again when there is room."""
    name, command = rng.choice(at.STAGES)
    used = size(ref.before[name])
    needs = max(size(ref.home) - used, 200_000)
    room = int(rng.uniform(0.0, 1.0) * needs)
    if not can_mount():
        limit = max(512, room // 4)
        return limited(ref, folder, note, (name, command), (resource.RLIMIT_FSIZE, limit), f"files of {limit} bytes")
    disk = folder / "disk"
    disk.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={used + 64 * 1024 + room}", "tmpfs", disk], check=True)
    try:
        return full(ref, disk, note, (name, command), room)
    finally:
        subprocess.run(["umount", "--lazy", disk], check=False)


def full(ref, disk, note, stage, room):
    name, command = stage
    program = ref.workspace(disk / "home", before=name)
    outcome = program.run(*command)
    note(outcome)
    faults = [outcome.misbehaved()]
    if not outcome.ended_well and not outcome.says(str(disk), "report", "exported", "data_manifest", "runs/"):
        faults.append("it failed and names no file")
    subprocess.run(["mount", "-o", f"remount,size={512 * MIB}", disk], check=True)
    again = program.run(*command)
    note(again)
    faults += [again.misbehaved(), *recovered(ref, program.home, again)]
    return f"{name} with room for {room // 1000} KB", faults


def limits(ref, rng, folder, note):
    """A stage with few files open at once, small files, or little memory, and again without the limit."""
    name, command = rng.choice(at.STAGES)
    what = rng.choice(["files", "size", "memory"])
    if what == "files":
        most = rng.choice([3, 4, 5, 6, 8, 10, 12, 16, 24, 32])
        chosen, words = (resource.RLIMIT_NOFILE, most), f"{most} open files"
    elif what == "size":
        most = int(rng.uniform(0, 1) ** 3 * largest(ref.home)) + rng.choice([0, 512])
        chosen, words = (resource.RLIMIT_FSIZE, most), f"files of {most} bytes"
    else:
        most = int(rng.uniform(0.2, 4.0) * 1024) * MIB
        chosen, words = (resource.RLIMIT_AS, most), f"{most // MIB} MiB of addresses"
    return limited(ref, folder, note, (name, command), chosen, words)


def limited(ref, folder, note, stage, limit, words):
    name, command = stage
    program = ref.workspace(folder / "home", before=name)
    outcome = program.run(*command, limits=[limit])
    note(outcome)
    faults = [outcome.misbehaved(may_lack_memory=limit[0] in (resource.RLIMIT_AS, resource.RLIMIT_NOFILE))]
    again = program.run(*command)
    note(again)
    faults += [again.misbehaved(), *recovered(ref, program.home, again)]
    return f"{name} with {words} at most", faults


def recovered(ref, home, again):
    """Whether a stage works again, and comes out as if nothing had been."""
    if not again.ended_well:
        yield "it does not work again when there is room"
        return
    changed = at.differing(at.results(home), ref.results)
    if changed:
        yield f"{', '.join(changed[:3])} differ from those of a run that had room"
    left = at.leftovers(home)
    if left:
        yield f"left behind: {', '.join(left[:3])}"


def size(folder):
    """Bytes that a folder takes in whole pages."""
    return sum(-(-path.stat().st_size // 4096) * 4096 + 4096 for path in pathlib.Path(folder).rglob("*") if path.exists())


def largest(folder):
    return max(path.stat().st_size for path in pathlib.Path(folder).rglob("*") if path.is_file())


def can_mount():
    """Whether small file systems can be made here: root's right, in containers not always."""
    if not hasattr(can_mount, "known"):
        can_mount.known = os.geteuid() == 0 and tried()
    return can_mount.known


def tried():
    import tempfile
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True)
        if done.returncode == 0:
            subprocess.run(["umount", folder], check=False)
        return done.returncode == 0
