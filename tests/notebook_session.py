"""One kernel, asked as Jupyter asks it; tests/notebooks.rs runs this. Ends with an AssertionError where it answers otherwise."""
import pathlib, sys, time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "scripts"))
import notebook_kernel as nk
from cells import PREPARED

manager = nk.start(sys.argv[1])
client = nk.ready(manager)


def replies(asked, seconds=60):
    """The replies to these requests, in the order in which they come."""
    found, until = [], time.monotonic() + seconds
    while len(found) < len(asked):
        reply = client.get_shell_msg(timeout=max(0.1, until - time.monotonic()))
        if reply["parent_header"]["msg_id"] in asked:
            found.append(reply["content"])
    return found


def outputs(code):
    """What a cell shows, and its error."""
    try:
        return nk.execute(client, code, timeout=300), None
    except nk.CellFailed as error:
        failed, = [output for output in error.outputs if output["output_type"] == "error"]
        return error.outputs, failed


def text(shown):
    return "".join(output.get("text", "") or output.get("data", {}).get("text/plain", "") for output in shown)


def inspected(name):
    return client.inspect(name, len(name), reply=True, timeout=60)["content"]


def an_inspection_shows_a_value():
    """And leaves no trace: cells are counted from 1, as with other kernels."""
    code = 'struct Plain;\nlet settings = RunConfig::default();\nlet hidden = Plain;\nlet frame = polars::df!("slices" => [224_i64, 210])?;'
    shown, failed = outputs(code)
    assert failed is None, failed
    said = inspected("settings")["data"]
    assert said["text/plain"].startswith("settings: RunConfig"), said
    assert "Settings of the run" in said["text/plain"] and "<table" in said["text/html"], said
    assert "2 rows × 1 columns" in inspected("frame")["data"]["text/html"]
    # What cannot be shown is told without a value, what is no variable without a cell.
    assert "error" not in str(inspected("hidden")["data"]), inspected("hidden")
    assert "covid_ct" in inspected("RunConfig::default")["data"]["text/plain"]
    assert not inspected("nothing_of_this_name")["found"]
    # A value is that of the present.
    outputs("let frame = frame.head(Some(1));")
    assert "1 rows × 1 columns" in inspected("frame")["data"]["text/html"]
    assert client.execute("1", reply=True, timeout=60)["content"]["execution_count"] == 3


def a_failure_is_an_error():
    _, failed = outputs('std::fs::read_to_string("/nowhere").map_err(polars::error::PolarsError::from)?')
    assert "No such file" in failed["evalue"], failed
    _, failed = outputs("let six = 6;\nlet list = vec![1, 2, 3];\nlist[six]")
    assert (failed["ename"], failed["evalue"]) == (
        "panic", "index out of bounds: the len is 3 but the index is 6"), failed
    assert failed["traceback"][0].startswith("\x1b[31m"), failed
    # With the chain of causes, each in a line of its own.
    _, failed = outputs('RunConfig::read("nowhere.json")?')
    assert failed["ename"].endswith("Error") and "nowhere.json" in failed["evalue"], failed
    assert "Caused by:" in failed["evalue"] and len(failed["traceback"]) >= 4, failed
    # Words on standard error are no failure, nor is a panic that the cell catches.
    shown, failed = outputs('eprintln!("error: only words"); let seven = 7;')
    assert failed is None and "only words" in text(shown)
    shown, failed = outputs('let caught = std::panic::catch_unwind(|| panic!("a test")).is_err(); caught && seven == 7')
    assert failed is None and "true" in text(shown), (shown, failed)


def what_was_queued_is_aborted():
    asked = [client.execute(code) for code in ("let one = 1;", 'panic!("no")', "one + 1", "one + 2")]
    assert [reply["status"] for reply in replies(asked)] == ["ok", "error", "aborted", "aborted"]
    shown, failed = outputs("one + 3")
    assert failed is None and text(shown) == "4", "variables live on after a panic"


def an_interrupt_asks_first():
    shown, failed = outputs(PREPARED)
    assert failed is None, failed
    # One place for each stage, whose last state is kept; no wall of lines.
    bars = [output for output in shown if "<progress" in output.get("data", {}).get("text/html", "")]
    assert 1 <= len(bars) <= 4 and all(" done in " in bar["data"]["text/plain"] for bar in bars), shown
    asked = client.execute("run.train()?")
    until = time.monotonic() + 120
    histories = pathlib.Path(sys.argv[2]) / "runs"
    while not any(len(path.read_text().splitlines()) >= 3 for path in histories.glob("*/*/history.csv")):
        assert time.monotonic() < until, f"two epochs were not written: {list(histories.glob('*/*/*'))}"
        time.sleep(0.1)
    # Who opens the notebook again while a cell runs is answered, and shown what that cell shows.
    assert replies([client.kernel_info()], 5)[0]["status"] == "ok"
    now, failed = outputs(":now")
    assert failed is None and "epochs trained" in text(now), now
    begun = time.monotonic()
    manager.interrupt_kernel()
    reply, = replies([asked], 20)
    seconds = time.monotonic() - begun
    assert reply["status"] == "error" and "run the cell again to go on" in reply["evalue"], reply
    print(f"interrupted after {seconds:.2f} s")
    # The variables live, and the training goes on where it was.
    shown, failed = outputs("run.settings().epochs")
    assert failed is None and text(shown) == "100000", (shown, failed)
    assert list(histories.glob("*/*/last.safetensors"))


def a_cell_that_does_not_answer_is_killed():
    asked = client.execute("std::thread::sleep(std::time::Duration::from_secs(100));")
    time.sleep(3)
    manager.interrupt_kernel()
    time.sleep(0.5)
    manager.interrupt_kernel()
    reply, = replies([asked], 20)
    assert reply["status"] == "error" and "a second interrupt" in reply["evalue"], reply
    assert "All variables are lost" in reply["evalue"], reply
    _, failed = outputs("run.settings().epochs")
    assert failed, "the variable should be lost"
    shown, failed = outputs("1 + 1")
    assert failed is None and text(shown) == "2"


def a_process_that_ends_is_an_error():
    _, failed = outputs("std::process::exit(3);")
    assert "All variables are lost" in failed["evalue"], failed


try:
    for check in (an_inspection_shows_a_value, a_failure_is_an_error, what_was_queued_is_aborted,
                  an_interrupt_asks_first, a_cell_that_does_not_answer_is_killed, a_process_that_ends_is_an_error):
        begun = time.monotonic()
        check()
        print(f"{check.__name__}: {time.monotonic() - begun:.1f} s", flush=True)
finally:
    client.stop_channels()
    manager.shutdown_kernel(now=True)
