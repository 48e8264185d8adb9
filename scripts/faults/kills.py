"""Processes that are killed at any moment, and begun again."""
import time

import reference as at


def trial(ref, rng, folder, note):
    """Kills a stage one to three times and runs it to its end: the results are those of one that was never killed."""
    name, command = rng.choice(at.STAGES)
    program = ref.workspace(folder / "home", before=name)
    kills = rng.choice([1, 1, 2, 3])
    moments = [rng.uniform(0.0, 1.1) * ref.seconds[name] for _ in range(kills)]
    # So that there is a checkpoint to be killed at.
    options = ["--checkpoint-minutes", "0"] if name in ("train", "head") and rng.random() < 0.5 else []
    for moment in moments:
        running = program.start([*command, *options])
        while not running.poll() and time.monotonic() - running.begun < moment:
            time.sleep(0.002)
        running.kill()
        note(running.wait())
    outcome = program.run(*command, *options)
    note(outcome)
    faults = [outcome.misbehaved()]
    if not outcome.ended_well:
        faults.append("it cannot be run to its end")
    else:
        changed = at.differing(at.results(program.home), ref.results)
        faults += [f"{', '.join(changed[:3])} differ from those of a run that was never killed"] if changed else []
        left = at.leftovers(program.home)
        faults += [f"left behind: {', '.join(left[:3])}"] if left else []
    return f"{name} killed after {', '.join(f'{moment:.2f}' for moment in moments)} s", faults
