"""The programs of the demo's shop: ordinary services, each started as a process, none of which knows of tracing."""
