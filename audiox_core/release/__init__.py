"""The released models: their names, files, download and tasks."""
