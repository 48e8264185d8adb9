"""The relay itself: Jupyter's sockets in front, evcxr's behind."""
import collections, json, socket, time

import zmq
from jupyter_client.session import Session, extract_header

from events import DIED, LOST, failure, read_events, renamed
from values import is_variable, variable_at, with_value

# A line that a cell prints to show something at once, and change it later: the prefix, then JSON (see README.md).
SHOW = "\x01EVCXR_RELAY_SHOW "
# The last line that a cell prints, on either stream.
END = "\x01EVCXR_RELAY_END"
# A cell of this alone is answered at once, also while another runs.
NOW = ":now"
# Seconds that a cell has to end by itself after an interrupt.
PATIENCE = 10.0
# Seconds for what a cell has printed to arrive after its reply; far more than it takes.
LATE = 2.0
CHANNELS = ("shell", "control", "stdin", "iopub", "hb")


def ports(ip):
    """A free port for each channel."""
    found = [socket.socket() for _ in CHANNELS]
    try:
        for one in found:
            one.bind((ip, 0))
        return {f"{name}_port": one.getsockname()[1] for name, one in zip(CHANNELS, found)}
    finally:
        for one in found:
            one.close()


class Cell:
    """A cell that runs."""

    def __init__(self, message, question=None):
        self.message, self.id = message, message["header"]["msg_id"]
        # Of a cell of the relay's own, which no page sees: the variable it shows, and the answer that waits for it.
        self.question, self.value = question, {}
        # Of evcxr's answer: its reply, and the message that it is idle again.
        self.reply = self.idle = None
        # What it has written of its end, once there is a reply; which streams have ended.
        self.events, self.ended = [], set()
        self.error = None
        # What it shows that can be changed, by the name it has given.
        self.shown = {}
        self.answered = None
        # When it was asked to end, when it was killed.
        self.interrupted = self.killed = None


class Relay:
    def __init__(self, front, back, folder, kernel):
        self.kernel, self.folder = kernel, folder
        self.session = Session(key=front["key"].encode(), signature_scheme=front.get("signature_scheme", "hmac-sha256"))
        context = zmq.Context.instance()
        kinds = {"shell": zmq.ROUTER, "control": zmq.ROUTER, "stdin": zmq.ROUTER, "iopub": zmq.PUB, "hb": zmq.REP}
        self.front = {name: self.bound(context.socket(kind), front, name) for name, kind in kinds.items()}
        kinds = {"shell": zmq.DEALER, "control": zmq.DEALER, "stdin": zmq.DEALER, "iopub": zmq.SUB}
        self.back = {}
        for name, kind in kinds.items():
            of = self.back[name] = context.socket(kind)
            of.linger = 0
            if kind == zmq.DEALER:
                # evcxr asks for input by the identity of the shell.
                of.identity = b"relay"
            else:
                of.subscribe(b"")
            of.connect(f"{back['transport']}://{back['ip']}:{back[name + '_port']}")
        self.waiting, self.cell = collections.deque(), None
        self.kernel_info, self.ending = None, None
        # Cells that were run, from 1 as elsewhere: evcxr starts with 2, and counts the relay's own.
        self.count = 0
        # The variable that an inspection asks about, by the id of its request.
        self.asked = {}
        # What variables show, until a cell runs that may change them.
        self.values = {}

    def bound(self, of, front, name):
        of.linger = 1000
        of.bind(f"{front['transport']}://{front['ip']}:{front[name + '_port']}")
        return of

    # The loop.

    def run(self):
        poller = zmq.Poller()
        for of in [*self.front.values(), *self.back.values()]:
            if of.socket_type != zmq.PUB:
                poller.register(of, zmq.POLLIN)
        while self.ending is None or (time.monotonic() < self.ending and self.kernel.poll() is None):
            ready = dict(poller.poll(self.timeout()))
            # Output first, so that it comes before the reply.
            for side, name, take in (
                ("back", "iopub", self.from_iopub), ("back", "shell", self.from_shell),
                ("back", "control", self.from_control), ("back", "stdin", self.from_stdin),
                ("front", "hb", self.heartbeat), ("front", "control", self.to_control),
                ("front", "stdin", self.to_stdin), ("front", "shell", self.to_shell),
            ):
                of = getattr(self, side)[name]
                while of in ready and of.poll(0):
                    take(of.recv_multipart())
            self.at_intervals()
            if self.kernel.poll() is not None and self.ending is None:
                return

    def timeout(self):
        """Milliseconds until something may be due."""
        return 20 if self.cell and (self.cell.reply or self.cell.interrupted) or self.ending else 500

    def at_intervals(self):
        cell, now = self.cell, time.monotonic()
        if not cell:
            return
        if cell.reply and self.is_over(cell, now):
            self.finish(cell)
        elif cell.interrupted and not cell.killed and now - cell.interrupted > PATIENCE:
            self.kill(cell, f"the cell did not end within {PATIENCE:.0f} s of the interrupt")

    # Messages.

    def parsed(self, frames):
        identities, parts = self.session.feed_identities(frames)
        return identities, self.session.deserialize(parts)

    def publish(self, kind, content, parent):
        self.session.send(self.front["iopub"], kind, content, parent=extract_header(parent), ident=kind.encode())

    def answer(self, message, identities, content, channel="shell"):
        kind = message["header"]["msg_type"].replace("_request", "_reply")
        self.session.send(self.front[channel], kind, content, parent=extract_header(message), ident=identities)

    def answer_here(self, message, identities, content):
        """Answers a request of the shell that evcxr need not see."""
        self.publish("status", {"execution_state": "busy"}, message)
        self.answer(message, identities, content)
        self.is_idle_again(message)

    def is_idle_again(self, message):
        """Whoever asked waits for this; the running cell, if there is one, keeps the kernel busy."""
        self.publish("status", {"execution_state": "idle"}, message)
        if self.cell:
            self.publish("status", {"execution_state": "busy"}, self.cell.message)

    def heartbeat(self, frames):
        self.front["hb"].send_multipart(frames)

    # From Jupyter.

    def to_shell(self, frames):
        identities, message = self.parsed(list(frames))
        kind = message["header"]["msg_type"]
        if kind == "execute_request" and message["content"]["code"].strip() == NOW:
            self.show_now(message, identities)
        elif kind == "execute_request":
            message["identities"], message["frames"] = identities, frames
            self.waiting.append(message)
            self.next_cell()
        elif kind == "kernel_info_request" and self.kernel_info:
            # Also while a cell runs, so that a page can be opened again.
            self.answer_here(message, identities, self.kernel_info)
        elif kind == "comm_info_request":
            self.answer_here(message, identities, {"status": "ok", "comms": {}})
        elif kind == "history_request":
            self.answer_here(message, identities, {"status": "ok", "history": []})
        elif kind == "complete_request" and self.cell:
            at = message["content"].get("cursor_pos", 0)
            self.answer_here(message, identities, {
                "status": "ok", "matches": [], "cursor_start": at, "cursor_end": at, "metadata": {}})
        elif kind == "inspect_request" and self.cell and not self.cell.question:
            self.answer_here(message, identities, {"status": "ok", "found": False, "data": {}, "metadata": {}})
        else:
            if kind == "inspect_request":
                self.asked[message["header"]["msg_id"]] = variable_at(message["content"])
            self.back["shell"].send_multipart(frames)

    def to_control(self, frames):
        identities, message = self.parsed(list(frames))
        kind = message["header"]["msg_type"]
        if kind == "interrupt_request":
            self.interrupt()
            self.answer(message, identities, {"status": "ok"}, channel="control")
            return
        if kind == "shutdown_request":
            self.ending = time.monotonic() + 3
            self.waiting.clear()
            if self.cell:
                # Otherwise evcxr would wait for the cell's end.
                self.forward_interrupt()
        self.back["control"].send_multipart(frames)

    def to_stdin(self, frames):
        self.back["stdin"].send_multipart(frames)

    def next_cell(self):
        if self.cell or not self.waiting:
            return
        message = self.waiting.popleft()
        (self.folder / "events").write_bytes(b"")
        (self.folder / "interrupt").unlink(missing_ok=True)
        self.cell = Cell(message)
        self.count += 1
        self.values.clear()
        self.back["shell"].send_multipart(message["frames"])

    def ask_value(self, name, question):
        """Runs a cell that shows a variable, unless that is known; the answer goes on when the cell has ended."""
        if name in self.values:
            self.answer_question(question, self.values[name])
            return
        (self.folder / "events").write_bytes(b"")
        (self.folder / "interrupt").unlink(missing_ok=True)
        asked = {"code": f"&{name}", "silent": True, "store_history": False, "allow_stdin": False}
        self.cell = Cell(self.session.msg("execute_request", asked), (name, question))
        self.session.send(self.back["shell"], self.cell.message)

    def show_now(self, message, identities):
        """What the running cell shows at present, also to a page that was opened later; it changes there as well."""
        self.publish("status", {"execution_state": "busy"}, message)
        shown = self.cell.shown.values() if self.cell else []
        for one in shown:
            self.publish("display_data", one, message)
        if not shown:
            what = "The running cell shows no progress." if self.cell else "No cell runs."
            self.publish("stream", {"name": "stdout", "text": what + "\n"}, message)
        reply = {"status": "ok", "execution_count": self.count, "payload": [], "user_expressions": {}}
        self.answer(message, identities, reply)
        self.is_idle_again(message)

    def abort_waiting(self):
        """What was asked for before a cell failed is not run, as with other kernels."""
        while self.waiting:
            message = self.waiting.popleft()
            self.answer_here(message, message["identities"], {"status": "aborted"})

    # Interrupts.

    def interrupt(self):
        cell = self.cell
        if not cell or cell.killed:
            return
        if cell.interrupted:
            self.kill(cell, "a second interrupt")
            return
        cell.interrupted = time.monotonic()
        (self.folder / "interrupt").touch()

    def kill(self, cell, why):
        cell.killed = why
        self.forward_interrupt()

    def forward_interrupt(self):
        self.session.send(self.back["control"], "interrupt_request", {})

    # From evcxr.

    def from_shell(self, frames):
        identities, message = self.parsed(list(frames))
        cell, content = self.cell, message["content"]
        if message["header"]["msg_type"] == "kernel_info_reply" and content.get("status") == "ok":
            # Jupyter's name for it, by which exported notebooks are coloured; evcxr sends `pygment_lexer`.
            language = {**content["language_info"], "pygments_lexer": "rust"}
            self.kernel_info = {**content, "implementation": "evcxr_relay", "language_info": language}
            self.session.send(self.front["shell"], "kernel_info_reply", self.kernel_info, parent=message["parent_header"],
                              ident=identities)
            return
        if cell and message["parent_header"].get("msg_id") == cell.id and message["header"]["msg_type"] == "execute_reply":
            cell.reply = (identities, {**content, "execution_count": self.count})
            cell.answered = time.monotonic()
            cell.events = read_events(self.folder / "events")
        elif message["header"]["msg_type"] == "inspect_reply":
            name = self.asked.pop(message["parent_header"].get("msg_id"), None)
            if name and not self.cell and is_variable(name, content):
                self.ask_value(name, (identities, message))
            else:
                self.front["shell"].send_multipart(frames)
        else:
            self.front["shell"].send_multipart(frames)

    def from_control(self, frames):
        identities, message = self.parsed(list(frames))
        # Not the answer to an interrupt that the relay itself has sent.
        if identities:
            self.front["control"].send_multipart(frames)

    def from_stdin(self, frames):
        self.front["stdin"].send_multipart(frames)

    def from_iopub(self, frames):
        _, message = self.parsed(list(frames))
        cell, kind, content = self.cell, message["header"]["msg_type"], message["content"]
        if cell and message["parent_header"].get("msg_id") == cell.id:
            if kind == "status" and content["execution_state"] == "idle":
                cell.idle = frames
                return
            if kind == "stream" and self.is_ours(cell, content):
                return
            if cell.question:
                if kind == "execute_result":
                    cell.value = content["data"]
                elif kind == "error":
                    cell.error = cell.error or content
                return
            if "execution_count" in content:
                self.publish(kind, {**content, "execution_count": self.count}, cell.message)
                return
            if kind == "error":
                content = renamed(content)
                if cell.error is None:
                    cell.error = content
                if not cell.killed and not content["evalue"].startswith(DIED):
                    self.publish("error", content, cell.message)
                return
        self.front["iopub"].send_multipart(frames)

    def is_ours(self, cell, content):
        """Whether a line is for the relay, not for the reader."""
        text = content["text"].rstrip("\n")
        if text == END:
            cell.ended.add(content["name"])
            return True
        if not text.startswith(SHOW):
            return False
        try:
            what = json.loads(text[len(SHOW):])
            name, data = str(what["id"]), dict(what["data"])
        except (ValueError, KeyError, TypeError):
            return False
        shown = {"data": data, "metadata": {}, "transient": {"display_id": f"{cell.id}-{name}"}}
        self.publish("update_display_data" if name in cell.shown else "display_data", shown, cell.message)
        cell.shown[name] = shown
        return True

    def is_over(self, cell, now):
        """All its output has come: a cell that has written of its end marks it on both streams."""
        is_marked = any(event[0] == "end" for event in cell.events)
        return cell.idle and (not is_marked or len(cell.ended) == 2) or now - cell.answered > LATE

    def finish(self, cell):
        """Sends what the cell's end was: its error if it failed, its reply, and that the kernel is idle."""
        if cell.question:
            name, question = cell.question
            if cell.killed or cell.error and cell.error["evalue"].startswith(DIED):
                self.values.clear()
                cell.value = {"text/plain": LOST.strip()}
            else:
                self.values[name] = cell.value
            self.answer_question(question, cell.value)
            self.cell = None
            self.next_cell()
            return
        identities, content = cell.reply
        failed, told = failure(cell)
        for text in told:
            self.publish("stream", {"name": "stderr", "text": text}, cell.message)
        if failed:
            if failed is not cell.error:
                self.publish("error", failed, cell.message)
            content = {**content, "status": "error", **failed}
        self.answer(cell.message, identities, content)
        if cell.idle:
            self.front["iopub"].send_multipart(cell.idle)
        else:
            self.publish("status", {"execution_state": "idle"}, cell.message)
        self.cell = None
        if failed and cell.message["content"].get("stop_on_error", True):
            self.abort_waiting()
        self.next_cell()

    def answer_question(self, question, value):
        """Answers an inspection, with the variable's value if it can be shown."""
        identities, message = question
        content = with_value(message["content"], value)
        self.session.send(self.front["shell"], "inspect_reply", content, parent=message["parent_header"], ident=identities)
