#!/usr/bin/env python3
"""What the program is made of: the licences of its crates as one text, and all its parts by CycloneDX.

The crates are those of `cargo tree`, with the features that are built; nothing has to be installed.
Beside a crate's own licence files those of the C libraries it carries are taken, wherever they lie in it.
"""

import argparse
import hashlib
import json
import re
import subprocess
import sys
import uuid
import zipfile
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).resolve().parents[2]
TEXTS = ROOT / "scripts/dist/licenses"
# Where a crate has no text of its own; in the order in which one of several is taken.
STANDARD = {"Apache-2.0": ROOT / "LICENSE", "MIT": TEXTS / "MIT.txt", "WTFPL": TEXTS / "WTFPL.txt"}
NAMED = re.compile(r"(licen[cs]es?|copying|notice|unlicense|copyright|patents)([-._].*)?", re.IGNORECASE)
# Programs that check licences, and lists of names.
NO_TEXT = {".c", ".h", ".html", ".js", ".json", ".jsx", ".py", ".rs", ".sh", ".svg", ".toml", ".yml", ".yaml"}
# Needed by a build script only, which puts its files into the program: {the script's crate: what it takes}.
CARRIED = {"utoipa-swagger-ui": "utoipa-swagger-ui-vendored"}
ROW = re.compile(r"\| (\S+\.onnx) \|.*\b(Apache-2\.0|CC0)\b.*\| `([0-9a-f]{64})` \|")
SPDX = {"Apache-2.0": "Apache-2.0", "CC0": "CC0-1.0"}


def cargo(*arguments):
    """What cargo prints; its own words go where ours go."""
    told = subprocess.run(["cargo", *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if told.returncode != 0:
        sys.exit(f"parts: cargo {arguments[0]} failed: its words are above")
    return told.stdout


class Crates:
    """The crates of the program: `packages` by (name, version), and which of them each uses."""

    def __init__(self, target):
        lines = cargo("tree", "--locked", "--package", "reelmill", "--edges", "normal", "--target", target,
                      "--prefix", "depth", "--format", " {p}").splitlines()
        self.uses = {}
        above = []
        for line in lines:
            depth, name, version = re.match(r"(\d+) (\S+) v(\S+)", line).groups()
            crate = (name, version)
            del above[int(depth):]
            if above:
                self.uses[above[-1]].add(crate)
            self.uses.setdefault(crate, set())
            above.append(crate)
        metadata = json.loads(cargo("metadata", "--locked", "--format-version=1", "--filter-platform", target))
        known = {(package["name"], package["version"]): package for package in metadata["packages"]}
        for crate in list(self.uses):
            for carried in known:
                if carried[0] == CARRIED.get(crate[0]):
                    self.uses[crate].add(carried)
                    self.uses[carried] = set()
        self.packages = {crate: known[crate] for crate in sorted(self.uses)}
        self.sums = {(name, version): checksum for name, version, checksum in re.findall(
            r'^name = "(.+)"\nversion = "(.+)"\nsource = .*\nchecksum = "(.+)"$',
            (ROOT / "Cargo.lock").read_text(), re.MULTILINE)}


def expression(package):
    """The licence as SPDX writes it; older crates have a slash for OR."""
    return re.sub(r" ?/ ?", " OR ", package["license"] or "")


def files(package):
    """All files of a crate, by their path in it, also those in its zip archives; each with what reads it."""
    folder = Path(package["manifest_path"]).parent
    for file in sorted(folder.rglob("*")):
        path = file.relative_to(folder)
        if file.suffix == ".zip":
            archive = zipfile.ZipFile(file)
            for inside in archive.namelist():
                yield path / inside, lambda inside=inside: archive.read(inside)
        elif file.is_file():
            yield path, file.read_bytes


def texts(package):
    """The licence files of a crate, by their path in it."""
    for path, read in files(package):
        if NAMED.fullmatch(path.name) and path.suffix.lower() not in NO_TEXT:
            text = read().decode("utf-8", errors="replace").strip()
            if text:
                yield str(path), text


def standard(package):
    """The text of a licence that the crate names and has no file of."""
    for license, file in STANDARD.items():
        if re.search(rf"(?<![\w.-]){re.escape(license)}(?![\w.-])", expression(package)):
            authors = ", ".join(package["authors"])
            return license, file.read_text().strip().replace("the authors\n", f"{authors or 'the authors'}\n", 1)
    sys.exit(f"parts: {package['name']} {package['version']} has no text of its licence, "
             f"{package['license']}: put one into scripts/dist/licenses and STANDARD of parts.py")


def licenses(arguments):
    crates = Crates(arguments.target)
    found = {}
    print("The crates that reelmill is built from, and their licences. Each text names the crates it comes from.\n")
    for (name, version), package in crates.packages.items():
        if not package["source"]:
            continue
        print(f"{name} {version}: {expression(package) or 'see its text'}")
        own = list(texts(package))
        for path, text in own:
            same = found.setdefault(" ".join(text.split()), (text, []))
            same[1].append(f"{name} {version}: {path}")
        # A text deeper inside is a part's, not the crate's.
        if not any("/" not in path for path, _ in own):
            license, text = standard(package)
            same = found.setdefault(" ".join(text.split()), (text, []))
            same[1].append(f"{name} {version}, which names {license} and has no text of it")
    for text, places in found.values():
        print("\n" + "=" * 100)
        print("\n".join(places))
        print("-" * 100)
        print(text)


def sha256(file):
    return [{"alg": "SHA-256", "content": hashlib.sha256(Path(file).read_bytes()).hexdigest()}]


def crate_component(crate, package, checksum):
    name, version = crate
    component = {"type": "library", "bom-ref": reference(crate, package), "name": name, "version": version}
    if package["description"]:
        component["description"] = " ".join(package["description"].split())
    if checksum:
        component["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    if package["license"]:
        component["licenses"] = [{"expression": expression(package)}]
    if package["source"]:
        component["purl"] = reference(crate, package)
    return component


def reference(crate, package):
    """The package URL; the project's own crates are nowhere to be had and have a word."""
    name, version = crate
    return f"pkg:cargo/{name}@{quote(version)}" if package["source"] else f"reelmill:{name}"


def onnxruntime(library):
    version = re.search(r"\.so\.(.+)$", library).group(1)
    purl = f"pkg:pypi/onnxruntime@{version}"
    return {"type": "library", "bom-ref": purl, "name": "onnxruntime", "version": version, "hashes": sha256(library),
            "licenses": [{"license": {"id": "MIT"}}], "purl": purl}


def models():
    """The weights, which are compiled in, as models/README.md lists them."""
    rows = ROW.findall((ROOT / "models/README.md").read_text())
    files = sorted(file.name for file in (ROOT / "models").glob("*.onnx"))
    if sorted(name for name, _, _ in rows) != files:
        sys.exit(f"parts: models/README.md does not list {', '.join(files)}, each with licence and sha256")
    for name, license, listed in rows:
        hashes = sha256(ROOT / "models" / name)
        if hashes[0]["content"] != listed:
            sys.exit(f"parts: models/{name} has not the sha256 that models/README.md names")
        yield {"type": "machine-learning-model", "bom-ref": f"model:{name}", "name": name, "hashes": hashes,
               "licenses": [{"license": {"id": SPDX[license]}}]}


def swagger_ui(package):
    """The pages that show the API, which are a zip archive in a crate."""
    archive = next(Path(package["manifest_path"]).parent.glob("res/v*.zip"))
    version = archive.stem.removeprefix("v")
    purl = f"pkg:npm/swagger-ui-dist@{version}"
    return {"type": "library", "bom-ref": purl, "name": "swagger-ui-dist", "version": version,
            "licenses": [{"license": {"id": "Apache-2.0"}}], "purl": purl}


def system(file):
    """Debian's packages, which are not delivered: the program loads their libraries."""
    packages = {}
    for line in Path(file).read_text().splitlines():
        soname, package, version = line.split()
        packages.setdefault((package, version), []).append(soname)
    for (package, version), sonames in sorted(packages.items()):
        purl = f"pkg:deb/debian/{quote(package)}@{quote(version)}?distro=debian-12"
        yield {"type": "library", "bom-ref": purl, "name": package, "version": version, "scope": "required",
               "description": f"the system's, not delivered: {', '.join(sonames)}", "purl": purl}


def sbom(arguments):
    crates = Crates(arguments.target)
    by_crate = {crate: reference(crate, package) for crate, package in crates.packages.items()}
    root = next(crate for crate in by_crate if crate[0] == "reelmill")
    program = {**crate_component(root, crates.packages[root], None), "type": "application",
               "version": arguments.version, "hashes": sha256(arguments.program)}
    pages = [swagger_ui(package) for crate, package in crates.packages.items() if crate[0] in CARRIED.values()]
    beside = [onnxruntime(arguments.onnxruntime), *models(), *pages, *system(arguments.system)]
    parts = [crate_component(crate, package, crates.sums.get(crate))
             for crate, package in crates.packages.items() if crate != root]
    uses = {by_crate[crate]: sorted(by_crate[used] for used in used_ones) for crate, used_ones in crates.uses.items()}
    uses[by_crate[root]] += [part["bom-ref"] for part in beside]
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(arguments.epoch, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": program,
        },
        "components": parts + beside,
        "dependencies": [{"ref": ref, "dependsOn": uses[ref]} for ref in sorted(uses)],
    }
    # The same parts have the same number.
    document["serialNumber"] = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(document, sort_keys=True)).urn
    json.dump(document, sys.stdout, indent=1, sort_keys=True)
    print()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    for name, does in (("licenses", licenses), ("sbom", sbom)):
        command = commands.add_parser(name)
        command.set_defaults(does=does)
        command.add_argument("--target", required=True)
        if does is sbom:
            command.add_argument("--version", required=True)
            command.add_argument("--epoch", required=True, type=int)
            for file in ("--program", "--onnxruntime", "--system"):
                command.add_argument(file, required=True)
    arguments = parser.parse_args()
    arguments.does(arguments)


if __name__ == "__main__":
    main()
