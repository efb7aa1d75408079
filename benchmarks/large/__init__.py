"""Measurements that take long, and are made by themselves."""
