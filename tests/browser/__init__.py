"""A real browser for tests of pages: Chromium of the system, installed where it is missing."""
