"""The process that runs one habitat-sim, in whichever interpreter has it.

It needs Python 3.9, numpy and habitat-sim, and nothing of this package but this folder: `connection` starts it by the
folder's path, so that nothing else that is installed here gets into that interpreter's way.
"""
