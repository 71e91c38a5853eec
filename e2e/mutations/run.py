#!/usr/bin/env python3
"""`make mutations`: each mutant of the operator that mutations.toml lists is caught by its test, or this fails.

All mutants are one build: the tree is copied, and each mutated place becomes a branch that the environment variable
MUTANT chooses. The tests run without a mutant, too: they have to pass. Words as arguments choose the mutants that have
one of them in their name. MUTATION_JOBS tests run at a time; as many as there are processors when it is not set.
`run.py --check`, of `make test`, only sees whether each mutated place is still there.
"""

import json
import os
import shutil
import subprocess
import sys
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPO = HERE.parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", REPO / "target"))
TREE = TARGET / "mutations"
# Of its own: Cargo would take a mutant's crate for the crate. Built once: what makes the next build quicker only takes room.
ENVIRONMENT = os.environ | {"CARGO_TARGET_DIR": str(TARGET / "mutations-target"), "CARGO_INCREMENTAL": "0"}
# A test on a clock that stands still may never end where the operator spins.
LONGEST_SECONDS = 900

CHOOSES = """
/// Whether this process is that mutant.
pub fn mutant(name: &str) -> bool {
    std::env::var("MUTANT").is_ok_and(|mutant| mutant == name)
}
"""


def copy_tree():
    """The tracked files, by name."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=REPO, capture_output=True, check=True).stdout
    files = {}
    for name in names.decode().split("\0"):
        if name and (REPO / name).is_file():
            files[name] = (REPO / name).read_bytes()
    return files


def instrument(files, mutations):
    """Puts every mutant into its file. Mutants of one place stand in each other's else."""
    by_place = {}
    for mutation in mutations:
        by_place.setdefault((mutation["file"], mutation["find"].strip()), []).append(mutation)
    for (file, find), mutants in by_place.items():
        text = files[file].decode()
        if text.count(find) != 1:
            sys.exit(f"{file} has {text.count(find)} times, and not once: {find}")
        body = find
        for mutation in mutants:
            name = json.dumps(mutation["name"])
            body = f"if crate::mutant({name}) {{ {mutation['instead'].strip()} }} else {{ {body} }}"
        if not find.endswith(";"):
            body = f"({body})"
        files[file] = text.replace(find, body).encode()
    files["src/lib.rs"] += CHOOSES.encode()


def write_tree(files):
    """Files that did not change keep their time, so that little is built anew."""
    for old in [path for path in TREE.rglob("*") if path.is_file()]:
        if str(old.relative_to(TREE)) not in files:
            old.unlink()
    for name, content in files.items():
        path = TREE / name
        if path.is_file() and path.read_bytes() == content:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        shutil.copymode(REPO / name, path)


def build():
    """The test binaries by name."""
    command = ["cargo", "test", "--locked", "--no-run", "--package", "simulation"]
    command += ["--test", "whole", "--test", "operator", "--message-format", "json"]
    built = subprocess.run(command, cwd=TREE, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    if built.returncode != 0:
        sys.exit("the mutants do not build")
    messages = [json.loads(line) for line in built.stdout.splitlines() if line.startswith("{")]
    found = [it for it in messages if it.get("executable") and it.get("profile", {}).get("test")]
    return {it["target"]["name"]: it["executable"] for it in found}


def run(binaries, test, mutant=None):
    """How a test ends, and in how many seconds."""
    binary, name = test.split("::", 1)
    environment = os.environ | ({"MUTANT": mutant} if mutant else {})
    command = [binaries[binary], "--exact", name, "--include-ignored"]
    started = time.monotonic()
    try:
        ended = subprocess.run(
            command, cwd=TREE / "simulation", env=environment, capture_output=True, text=True, timeout=LONGEST_SECONDS
        )
        if "running 1 test" not in ended.stdout:
            sys.exit(f"there is no test {test}")
        result = "passed" if ended.returncode == 0 else "failed"
    except subprocess.TimeoutExpired:
        result = "never ended"
    return result, time.monotonic() - started


def told(mutation, without, result, seconds):
    """Prints a line of the table; whether the mutant was caught."""
    name, test = mutation["name"], mutation["test"]
    short = test.removeprefix("whole::")
    print(f"| {name} | `{short}` | {without[test]} | {result} | {seconds:.0f} |", flush=True)
    return without[test] == "passed" and result != "passed"


def main():
    mutations = tomllib.loads((HERE / "mutations.toml").read_text())["mutation"]
    if sys.argv[1:] == ["--check"]:
        instrument(copy_tree(), mutations)
        return
    chosen = [it for it in mutations if not sys.argv[1:] or any(word in it["name"] for word in sys.argv[1:])]
    files = copy_tree()
    instrument(files, mutations)
    write_tree(files)
    binaries = build()
    print("| mutant | test | without | with | seconds |")
    print("|---|---|---|---|---|", flush=True)
    tests = sorted({it["test"] for it in chosen})
    with ThreadPoolExecutor(int(os.environ.get("MUTATION_JOBS", os.cpu_count() or 1))) as pool:
        # One that fails without a mutant proves nothing of those that it fails with.
        without = dict(zip(tests, pool.map(lambda test: run(binaries, test)[0], tests)))
        with_mutant = pool.map(lambda it: run(binaries, it["test"], it["name"]), chosen)
        survivors = [it["name"] for it, ended in zip(chosen, with_mutant) if not told(it, without, *ended)]
    print(f"\n{len(chosen) - len(survivors)} of {len(chosen)} mutants caught; load average {os.getloadavg()[0]:.1f}")
    if survivors:
        sys.exit("not caught: " + "; ".join(survivors))


if __name__ == "__main__":
    main()
