"""Other readers of pictures and of weights, asked in a process of their own: what they take there is not counted as memory of the
program's runs, and what their C code prints can be read."""
import concurrent.futures, contextlib, io, multiprocessing, os, tempfile, warnings


def apart():
    """The process in which they are asked."""
    return concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))


@contextlib.contextmanager
def errors_read():
    """What C code writes to standard error meanwhile, as a list of one text at the end."""
    said, kept = [], os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield said
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            said.append(file.read().decode(errors="replace"))


def unreadable(bytes_, before):
    """Why a picture cannot be read as it was, or None: Pillow refuses it, or libjpeg warns and much of it is not what it was. Damage
    that no decoder notices is none here: JPEG has no checksum."""
    import cv2, numpy
    from PIL import Image
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            Image.open(io.BytesIO(bytes_)).load()
    except Exception as error:
        return f"Pillow: {type(error).__name__}"
    if not bytes_.startswith(b"\xff\xd8"):
        return None
    with errors_read() as said:
        now, then = (cv2.imdecode(numpy.frombuffer(of, numpy.uint8), cv2.IMREAD_GRAYSCALE) for of in (bytes_, before))
    if now is None:
        return "OpenCV does not decode it"
    other = now.shape != then.shape or (abs(now.astype(int) - then) > 8).mean() > 0.05
    return said[0].strip()[:100] if said[0].strip() and other else None


def save_weights(plain, newer, older):
    """Writes the tensors of a file of safetensors in both formats of torch.save."""
    import torch
    from safetensors.torch import load_file
    torch.save(load_file(plain), newer)
    torch.save(load_file(plain), older, _use_new_zipfile_serialization=False)


def refusal(path):
    """Why PyTorch does not read a file of weights, or that it holds numbers that are none; None where it is well."""
    import torch
    from safetensors.torch import load_file
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tensors = load_file(path) if path.suffix == ".safetensors" else torch.load(path, weights_only=True)
    except Exception as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0][:120] if str(error) else ''}"
    wrong = [name for name, tensor in tensors.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    return f"{wrong[0]} is not finite" if wrong else None
