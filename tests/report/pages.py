"""What a test reads in a page: it is parsed as XML, and as HTML for what it would load."""

from html.parser import HTMLParser
from xml.etree import ElementTree


def parsed(page):
    return ElementTree.fromstring(page.removeprefix("<!DOCTYPE html>"))


def cells(page, caption):
    """Return the rows of the table of this caption, its head first."""
    (table,) = [t for t in parsed(page).iter("table") if t.findtext("caption") == caption]
    return [["".join(c.itertext()) for c in row] for row in table.iter("tr")]


class Loading(HTMLParser):
    """Collects what a page would run or fetch."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        if tag in ("script", "link", "img", "iframe", "object", "embed", "base", "form", "image"):
            self.found.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "srcset", "style") or name.startswith("on"):
                self.found.append((name, value))


def assert_stands_alone(page):
    loading = Loading()
    loading.feed(page)
    assert loading.found == []
    assert "//" not in page
    assert "url(" not in page
    assert "@import" not in page
    assert "default-src 'none'" in page.replace("&#x27;", "'")


def assert_accessible(page):
    root = parsed(page)
    assert root.get("lang") == "en"
    assert len(list(root.iter("h1"))) == 1
    idents = [e.get("id") for e in root.iter() if e.get("id")]
    assert len(idents) == len(set(idents))
    for svg in root.iter("svg"):
        title, description = svg.get("aria-labelledby").split()
        assert svg.find("title").get("id") == title
        assert svg.find("desc").get("id") == description
        assert svg.findtext("title")
        assert svg.findtext("desc")
    for table in root.iter("table"):
        assert table.findtext("caption")
        assert all(th.get("scope") for th in table.iter("th"))
    style = root.findtext("head/style")
    assert "prefers-color-scheme: dark" in style
