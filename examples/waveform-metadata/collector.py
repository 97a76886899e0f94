#!/usr/bin/env python3
"""Quality metadata of seismic waveforms: one JSON document for each miniSEED file, and a summary.

    collector.py [--input DIR] [--output DIR]          /input and /output by default: the ports of the service

Reads every regular file below the input directory, in sorted order, with ObsPy's `MSEEDMetadata`, and writes
`metadata/<path of the file>.json` and, last and only if everything succeeded, `summary.json`. The same input gives the
same bytes: identifiers come from the content of the file, nothing from the clock or from chance.

Exit codes: 0 all files were described · 1 a file could not be read, or a document could not be written · 2 there is
no input. Every failure is named on stderr; a result without `summary.json` is incomplete.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

CONTENT_FAILED, NO_INPUT = 1, 2


class Failure(Exception):
    """Why the service cannot deliver; `code` is its exit code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def input_files(directory: Path) -> list[Path]:
    """Every regular file below `directory`, sorted by path. Links are not followed: they lead out of the input."""
    if not directory.is_dir():
        raise Failure(NO_INPUT, f"the input directory {directory} does not exist")

    def refuse(error: OSError) -> None:
        raise Failure(CONTENT_FAILED, f"cannot list {error.filename}: {error.strerror}")

    found = [
        Path(folder) / name
        for folder, _, names in os.walk(directory, onerror=refuse)
        for name in names
        if not (Path(folder) / name).is_symlink() and (Path(folder) / name).is_file()
    ]
    if not found:
        raise Failure(NO_INPUT, f"there is no file in the input directory {directory}")
    return sorted(found, key=lambda path: path.relative_to(directory).as_posix())


def describe(file: Path, name: str) -> dict[str, Any]:
    """ObsPy's quality metadata of one file, under `name` instead of its path. Raises Failure.

    ObsPy only *warns* of damage and goes on without the rest of the file, and says nothing of a last record that is cut
    short: here both are failures."""
    from obspy.io.mseed import InternalMSEEDWarning  # late: the usage message needs no ObsPy
    from obspy.signal.quality_control import MSEEDMetadata

    try:
        content = file.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        with warnings.catch_warnings():
            warnings.simplefilter("error", InternalMSEEDWarning)
            meta = MSEEDMetadata([str(file)], id=f"smi:local/qc/{digest}", add_flags=True).meta
    except Exception as error:  # whatever a damaged file makes a parser raise
        raise Failure(CONTENT_FAILED, f"cannot read {name} as miniSEED: {type(error).__name__}: {error}") from error
    record = min(meta["record_length"])
    if len(content) % record:
        raise Failure(CONTENT_FAILED, f"cannot read {name} as miniSEED: {len(content)} bytes do not end with a whole record of {record}")
    return {**meta, "files": [name], "sha256": digest}


def write_json(path: Path, document: object) -> None:
    """Sorted keys and no NaN (which is not JSON); complete or not there."""
    from obspy.signal.quality_control import DataQualityEncoder

    part = path.with_name(f".{path.name}.part")
    try:
        text = json.dumps(document, cls=DataQualityEncoder, indent=1, sort_keys=True, allow_nan=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text + "\n", encoding="utf-8")
        part.replace(path)
    except (OSError, ValueError) as error:
        raise Failure(CONTENT_FAILED, f"cannot write {path}: {error}") from error


def summarise(documents: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """What was read, one line a file, and the extent of each stream."""
    files, streams = [], {}
    for document in documents:
        files.append(
            {key: document[key] for key in ("sha256", "seed_id", "start_time", "end_time", "num_samples", "num_gaps",
                                            "num_overlaps", "percent_availability")} | {"file": document["files"][0]}
        )  # fmt: skip
        start, end = str(document["start_time"]), str(document["end_time"])
        stream = streams.setdefault(
            document["seed_id"], {"files": 0, "samples": 0, "gaps": 0, "first": start, "last": end}
        )
        stream["files"] += 1
        stream["samples"] += document["num_samples"]
        stream["gaps"] += document["num_gaps"]
        stream["first"], stream["last"] = min(stream["first"], start), max(stream["last"], end)
    return {"number_of_files": len(files), "files": files, "streams": streams}


def collect(source: Path, target: Path) -> int:
    """Describes every file; returns how many. Raises Failure after all were tried, so that each bad one is named."""
    documents, failures = [], []
    for file in input_files(source):
        name = file.relative_to(source).as_posix()
        try:
            document = describe(file, name)
            write_json(target / "metadata" / f"{name}.json", document)
        except Failure as failure:
            failures.append(failure)
            print(f"error: {failure}", file=sys.stderr)
        else:
            documents.append(document)
            print(f"{name}: {document['seed_id']}, {document['num_samples']} samples, {document['num_gaps']} gaps")
    if failures:
        raise Failure(CONTENT_FAILED, f"{len(failures)} of {len(failures) + len(documents)} files failed; no summary")
    write_json(target / "summary.json", summarise(documents))
    return len(documents)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Quality metadata of miniSEED files, as JSON documents.")
    parser.add_argument("--input", type=Path, default=Path("/input"), help="directory of miniSEED files")
    parser.add_argument("--output", type=Path, default=Path("/output"), help="directory to write to")
    chosen = parser.parse_args(arguments)
    try:
        written = collect(chosen.input, chosen.output)
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        return failure.code
    print(f"{written} documents and summary.json written to {chosen.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
