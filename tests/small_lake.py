"""How the lake servers of tests run, and those of the benchmarks that count and do not time: for minutes, on few rows.

Compiling for the long run costs such a server more than it brings, and so does compiling each query for the few rows
that it is to read, or planning it again after each of its stages.
"""

import os

SPARK_OPTIONS = (
    "-Dspark.sql.codegen.wholeStage=false",
    "-Dspark.sql.codegen.factoryMode=NO_CODEGEN",
    "-Dspark.sql.adaptive.enabled=false",
)
JVM_OPTIONS = ("-XX:TieredStopAtLevel=1", "-XX:ReservedCodeCacheSize=256m", "-XX:+UseSerialGC")
# Every JVM that starts with this variable takes them.
VARIABLE = "JDK_JAVA_OPTIONS"


def choose() -> None:
    """Servers that this process starts run so, unless whoever started it chose options of their own."""
    os.environ.setdefault(VARIABLE, " ".join((*JVM_OPTIONS, *SPARK_OPTIONS)))
