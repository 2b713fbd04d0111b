"""The console: what the daemon decides and does, as pages for a browser.

Server-rendered HTML with a little script that renews the page. Reads only.
"""
