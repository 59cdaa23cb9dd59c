"""The submission process: loads the submitted file and answers calls to its functions.

Everything here may be rewritten by the submission, which shares the process. Nothing that the grader relies on
is here: it checks every answer, and it keeps the time.
"""

from __future__ import annotations

import json
import marshal
import os
import random
import sys
import traceback
from typing import Any

_DEEPEST = 50
_REQUEST_LIMIT = 1 << 30


def _load_wire() -> Any:
    # Started as a script: its own folder is where the other half of the runtime lies.
    folder = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - pathlib would slow down every start
    sys.path.insert(0, folder)
    try:
        import wire
    finally:
        sys.path.remove(folder)
    return wire


def plain(value: Any, depth: int = 0) -> Any:
    """Return `value` made of JSON's own types, or raise `TypeError` naming what is not plain."""
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return value
    if depth > _DEEPEST:
        raise TypeError("the result is nested too deeply")
    if kind in (list, tuple):
        return [plain(item, depth + 1) for item in value]
    if kind is dict:
        if not all(type(key) is str for key in value):
            raise TypeError("a dictionary in the result has a key that is not a string")
        return {key: plain(item, depth + 1) for key, item in value.items()}
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.generic | numpy.ndarray):
        return plain(value.tolist(), depth + 1)
    raise TypeError(
        f"the result is or contains a {kind.__name__}; return numbers, strings, None, or lists and dictionaries of them"
    )


def describe(error: BaseException) -> str:
    """Return the error as one or two lines that help the author of the submission."""
    where = ""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename != __file__:
            where = f" (line {frame.lineno} of {os.path.basename(frame.filename)})"  # noqa: PTH119
            break
    message = str(error)[:1000]
    return f"{type(error).__name__}: {message}{where}" if message else f"{type(error).__name__}{where}"


def main() -> None:
    """Connect to the wire, a socket whose folder is the only argument, and serve until the grader closes it."""
    wire = _load_wire()
    descriptor = wire.connect(sys.argv[1]).detach()
    reader = wire.FrameReader(descriptor, _REQUEST_LIMIT)
    namespace: dict[str, Any] = {}
    kept: dict[str, bytes] = {}
    # Bound now, because the submission can replace them in their modules; that would only confuse its author.
    write_frame, loads, dumps = wire.write_frame, marshal.loads, json.dumps
    result_mark, error_mark = wire.RESULT, wire.ERROR
    try:
        while True:
            while (request := reader.complete()) is None:
                reader.receive()
            try:
                operation, name, arguments = loads(request)
                if operation == "load":
                    namespace = _load(name, *arguments)
                    value = None
                elif operation == "keep":
                    (kept[name],) = arguments
                    value = None
                else:
                    if operation == "call with kept":
                        arguments, places = arguments
                        for place, kept_name in places.items():
                            # Unmarshalling is the quickest way to a copy in which nothing is shared.
                            arguments[place] = loads(kept[kept_name])
                    function = namespace.get(name)
                    if not callable(function):
                        raise NameError(f"the file defines no function {name!r}")
                    value = plain(function(*arguments))
                answer = result_mark + dumps(value).encode()
            except BaseException as error:  # noqa: BLE001 - SystemExit and the like must be answered, too
                try:
                    text = describe(error)
                except BaseException:  # noqa: BLE001 - an error that cannot even be printed
                    text = "an exception that cannot be shown"
                answer = error_mark + text.encode("utf-8", "backslashreplace")
            write_frame(descriptor, answer)
    except wire.WireClosed:
        pass


def _load(path: str, seed: int) -> dict[str, Any]:
    """Run the submitted file and return what it defines."""
    with open(path, "rb") as file:  # noqa: PTH123
        source = file.read()
    random.seed(seed)
    os.environ["MLGYM_SEED"] = str(seed)
    sys.path.insert(0, os.path.dirname(path))  # noqa: PTH120
    module = type(sys)("submission")
    module.__file__ = path
    sys.modules["submission"] = module
    exec(compile(source, path, "exec"), module.__dict__)  # noqa: S102 - what this process is for
    return module.__dict__


if __name__ == "__main__":
    main()
