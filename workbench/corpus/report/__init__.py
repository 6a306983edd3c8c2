"""What became of every record of a corpus, for report.json.

sources.py      counts by source            funnel.py       what each step let through
histograms.py   how figures are spread      clusters.py     who is a copy of whom
"""
