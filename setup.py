"""What setup.cfg cannot say: the chapters are the package micrograd_like.demos, and what of the README suits an index."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HOME = ""  # where the project's files can be read, such as https://…/blob/main/; the owner fills it in


def description() -> str:
    """The README with links to HOME; without one, files of the project are named, and its pictures left out."""
    text = (Path(__file__).parent / "README.md").read_text(encoding="utf-8")
    if HOME:
        return re.sub(r"\]\((?!\w+:)", f"]({HOME}", text)
    text = re.sub(r"\n!\[[^]]*\]\((?!\w+:)[^)]*\)\n", "", text)
    return re.sub(r"\[([^]]*)\]\((?!\w+:)[^)]*\)", r"\1", text)


setup(
    packages=[*find_packages(include=["micrograd_like*"]), "micrograd_like.demos"],
    package_dir={"micrograd_like.demos": "demos"},
    long_description=description(),
    long_description_content_type="text/markdown",
)
