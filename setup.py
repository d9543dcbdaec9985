from setuptools import find_namespace_packages, setup

setup(
    # The editable install of a root that is spelled out puts this directory itself on sys.path,
    # which is where Twisted looks for twisted/plugins; any other mapping hides the plugin.
    package_dir={"": "."},
    # Neither txroom/web nor twisted/plugins has an __init__.py; the second must never get one.
    packages=[
        *find_namespace_packages(include=["txroom", "txroom.*"], exclude=["*.__pycache__"]),
        "twisted.plugins",
    ],
    package_data={"txroom": ["py.typed"], "txroom.web": ["*"]},
    zip_safe=False,
)
