"""Runs the examples in the comments of prose.py."""

import doctest
import unittest

import prose


def load_tests(loader, tests, pattern):
    tests.addTests(doctest.DocTestSuite(prose))
    return tests


if __name__ == "__main__":
    unittest.main()
