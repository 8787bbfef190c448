"""Reading, drawing and writing sound, pictures and video. Only the submodules import PyAV and Pillow."""
