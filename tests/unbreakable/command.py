"""A command line, run by ``runpy`` in a process that has nothing of the tests. It is given
``folder``, ``words``, ``out`` and ``err``.

Two things are left out because they take longer than the cells of these tests: it draws no report,
and its nursery is forked from itself, which has imported everything, and not from a new server.
"""

import multiprocessing
import os
import sys

from harness.cli import main
from harness.report import write
from harness.run import server

server.start = lambda: None
server.context = lambda: multiprocessing.get_context("fork")
write.write_report = lambda report, *rest: report.directory

os.chdir(folder)  # noqa: F821
for stream, file in ((1, out), (2, err)):  # noqa: F821
    with open(file, "wb") as opened:
        os.dup2(opened.fileno(), stream)
sys.argv = ["harness", *words]  # noqa: F821
main()
