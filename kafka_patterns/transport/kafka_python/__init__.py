"""The transport on kafka-python-ng: the only package that imports ``kafka``."""
