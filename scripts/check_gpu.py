#!/usr/bin/env python3
"""Compares the same work on the CPU and on a GPU; `make check-gpu` runs it.

  check_gpu.py [--networks fcn,vgg19,resnet152,densenet161]

Draws a phantom, trains the networks from the same seeds on both, whole and (all but the FCN) as a head over a frozen
backbone; trains them in 16-bit precision on the GPU; evaluates on the CPU with the weights trained on the GPU; kills a
training on the GPU and resumes it; runs every other stage. Prints all differences, and fails where one is larger than
rounding explains: f32 on a GPU multiplies in TF32 (10 bits of mantissa) inside cuDNN, f16 has 10 bits, bf16 has 7.
"""
import argparse, csv, json, os, pathlib, shutil, signal, subprocess, sys, tempfile, time

REPO = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = str(REPO / "covid-ct")
SMALL = ["--pretrained", "none", "--size", "64", "--batch-size", "32", "--epochs", "2"]
# Tolerances: losses of two epochs (relative, for training amplifies rounding), and covid probabilities from the same weights
# (absolute).
LOSS, PROBABILITY = {"f32": 0.05, "f16": 0.1, "bf16": 0.25}, {"f32": 5e-3, "f16": 2e-2}
# Larger than rounding, from results on an H100 (docs/networks.md): the dropout of a whole VGG19 draws other numbers on a GPU,
# as PyTorch's does; 150 layers of batch norm over small batches turn a rounding of the last bit, or a step that f16 skips,
# into percents.
LOSS_OF = {("vgg19", "whole", "f32"): 0.25, ("resnet152", "whole", "f32"): 0.25, ("resnet152", "whole", "f16"): 0.25}


class Check:
    def __init__(self, folder):
        self.folder, self.rows, self.failed = pathlib.Path(folder), [], 0
        self.data = self.folder / "phantom"

    def run(self, where, *arguments, hidden=False, kill_after=None):
        """Runs covid-ct in the workspace `where`; returns its output, or raises an error with it."""
        environment = {**os.environ, "COVID_CT_WORKSPACE": str(self.folder / where), "COVID_CT_DATA": str(self.data)}
        if hidden:
            environment["CUDA_VISIBLE_DEVICES"] = ""
        process = subprocess.Popen([PROGRAM, *map(str, arguments)], env=environment, text=True, start_new_session=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if kill_after:
            while process.poll() is None and not kill_after():
                time.sleep(0.02)
            alive = process.poll() is None
            if alive:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            if not alive:
                raise RuntimeError(f"{' '.join(map(str, arguments))}: ended before it could be killed")
            return ""
        said, _ = process.communicate()
        if process.returncode:
            raise RuntimeError(f"covid-ct {' '.join(map(str, arguments))}:\n{said[-1500:]}")
        return said

    def row(self, what, compared, difference, allowed, more=""):
        bad = not difference <= allowed
        self.failed += bad
        self.rows.append([what, compared, f"{difference:.2g}", f"{allowed:.2g}", ("**too much** " if bad else "") + more])
        print("check:", " | ".join(self.rows[-1]), flush=True)

    def step(self, what, work):
        """One check; an error becomes a row of the table, and the other checks still run."""
        try:
            work()
        except Exception as error:  # noqa: BLE001: any error is shown and counted
            self.failed += 1
            self.rows.append([what, "–", "–", "–", "**failed**"])
            print(f"check: {what} FAILED: {error}", flush=True)

    def run_folder(self, where, name):
        return self.folder / where / "runs" / "phantom" / name

    def history(self, where, name):
        return json.loads((self.run_folder(where, name) / "history.json").read_text())

    def losses(self, where, name):
        epochs = self.history(where, name)["epochs"]
        return [epoch[of]["loss"] for epoch in epochs for of in ("training", "validation")]

    def skipped(self, where, name):
        """Steps that f16 skipped because a gradient was not finite at that loss scale."""
        with open(self.run_folder(where, name) / "last.safetensors", "rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        return json.loads(header["__metadata__"]["covid-ct"])["position"]["loss_scale"]["skipped"]

    def rate(self, where, name):
        return self.history(where, name)["epochs"][-1]["images_per_second"]

    def covid(self, where, name):
        with open(self.run_folder(where, name) / "predictions-validation.csv") as file:
            return [float(row["covid"]) for row in csv.DictReader(file)]


def largest(first, second, of=lambda a, b: 1.0):
    """The largest difference; infinity if there is nothing to compare or a value is NaN."""
    if len(first) != len(second) or not first:
        return float("inf")
    each = [abs(a - b) / of(a, b) for a, b in zip(first, second)]
    return float("inf") if any(d != d for d in each) else max(each)


def apart(first, second):
    """The largest relative difference."""
    return largest(first, second, lambda a, b: max(abs(a), abs(b), 1e-12))


def how_learned(network):
    return [("whole", [] if network == "fcn" else ["--fine-tune"])] + ([] if network == "fcn" else [("head", [])])


def trained_alike(check, network):
    for way, options in how_learned(network):
        name = f"{network}-{way}"
        allowed = lambda precision: LOSS_OF.get((network, way, precision), LOSS[precision])
        train = ["train", "--network", network, *SMALL, *options]

        def f32():
            check.run("cpu", *train, "--name", name, "--device", "cpu")
            check.run("gpu", *train, "--name", name)
            more = f"{check.rate('cpu', name):,.0f} and {check.rate('gpu', name):,.0f} images/s"
            check.row(f"{network}, {way}", "losses of two epochs, CPU and GPU, f32",
                      apart(check.losses("cpu", name), check.losses("gpu", name)), allowed("f32"), more)

        check.step(f"{network}, {way}: training", f32)
        for precision in ("f16", "bf16"):
            def sixteen():
                other = f"{name}-{precision}"
                check.run("gpu", *train, "--name", other, "--precision", precision)
                left_out = f", {check.skipped('gpu', other)} steps skipped" if precision == "f16" else ""
                check.row(f"{network}, {way}", f"losses of two epochs, f32 and {precision}, GPU",
                          apart(check.losses("gpu", name), check.losses("gpu", other)), allowed(precision),
                          f"{check.rate('gpu', other):,.0f} images/s{left_out}")

            check.step(f"{network}, {way}: {precision}", sixteen)


def judged_alike(check, network):
    """Evaluates the weights trained on the GPU on both devices."""
    for precision in ("f32", "f16"):
        name = f"{network}-whole" + ("" if precision == "f32" else f"-{precision}")

        def judged():
            check.run("gpu", "evaluate", "--name", name)
            shutil.copytree(check.folder / "gpu", check.folder / "back", dirs_exist_ok=True,
                            ignore=shutil.ignore_patterns("features-*", "predictions-*", "assessment.json", "evaluation.json"))
            check.run("back", "evaluate", "--name", name, hidden=True)
            check.row(f"{network}, whole", f"covid probabilities of the same weights ({precision}), GPU and CPU",
                      largest(check.covid("gpu", name), check.covid("back", name)), PROBABILITY[precision])

        check.step(f"{network}, whole: {precision} evaluated on both", judged)


def goes_on(check, network, precision):
    """Kills a training on the GPU and resumes it; compares it with two uninterrupted ones."""
    train = ["train", "--network", network, *SMALL, *(how_learned(network)[0][1]), "--precision", precision]
    names = [f"{network}-{precision}-{which}" for which in ("once", "twice", "killed")]

    def work():
        for name in names[:2]:
            check.run("gpu", *train, "--name", name)
        last = check.run_folder("gpu", names[2]) / "last.safetensors"
        check.run("gpu", *train, "--name", names[2], "--checkpoint-minutes", "0", kill_after=last.is_file)
        said = check.run("gpu", *train, "--name", names[2])
        if "resumed in epoch" not in said:
            raise RuntimeError(f"it was not resumed:\n{said[-1500:]}")
        weights = [(check.run_folder("gpu", name) / "last.safetensors").read_bytes() for name in names]
        for number, what in ((1, "run twice"), (2, "killed, resumed")):
            body = [w[8 + int.from_bytes(w[:8], "little"):] for w in weights]
            same = "same bits" if body[0] == body[number] else "other bits"
            check.row(f"{network}, whole", f"losses of two epochs, {precision}, {what}",
                      apart(check.losses("gpu", names[0]), check.losses("gpu", names[number])), LOSS[precision], same)

    check.step(f"{network}, {precision}: killed", work)


def every_stage(check):
    """Stages that only have to succeed on the GPU."""
    fcn, dense = ["--name", "slides"], ["--name", "densenet161-f16"]
    for arguments in (["train", "--published", *fcn], ["evaluate", *fcn], ["predict", *fcn], ["explain", *fcn],
                      ["train", "--network", "densenet161", "--pretrained", "none", "--precision", "f16", *dense],
                      ["evaluate", *dense], ["predict", *dense], ["explain", *dense],
                      ["leakage", "--pretrained", "none", "--repeats", "4"], ["shortcuts"], ["report"]):
        def work():
            begun = time.perf_counter()
            check.run("gpu", *arguments)
            check.row("covid-ct " + " ".join(arguments), "succeeds", 0.0, 0.0, f"{time.perf_counter() - begun:.0f} s")

        check.step("covid-ct " + " ".join(arguments), work)


def table(rows):
    lines = ["| what | compared | difference | allowed | |", "|---|---|---|---|---|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default="fcn,vgg19,resnet152,densenet161")
    a = parser.parse_args()
    import torch

    if not torch.cuda.is_available():
        sys.exit("check-gpu: torch finds no usable GPU, so there is nothing to compare; run `./covid-ct doctor` for details")
    print(f"check: {torch.cuda.get_device_name(0)}, torch {torch.__version__}", flush=True)
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="covid-ct-gpu-") as folder:
        check = Check(folder)
        check.run("cpu", "phantom", check.data, "--train-scans", "12", "--val-scans", "5", "--prediction-scans", "3", "--slices", "8")
        for where in ("cpu", "gpu"):
            for stage in (["audit"], ["split"], ["cache", "--size", "64"]):
                check.run(where, *stage)
        for network in a.networks.split(","):
            trained_alike(check, network)
            judged_alike(check, network)
            print(f"check: {time.perf_counter() - begun:.0f} s", flush=True)
        for network, precision in (("fcn", "f32"), ("vgg19", "f16")):
            goes_on(check, network, precision)
        every_stage(check)
    print(f"\n{table(check.rows)}\n\n{time.perf_counter() - begun:.0f} s, {check.failed} failed")
    sys.exit(bool(check.failed))


if __name__ == "__main__":
    main()
