"""How a process counts, how that is shown, and how several processes are shown as one.

What is counted stands in `engine/infra/metrics.py`. `kinds` are counters, histograms and gauges of
plain numbers; `families` what all of them become; `merging` adds those of several processes up;
`exposition` writes them as Prometheus reads them; `socket` tells them to a supervisor.
"""
