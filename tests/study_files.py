"""A study of two methods and a bound, which tests change."""

FILE = """\
# Two methods and a bound
methods:
  ours:
    recipe: quickstart
    seeds: [0, 1]
  lstm:
    recipe: quickstart
    overrides: {policy: lstm}
  planner:
    policy: planner
overrides:
  steps: 4000
  imitation.steps: 2000
  tasks: {families: [move]}
evaluation: {splits: [train, rephrasing], limit: 4}
"""
