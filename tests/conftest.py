"""What all tests share: hypothesis without luck or clock, and one cache of compiled kernels that is not the user's."""

import os

from hypothesis import settings

settings.register_profile("minicnn", deadline=None, derandomize=True)
settings.load_profile("minicnn")


def pytest_configure(config):
    """Kernels compile once for all processes of a run, and stay for the next run; MINICNN_CACHE names another place."""
    if config.pluginmanager.hasplugin("cacheprovider"):
        os.environ.setdefault("MINICNN_CACHE", str(config.cache.mkdir("minicnn")))
