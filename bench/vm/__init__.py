"""What zerospan costs, counted in instructions, in a guest (`make bench`, part b).

With `-icount shift=0` the guest's one CPU has a clock that counts executed instructions, 1 ns each: two equal runs differ
by about 0.2 %, whatever else the host does. Time in the guest means instructions; caches and the price of traps are not
modelled. A guest second takes some seconds to 30. Where nothing in the guest can run, the clock leaps to the next timer:
a wait for the host's files takes any time, so of a start the busy time counts.

    __main__.py    on the host: boots the guest, prints the tables, keeps the figures as JSON
    inside.py      in the guest: everything that is measured there, in order
    life.py        one life of the agent
    workloads.py   the servers and what asks them
    load.py        the load generators: wrk at saturation, paced.c at a rate
    readings.py    what /proc, bpftool and the agent's cgroup say
    table.py       the figures as lines
"""
