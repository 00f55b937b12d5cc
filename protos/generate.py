"""Writes generated/imajin from the contract: message classes, gRPC stubs, their type stubs, and the descriptor set with comments.

`python protos/generate.py` writes; `python protos/generate.py --check` compares and exits 1 where the two differ.
Pinned generators (extra `contract`): an older grpcio-tools writes code that newer runtimes accept, not the other way round.
"""

from __future__ import annotations

import filecmp
import shutil
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
CONTRACT = ROOT / "protos" / "imajin"
GENERATED = ROOT / "generated" / "imajin"
DESCRIPTORS = "contract.binpb"


def generate(target: Path) -> None:
    """Writes the package `imajin` into `target`, which must be empty."""
    well_known = files("grpc_tools") / "_proto"
    sources = sorted(str(path.relative_to(ROOT / "protos")) for path in CONTRACT.rglob("*.proto"))
    services = [source for source in sources if "\nservice " in (ROOT / "protos" / source).read_text()]
    include = [f"-I{ROOT / 'protos'}", f"-I{ROOT / 'protos' / 'third_party'}", f"-I{well_known}"]
    descriptors = target / "imajin" / DESCRIPTORS
    descriptors.parent.mkdir(parents=True)
    run([*include, f"--python_out={target}", f"--pyi_out={target}", *sources])
    # Beside this interpreter: the environment need not be activated.
    stubs = f"--plugin=protoc-gen-mypy_grpc={Path(sys.executable).parent / 'protoc-gen-mypy_grpc'}"
    run([*include, stubs, f"--grpc_python_out={target}", f"--mypy_grpc_out=readable_stubs,quiet:{target}", *services])
    run([*include, f"--descriptor_set_out={descriptors}", "--include_imports", "--include_source_info", *sources])
    for folder in [target / "imajin", *(path for path in (target / "imajin").rglob("*") if path.is_dir())]:
        (folder / "__init__.py").write_text("")
    (target / "imajin" / "py.typed").write_text("")


def run(arguments: list[str]) -> None:
    """Runs protoc; a failure ends the script with its status."""
    if status := protoc.main(["protoc", *arguments]):
        sys.exit(status)


def differences(left: Path, right: Path) -> list[str]:
    """Paths, relative to both folders, that are missing on one side or differ in bytes."""

    def names(folder: Path) -> set[str]:
        return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"}

    both = names(left) & names(right)
    changed = {name for name in both if not filecmp.cmp(left / name, right / name, shallow=False)}
    return sorted((names(left) ^ names(right)) | changed)


def main() -> int:
    """Generates or checks; returns the exit status."""
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch))
        fresh = Path(scratch) / "imajin"
        if "--check" in sys.argv[1:]:
            stale = differences(fresh, GENERATED)
            for name in stale:
                print(f"generated/imajin/{name} does not match the contract: run `make generate`")
            return 1 if stale else 0
        shutil.rmtree(GENERATED, ignore_errors=True)
        shutil.copytree(fresh, GENERATED)
    return 0


if __name__ == "__main__":
    sys.exit(main())
