"""The Java programs of java-tests."""

import functools
import subprocess

from .paths import ROOT


@functools.cache
def classpath(version: str = "4.4.0") -> str:
    """The programs, compiled with one version of kafka-clients, and that client."""
    out = ROOT / "target" / f"java-classpath-{version}.txt"
    out.parent.mkdir(exist_ok=True)
    subprocess.run(["mvn", "-q", "-B", "-f", ROOT / "java-tests" / "pom.xml", "compile", "dependency:build-classpath",
                    f"-Dkafka.version={version}", f"-Dmdep.outputFile={out}"], check=True, stdin=subprocess.DEVNULL, timeout=280)
    return f"{ROOT}/java-tests/target/{version}/classes:{out.read_text().strip()}"
