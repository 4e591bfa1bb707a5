"""The reference release's episode files (Szot et al. 2024): read safely, and put into this program's words.

`safe_pickle` reads the pickle, `reader` checks what it says, `tasks` and `slots` tell family, goal and slots, and
`oddities` counts what is odd about a file. Nothing here knows a simulator.
"""
