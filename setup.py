"""What setup.cfg cannot say: the chapters in demos/ are installed as the package micrograd_like.demos."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["micrograd_like*"]), "micrograd_like.demos"],
    package_dir={"micrograd_like.demos": "demos"},
)
