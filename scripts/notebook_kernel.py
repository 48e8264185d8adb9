"""Starts a kernel from outside, runs cells, and reports their result."""
import os

from jupyter_client.manager import KernelManager

KERNEL = "covid-ct"


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


def execute(client, code, on_text=lambda text: None, timeout=None):
    """Runs a cell; returns its outputs in the notebook format and raises CellFailed where it failed."""
    outputs, shown = [], {}

    def collect(message):
        kind, content = message["msg_type"], message["content"]
        place = content.get("transient", {}).get("display_id")
        if kind == "stream":
            last = outputs[-1] if outputs else {}
            if last.get("output_type") == "stream" and last.get("name") == content["name"]:
                last["text"] += content["text"]
            else:
                outputs.append({"output_type": "stream", "name": content["name"], "text": content["text"]})
            on_text(content["text"])
        elif kind == "update_display_data" and place in shown:
            shown[place]["data"] = content["data"]
            on_text(content["data"].get("text/plain", ""))
        elif kind in ("execute_result", "display_data"):
            outputs.append({"output_type": "display_data", "data": content["data"], "metadata": content["metadata"]})
            if place:
                shown[place] = outputs[-1]
                on_text(content["data"].get("text/plain", ""))
        elif kind == "error":
            outputs.append({"output_type": "error", **{k: content[k] for k in ("ename", "evalue", "traceback")}})

    reply = client.execute_interactive(code, timeout=timeout, output_hook=collect, store_history=True)["content"]
    if reply["status"] != "ok":
        reasons = [output["evalue"] for output in outputs if output["output_type"] == "error"]
        error = CellFailed("\n".join(reasons) or str(reply))
        error.outputs = outputs
        raise error
    return outputs
