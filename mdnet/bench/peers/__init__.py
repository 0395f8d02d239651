"""Other programs on the same work, each in a process of its own that may be of another environment.

These files need no mdnet: they run as the package `peers` with its folder's parent on the path, and import each other
relatively. A module that needs a library that may be missing is imported by the process that is asked for it.
"""
