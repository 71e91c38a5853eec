"""Compares an image's SBOM with the lock files, and its provenance with the image.

usage: sbom_true.py SBOM PROVENANCE BINARY DIGEST REPOSITORY
"""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path


def crates_linked(repository: Path, package: str) -> set[tuple[str, str]]:
    """Crates of a package as Cargo resolves them, but those that only run while it is built or tested."""
    tree = subprocess.run(
        ["cargo", "tree", "--locked", "--edges", "normal,no-proc-macro", "--prefix", "none",
         "--package", package, "--format", "{p}"],
        cwd=repository, check=True, capture_output=True, text=True,
    ).stdout
    return {tuple(re.match(r"(\S+) v(\S+)", line).groups()) for line in tree.splitlines() if line}


def main() -> None:
    sbom, provenance, binary, digest, repository = sys.argv[1:]
    sbom, provenance = json.loads(Path(sbom).read_text()), json.loads(Path(provenance).read_text())
    repository = Path(repository)
    found: dict[str, set[tuple[str, str]]] = {}
    for component in sbom["components"]:
        kind = component.get("purl", "").partition("/")[0].removeprefix("pkg:")
        found.setdefault(kind, set()).add((component["name"], component.get("version", "")))
    crates, wrong = found.get("cargo", set()), []

    locked = {(it["name"], it["version"]) for it in tomllib.loads((repository / "Cargo.lock").read_text())["package"]}
    wrong += [f"crate {name} {version} is not in Cargo.lock" for name, version in sorted(crates - locked)]
    missing = crates_linked(repository, binary) - crates
    wrong += [f"crate {name} {version} is linked and not named" for name, version in sorted(missing)]
    if len(found.get("deb", ())) < 20:
        wrong.append(f"only {len(found.get('deb', ()))} packages of Debian")
    if binary == "frontend":
        packages = json.loads((repository / "services/frontend/web/package-lock.json").read_text())["packages"]
        needed = {(path.rpartition("node_modules/")[2], it["version"]) for path, it in packages.items()
                  if path and not it.get("dev") and not it.get("optional") and not it.get("peer")}
        missing = {name for name, version in needed
                   if (name, version) not in found.get("npm", set())
                   and (name.rpartition("/")[2], version) not in found.get("npm", set())}
        wrong += [f"package {name} is in the bundle and not named" for name in sorted(missing)]

    subject = provenance["subject"][0]["digest"]["sha256"]
    if f"sha256:{subject}" != digest:
        wrong.append(f"the provenance is of sha256:{subject}, the image is {digest}")
    materials = provenance["predicate"]["buildDefinition"]["resolvedDependencies"]
    if not any(re.fullmatch("[0-9a-f]{40}", it["digest"].get("gitCommit", "")) for it in materials):
        wrong.append("the provenance names no commit")
    if not all(value for it in materials for value in it["digest"].values()):
        wrong.append("the provenance names a material without its digest")
    if wrong:
        sys.exit("\n".join(wrong[:40]))
    print(", ".join(f"{len(names)} {kind or 'others'}" for kind, names in sorted(found.items())))


main()
