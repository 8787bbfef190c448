"""Helpers of the tests, tools and benchmarks: real ComfyUI servers, small models in the released format, media."""
