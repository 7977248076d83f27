#!/usr/bin/env python3
"""Writes the dashboards: deploy/grafana/make.py, or with --check says whether they are up to date.

Plain dictionaries, six kinds of panels and the standard library, so that it runs anywhere. Grafana's own
library (grafana-foundation-sdk) would make the same with an installation; tests/panels reads what is made
here with it and writes it again, so that a field that Grafana does not know is found.
"""

import json
import pathlib
import sys

import boards

HERE = pathlib.Path(__file__).resolve().parent


def main():
    stale = []
    for name, made in {
        "mill": boards.mill(),
        "stage": boards.stage(),
        "media": boards.media(),
        "api": boards.api(),
    }.items():
        file = HERE / "dashboards" / f"{name}.json"
        text = json.dumps(made, indent=2) + "\n"
        if "--check" not in sys.argv[1:]:
            file.write_text(text)
        elif not file.exists() or file.read_text() != text:
            stale.append(str(file.relative_to(HERE.parent.parent)))
    if stale:
        sys.exit(f"{', '.join(stale)}: not what deploy/grafana/make.py makes; run it")


if __name__ == "__main__":
    main()
