"""What zerospan costs, counted in instructions, in a guest (`make bench`, part b).

With `-icount shift=0` the guest's one CPU has a clock that counts executed instructions, 1 ns each: two equal runs differ
by about 0.2 %, whatever else the host does. Time in the guest means instructions; caches and the price of traps are not
modelled. A guest second takes 15 to 30 s.

    __main__.py    on the host: boots the guest, prints the table, keeps the figures as JSON
    inside.py      in the guest: each workload without and with the agent
    workloads.py   the servers and the load on them
    readings.py    what /proc, bpftool and the agent's cgroup say
"""
