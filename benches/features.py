#!/usr/bin/env python3
"""Features of a frozen network on a CPU: covid-ct beside PyTorch, OpenVINO and ONNX Runtime, in turns, as a table.

  pip install torchvision openvino onnx onnxruntime
  benches/features.py [--networks densenet161 resnet152] [--rounds 5] [--slices 32] [--before OTHER-covid-ct] [--threads 2]

Everybody computes f32 features at 224×224 with random weights. Ours are the `feature_seconds` of `covid-ct bench heads`: reading
slices, preparing the network and writing included; the others forward pictures that lie in memory, prepared before. Equal
before timing: the others' features, relative to PyTorch's in f64. Processor seconds, which depend less on what else the machine
does, are those of the whole command on our side: reading and hashing the weights, and the head, included.
"""
import argparse, json, os, pathlib, statistics, subprocess, tempfile, time, warnings

REPO = pathlib.Path(__file__).resolve().parent.parent


def network(name):
    """torchvision's network without its head, batch norm's numbers other than 0 and 1."""
    import torch, torchvision

    torch.manual_seed(0)
    net = getattr(torchvision.models, name)(weights=None).eval().requires_grad_(False)
    head = "classifier" if name.startswith("densenet") else "fc"
    setattr(net, head, torch.nn.Identity())
    for norm in net.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            for values, low, high in ((norm.running_mean, -0.1, 0.1), (norm.running_var, 0.8, 1.2), (norm.weight, 0.8, 1.2), (norm.bias, -0.1, 0.1)):
                values.uniform_(low, high)
    return net


def peers(name, slices, threads, folder):
    """Functions that compute the features of all pictures, by who they are."""
    import copy, onnxruntime, openvino, torch

    torch.set_num_threads(threads)
    net, pictures = network(name), torch.rand(slices, 1, 224, 224).repeat(1, 3, 1, 1)
    last = {"memory_format": torch.channels_last}
    tuned, few = copy.deepcopy(net).to(**last), pictures[:4].to(**last)
    tuned = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(tuned, few)))
    model = openvino.convert_model(net, example_input=pictures[:4])
    model.reshape([4, 3, 224, 224])
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": threads, "INFERENCE_PRECISION_HINT": "f32"})
    file = f"{folder}/{name}.onnx"
    torch.onnx.export(net, pictures[:4], file, dynamo=False, input_names=["x"], output_names=["y"], dynamic_axes={"x": {0: "n"}})
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    fours = [part for part in pictures.split(4)]

    def with_openvino():
        """Several batches at a time, one on each thread."""
        queue, found = openvino.AsyncInferQueue(compiled, threads), {}
        queue.set_callback(lambda request, at: found.__setitem__(at, torch.from_numpy(request.get_output_tensor(0).data.copy())))
        for at, part in enumerate(fours):
            queue.start_async([part.numpy()], at)
        queue.wait_all()
        return torch.cat([found[at] for at in sorted(found)])

    every = {
        "PyTorch as written, batches of 32": lambda: torch.cat([net(part) for part in pictures.split(32)]),
        "PyTorch tuned: frozen for inference, channels last, batches of 4": lambda: torch.cat([tuned(part.to(**last)) for part in fours]),
        "OpenVINO, a stream for each thread, batches of 4": with_openvino,
        "ONNX Runtime, batches of 4": lambda: torch.cat([torch.from_numpy(session.run(None, {"x": part.numpy()})[0]) for part in fours]),
    }
    exact = copy.deepcopy(net).double()(pictures[:4].double())
    for who, of in every.items():
        off = float((of()[:4].double() - exact).norm() / exact.norm())
        assert off < 1e-5, f"{who}: off by {off}"
    return every


def ours(binary, name, data, threads):
    """Seconds of the features and processor seconds of the whole command, for a slice."""
    limits = {key: str(threads) for key in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")}
    done = subprocess.run([binary, "bench", "heads", data, "--network", name], capture_output=True, text=True, env={**os.environ, **limits})
    if done.returncode:
        raise SystemExit(f"{binary}: {done.stderr[-2000:]}")
    line = json.loads(done.stdout.strip().splitlines()[-1])
    slices = line["items"] / 5
    return line["feature_seconds"] / slices, line["cpu_seconds"] / slices


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=["densenet161", "resnet152"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--slices", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--ours", default=str(REPO / "covid-ct"))
    parser.add_argument("--before", help="another build of covid-ct, with which ours is compared")
    a = parser.parse_args()
    warnings.filterwarnings("ignore")
    import torch

    model = next(line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name"))
    print(f"{model}, {a.threads} threads, torch {torch.__version__}\n")
    compared = ["PyTorch as written"] + (["before"] if a.before else [])
    columns = ["network", "who", "images/s, median (min to max)", *(f"times {who}" for who in compared), "images per processor second"]
    columns += [f"times {who}" for who in compared]
    print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns))
    with tempfile.TemporaryDirectory(prefix="covid-ct-features-") as folder, torch.inference_mode():
        data = f"{folder}/phantom"
        scans = ["--train-scans", "2", "--val-scans", "1", "--prediction-scans", "1", "--slices", str(max(a.slices // 6, 2)), "--no-defects"]
        subprocess.run([a.ours, "phantom", data, *scans], check=True, capture_output=True)
        for name in a.networks:
            each = peers(name, a.slices, a.threads, folder)

            def timed(of):
                begun, processor = time.perf_counter(), time.process_time()
                of()
                return (time.perf_counter() - begun) / a.slices, (time.process_time() - processor) / a.slices

            contenders = {"covid-ct": lambda: ours(a.ours, name, data, a.threads)}
            if a.before:
                contenders["covid-ct before"] = lambda: ours(a.before, name, data, a.threads)
            contenders |= {who: (lambda of=of: timed(of)) for who, of in each.items()}
            seconds, loads = {who: [] for who in contenders}, []
            for _ in range(a.rounds):
                for who, of in contenders.items():
                    seconds[who].append(of())
                loads.append(os.getloadavg()[0])
            others = ["PyTorch as written, batches of 32"] + (["covid-ct before"] if a.before else [])
            for who, taken in seconds.items():
                cells = [name, who]
                for clock in (0, 1):
                    own = [pair[clock] for pair in taken]
                    spread = f" ({1 / max(own):.2f} to {1 / min(own):.2f})" if clock == 0 else ""
                    cells.append(f"{1 / statistics.median(own):.2f}{spread}")
                    cells += [f"{statistics.median(theirs[clock] / mine for theirs, mine in zip(seconds[to], own)):.2f}" for to in others]
                print("| " + " | ".join(cells) + " |", flush=True)
            print(f"load of the machine meanwhile, {name}: {min(loads):.1f} to {max(loads):.1f}", flush=True)


if __name__ == "__main__":
    main()
