"""Several processes in one workspace at once."""
import time

import reference as at

# Before which stage, and what runs at once.
SCENES = [
    ("audit", [["audit"], ["audit"]]),
    ("cache", [["cache", *at.SMALL, "--network", "compact"]] * 3),
    ("cache", [["train", *at.RUN], ["train", *at.OTHER]]),
    ("train", [["train", *at.RUN], ["train", *at.RUN]]),
    ("train", [["train", *at.RUN], ["cache", *at.SMALL, "--network", "compact"], ["split"]]),
    ("evaluate", [["evaluate", "--name", "first"], ["evaluate", "--name", "first"]]),
    ("evaluate", [["evaluate", "--name", "first"], ["train", *at.RUN], ["shortcuts"]]),
    ("predict", [["predict", "--name", "first"], ["evaluate", "--name", "first"]]),
    ("scan-model", [["scan-model", "--name", "first"], ["scan-model", "--name", "first"]]),
    ("report", [["report"], ["report"], ["evaluate", "--name", "first"]]),
    ("head", [["train", *at.HEAD], ["train", *at.HEAD]]),
]


def trial(ref, rng, folder, note):
    """Starts them at slightly different moments; each ends well or says why not, and the stages then give what they give alone."""
    name, commands = rng.choice(SCENES)
    program = ref.workspace(folder / "home", before=name)
    running = []
    for command in commands:
        running.append(program.start(command))
        time.sleep(rng.uniform(0, 0.4))
    faults = []
    for run in running:
        outcome = run.wait()
        note(outcome)
        faults.append(outcome.misbehaved())
        waits = outcome.says("another process", "is being", "lock", "run `covid-ct", str(program.home))
        if not outcome.ended_well and not waits:
            faults.append(f"{outcome.arguments[0]} failed and does not say what is in its way")
    for command in dict.fromkeys(map(tuple, commands)):
        after = program.run(*command)
        note(after)
        faults += [after.misbehaved(), None if after.ended_well else f"{command[0]} does not work afterwards"]
    changed = at.differing(at.results(program.home), ref.results)
    faults += [f"{', '.join(changed[:3])} differ from those of stages that ran alone"] if changed else []
    return f"at once: {', '.join(command[0] for command in commands)}", faults
