"""The BPF programs, as text that bcc compiles on the machine where it runs.

A probe is one `<name>.c` with its `<name>.toml`: the C holds the programs, the TOML says what each program hooks and
why. To add one, add the two files; `agent.kernel.programs` finds them. `include/` holds what probes share,
`include/events.h` describes every record that leaves the kernel, and `stub/` stands in for the kernel's headers.
"""
