"""Traces and figures for people and programs: tables, waterfalls, graphs, JSON. Pure functions.

Text of traced programs is made fit for a terminal here (`printable`), or escaped for the format that is written.
"""
