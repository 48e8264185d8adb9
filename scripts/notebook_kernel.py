"""Starts a kernel from outside, runs cells, and reports their real result.

evcxr reports 'ok' for a cell that panicked or returned an error by `?`; both only write to stderr. So any output on stderr
counts as a failure, except the few lines known to be harmless.
"""
import os
import re

from jupyter_client.manager import KernelManager

KERNEL = "covid-ct"
HARMLESS = re.compile(r"^\s*(Compiling |Finished |Updating |Locking |Adding |Downloading |Downloaded |\[W\d|$)")


class CellFailed(Exception):
    """A cell failed; the message holds the reasons."""


def start(folder, environment=None):
    """Starts a kernel working in `folder`; does not wait for it."""
    manager = KernelManager(kernel_name=KERNEL)
    manager.start_kernel(cwd=str(folder), env=dict(os.environ if environment is None else environment))
    return manager


def ready(manager, timeout=1800):
    """Waits until the kernel answers; returns a client."""
    client = manager.blocking_client()
    client.start_channels()
    client.wait_for_ready(timeout=timeout)
    return client


def failures(outputs):
    """The reasons why a cell with these outputs failed, in the kernel's words; empty when it did not."""
    reasons = []
    for output in outputs:
        if output["output_type"] == "error":
            reasons.append(output.get("evalue", "") or "\n".join(output.get("traceback", [])))
        elif output["output_type"] == "stream" and output["name"] == "stderr":
            lines = [line for line in output["text"].splitlines() if not HARMLESS.match(line)]
            if lines:
                reasons.append("\n".join(lines))
    return reasons


def execute(client, code, on_text=lambda text: None, timeout=None):
    """Runs a cell; returns its outputs in the notebook format and raises CellFailed where it failed."""
    outputs = []

    def collect(message):
        kind, content = message["msg_type"], message["content"]
        if kind == "stream":
            last = outputs[-1] if outputs else {}
            if last.get("output_type") == "stream" and last.get("name") == content["name"]:
                last["text"] += content["text"]
            else:
                outputs.append({"output_type": "stream", "name": content["name"], "text": content["text"]})
            on_text(content["text"])
        elif kind in ("execute_result", "display_data"):
            outputs.append({"output_type": "display_data", "data": content["data"], "metadata": content["metadata"]})
        elif kind == "error":
            outputs.append({"output_type": "error", **{k: content[k] for k in ("ename", "evalue", "traceback")}})

    reply = client.execute_interactive(code, timeout=timeout, output_hook=collect, store_history=True)
    reasons = failures(outputs)
    if reply["content"]["status"] != "ok" and not reasons:
        reasons = [str(reply["content"])]
    if reasons:
        error = CellFailed("\n".join(reasons))
        error.outputs = outputs
        raise error
    return outputs
