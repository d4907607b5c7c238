"""zerospan: traces programs that nobody instrumented."""

__version__ = "0.1.0"
