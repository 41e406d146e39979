"""Loads every program of BPF objects on its own and prints what the verifier says of it, a JSON line per program.

    bpf-stats.py OBJECT...

Through libbpf (0.8 or later) of this system, with nothing attached and nothing kept. One program at a time, so that one
that is refused hides no other. `state`: `loaded`, `unavailable` (this kernel has no such tracepoint or function), or
`refused`. `instructions` is what the verifier processed, `stackBytes` the stacks of all functions of the program
together; both are null unless it was loaded, and then `error` names the errno and `log` is the end of what was said.
Exit status 0 when nothing was refused, 1 otherwise.
"""

import ctypes
import errno
import json
import os
import re
import sys

# include/linux/bpf_verifier.h
BPF_LOG_LEVEL1 = 1
BPF_LOG_STATS = 4
LOG_BYTES = 16 * 1024 * 1024 - 1  # kernels before 6.4 take no longer one, and refuse a program when it is full
LOG_LINES = 60

libbpf = ctypes.CDLL("libbpf.so.1", use_errno=True)
libc = ctypes.CDLL(None)
pointer = ctypes.c_void_p
for name, result, arguments in [
    ("bpf_object__open_file", pointer, [ctypes.c_char_p, pointer]),
    ("bpf_object__next_program", pointer, [pointer, pointer]),
    ("bpf_object__load", ctypes.c_int, [pointer]),
    ("bpf_object__close", None, [pointer]),
    ("bpf_program__name", ctypes.c_char_p, [pointer]),
    ("bpf_program__section_name", ctypes.c_char_p, [pointer]),
    ("bpf_program__insn_cnt", ctypes.c_size_t, [pointer]),
    ("bpf_program__set_autoload", ctypes.c_int, [pointer, ctypes.c_bool]),
    ("bpf_program__set_log_level", ctypes.c_int, [pointer, ctypes.c_uint]),
    ("bpf_program__set_log_buf", ctypes.c_int, [pointer, pointer, ctypes.c_size_t]),
]:
    function = getattr(libbpf, name)
    function.restype = result
    function.argtypes = arguments

messages = []


# va_list is passed as a pointer on x86-64 and arm64.
@ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_char_p, pointer)
def on_message(level, template, arguments):
    text = ctypes.create_string_buffer(1 << 16)
    libc.vsnprintf(text, ctypes.c_size_t(len(text)), template, pointer(arguments))
    if level <= 1:
        messages.append(text.value.decode(errors="replace").rstrip())
    return 0


libbpf.libbpf_set_print(on_message)


def programs(opened):
    found, program = [], libbpf.bpf_object__next_program(opened, None)
    while program:
        found.append(program)
        program = libbpf.bpf_object__next_program(opened, program)
    return found


def open_object(path):
    opened = libbpf.bpf_object__open_file(path.encode(), None)
    if not opened:
        raise OSError(ctypes.get_errno(), "cannot be opened: " + "\n".join(messages), path)
    return opened


def load_one(path, index, level):
    """Loads the program of that number alone: the errno, 0 for none, and the verifier's log."""
    messages.clear()
    opened = open_object(path)
    log = ctypes.create_string_buffer(LOG_BYTES)
    for number, program in enumerate(programs(opened)):
        libbpf.bpf_program__set_autoload(program, number == index)
        if number == index:
            libbpf.bpf_program__set_log_level(program, level)
            libbpf.bpf_program__set_log_buf(program, log, LOG_BYTES)
    failed = -libbpf.bpf_object__load(opened)
    libbpf.bpf_object__close(opened)
    return failed, log.value.decode(errors="replace")


def state(failed, log):
    """Does this kernel lack what the program is for, or does the verifier refuse what it does?"""
    if any("failed to find kernel BTF type ID of" in text for text in messages):
        return "unavailable"
    # The other number is what libbpf puts where a CO-RE relocation found nothing.
    unknown = re.search(r"(?:invalid|unknown) func \w+#(\d+)", log)
    return "unavailable" if unknown and unknown[1] != "195896080" else "refused"


def describe(path, index, program):
    failed, log = load_one(path, index, BPF_LOG_STATS)
    processed = re.search(r"processed (\d+) insns", log)
    stack = re.search(r"stack depth ([\d+]+)", log)
    result = {
        "object": os.path.basename(path),
        "program": libbpf.bpf_program__name(program).decode(),
        "section": libbpf.bpf_program__section_name(program).decode(),
        "compiled": libbpf.bpf_program__insn_cnt(program),
        "state": state(failed, log) if failed else "loaded",
        "instructions": None if failed or not processed else int(processed[1]),
        "stackBytes": None if failed or not stack else sum(int(part) for part in stack[1].split("+")),
        "error": errno.errorcode.get(failed, str(failed)) if failed else None,
    }
    if failed:
        # With all that the verifier says. Only now: what is accepted may say more than a log can hold.
        again, steps = load_one(path, index, BPF_LOG_LEVEL1)
        said = "\n".join(messages)
        result["log"] = "\n".join([*(steps if again == failed else log).rstrip().split("\n")[-LOG_LINES:], said])
    return result


refused = 0
for path in sys.argv[1:]:
    messages.clear()
    listed = open_object(path)
    for index, program in enumerate(programs(listed)):
        result = describe(path, index, program)
        refused += result["state"] == "refused"
        print(json.dumps(result), flush=True)
    libbpf.bpf_object__close(listed)
sys.exit(1 if refused else 0)
