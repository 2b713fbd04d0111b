"""The decisions: pure functions over plain values.

Comes in: one instant of cluster and market, scores, limits, our own state. Goes out: a plan with
every gate's verdict. May not do: read a clock, wait, log, touch the network or a file, or draw a
random number; `now` is an argument. Held by `.importlinter`.
"""
