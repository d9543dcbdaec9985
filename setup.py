"""The parts of the package's description that pyproject.toml cannot express."""

import re
import tomllib
from pathlib import Path

from setuptools import find_namespace_packages, setup

ROOT = Path(__file__).resolve().parent


def longDescription(readme: str, source: str | None) -> str:
    """
    Adapt the README to the package index, where relative links lead nowhere.

    Args:
        readme: The README in Markdown.
        source: The address of the repository, `Source` of `project.urls` in pyproject.toml. Without it links
            become plain text, and pictures are left out.
    """

    def replace(link: re.Match[str]) -> str:
        isPicture, text, path = link.groups()
        if source is None:
            return "" if isPicture else text
        kind = "raw" if isPicture else "blob"
        return f"{isPicture}[{text}]({source.rstrip('/')}/{kind}/main/{path})"

    return re.sub(r"(!?)\[([^\]]*)\]\((?![\w+.-]+:|#)([^)]+)\)", replace, readme)


if __name__ == "__main__":
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    setup(
        long_description=longDescription(
            (ROOT / "README.md").read_text(), project.get("urls", {}).get("Source")
        ),
        long_description_content_type="text/markdown",
        # With this mapping an editable install puts this directory itself on sys.path, where Twisted finds
        # twisted/plugins. Any other mapping hides the plugin.
        package_dir={"": "."},
        # The folders web and twisted/plugins have no __init__.py, and twisted/plugins must never get one.
        packages=[
            *find_namespace_packages(include=["txroom", "txroom.*"], exclude=["*.__pycache__"]),
            "twisted.plugins",
        ],
        package_data={
            "txroom": ["py.typed", "__init__.pyi"],
            "txroom.web": ["*"],
            "txroom.admin.web": ["*"],
            "txroom.engine.redis.lua": ["*"],
        },
        zip_safe=False,
    )
