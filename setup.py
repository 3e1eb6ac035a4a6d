"""What pyproject.toml cannot say: the extension, and the program that is compiled beside it."""

import os
import runpy
import sysconfig
import tempfile
from functools import partial
from pathlib import Path

from setuptools import Distribution, setup  # isort: skip: it provides distutils

from distutils.ccompiler import new_compiler
from distutils.command.build_scripts import build_scripts
from distutils.errors import LinkError
from distutils.sysconfig import customize_compiler

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


class BuildFront(build_scripts):
    """Compiles the program `allocq` where other packages copy a script."""

    distribution: Distribution

    def run(self) -> None:
        build = runpy.run_path("allocq/core/build.py")
        compiler = new_compiler()
        customize_compiler(compiler)
        if other := os.environ.get("ALLOCQ_PROGRAM_CC"):  # for another C library than the extension
            compiler.compiler_so[0] = compiler.linker_exe[0] = other
        self.mkpath(self.build_dir)
        link = partial(
            compiler.link_executable,
            output_progname="allocq",
            output_dir=self.build_dir,
            extra_postargs=["-s"],
        )
        # Whatever lies in build_dir, or beside it, goes into the wheel.
        with tempfile.TemporaryDirectory() as scratch:
            objects = compiler.compile(
                [str(build["HERE"] / name) for name in build["ENGINE"] + build["FRONT"]],
                output_dir=scratch,
                extra_postargs=[*build["COMPILE_FLAGS"], "-fPIE"],
            )
            try:
                # Without the dynamic loader, the program starts in less time than `true`. Zig's
                # compiler ignores -static-pie, and makes one with -fPIE.
                link(objects, extra_preargs=["-static-pie", "-fPIE"])
            except LinkError:
                link(objects)
        (Path(self.build_dir) / "allocq").chmod(0o755)

    def get_source_files(self) -> list[str]:
        return []


setup(
    # orjson refuses a Python without the GIL; json takes its place.
    install_requires=["typer>=0.16", "cffi>=1.16", *([] if FREE_THREADED else ["orjson>=3.9"])],
    # Without the GIL there is no stable ABI before Python 3.15.
    options={} if FREE_THREADED else {"bdist_wheel": {"py_limited_api": "cp311"}},
    cffi_modules=["allocq/core/build.py:ffi"],
    scripts=["allocq/core/front.c"],
    cmdclass={"build_scripts": BuildFront},
)
