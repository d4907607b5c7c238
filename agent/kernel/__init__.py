"""The only package that talks to the kernel's BPF side."""
