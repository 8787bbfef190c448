"""Reading and writing pictures and sound with PyAV, which is imported by the submodules."""
