"""Comparing this implementation with golden tensors of the official one."""
