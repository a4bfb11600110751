# coding: utf-8
"""lxml where memory runs out: run inside by bin/test_pynbox and bin/test_python3, with little of it. What comes out is whole, or a MemoryError."""

import copy
import io
import unittest

from lxml import etree, html

COUNT = 4000
LONG = u"\u4e2d" * 100000
MARKUP = u"<r>" + u"<b c='%s'>x</b>" % (u"y" * 20) * COUNT + u"</r>"
TREE = etree.fromstring(MARKUP)
TEXT = etree.Element("t")
TEXT.text = LONG
COPYING = etree.XSLT(etree.XML(
    '<xsl:stylesheet xmlns:xsl="http://www.w3.org/1999/XSL/Transform" version="1.0"><xsl:template match="/">'
    '<c><xsl:for-each select="//b"><d e="{@c}"><xsl:value-of select="."/></d></xsl:for-each></c></xsl:template></xsl:stylesheet>'))


def count_of(tree):
    return len(tree.findall(".//b"))


def fed(parser):
    for at in range(0, len(MARKUP), 5000):
        parser.feed(MARKUP[at:at + 5000])
    return parser.close()


def written(**options):
    output = io.BytesIO()
    etree.ElementTree(TREE).write(output, **options)
    return len(output.getvalue())


# What is done, and what comes of it.
WORK = {
    "html.fromstring": lambda: count_of(html.fromstring(MARKUP)),
    "html.fromstring of gbk": lambda: len(html.fromstring(
        u"<meta charset=gbk><p>%s" % LONG[:1000], parser=None).xpath("string(//p)")),
    "html in gbk": lambda: html.fromstring((u"<meta charset=gbk><p>%s" % LONG[:1000]).encode("gbk")).findtext(".//p"),
    "html.feed": lambda: count_of(fed(etree.HTMLParser())),
    "recover": lambda: count_of(etree.fromstring(MARKUP + u"<", etree.XMLParser(recover=True, huge_tree=True))),
    "recover.feed": lambda: count_of(fed(etree.XMLParser(recover=True))),
    "fromstring": lambda: count_of(etree.fromstring(MARKUP)),
    "iterparse": lambda: sum(1 for _, node in etree.iterparse(io.BytesIO(MARKUP.encode("utf-8")), tag="b")),
    "iterparse, recovering": lambda: sum(1 for _, node in etree.iterparse(
        io.BytesIO(MARKUP.encode("utf-8") + b"<"), tag="b", recover=True, huge_tree=True)),
    "a long text": lambda: len(etree.fromstring(u"<t>%s</t>" % LONG, etree.XMLParser(huge_tree=True, recover=True)).text),
    "a long attribute": lambda: len(html.fromstring(u"<p t='%s'>" % LONG).get("t")),
    "tostring": lambda: len(etree.tostring(TREE)),
    "tostring in UTF-16": lambda: len(etree.tostring(TREE, encoding="utf-16")),
    "tostring as unicode": lambda: len(etree.tostring(TREE, encoding=type(u""))),
    "tostring as HTML": lambda: len(html.tostring(TREE)),
    "tostring of gbk": lambda: etree.tostring(TEXT, encoding="gbk"),
    "tostring of text": lambda: len(etree.tostring(TEXT, method="text", encoding="utf-8")),
    "write": lambda: written(),
    "write_c14n": lambda: written(method="c14n"),
    "deepcopy": lambda: count_of(copy.deepcopy(TREE)),
    "attributes": lambda: sum(len(node.get("c")) for node in copy.deepcopy(TREE)),
    "XSLT": lambda: len(COPYING(TREE).getroot()),
    "XSLT to text": lambda: len(str(COPYING(TREE))),
    "XPath": lambda: len(TREE.xpath("//b[@c]/@c")),
    "XPath's strings": lambda: len(TREE.xpath("concat(string(/), $long)", long=LONG)),
    "setting a text": lambda: set_text(),
}


def set_text():
    made = etree.Element("a", b=LONG)
    made.text = made.tail = LONG
    return len(made.text), len(made.tail), len(made.get("b"))


def filled():
    """All memory that there is."""
    held = []
    for size in [1 << 20, 1 << 15, 1 << 10]:
        try:
            while True:
                held.append(bytearray(size))
        except MemoryError:
            pass
    return held


class Memory(unittest.TestCase):
    def test_whole_or_an_error(self):
        right = dict((name, work()) for name, work in WORK.items())
        step = 1 << 15
        ended = {"whole": set(), "error": set()}
        wrong = set()
        for name, work in sorted(WORK.items()):
            # From hardly any memory to enough of it. Not in many steps: the libraries leave behind what they were at when it failed.
            for left in [1, 3, 8, 20, 35, 50, 80, 120, 400]:
                spare = bytearray(left * step)
                held = filled()
                del spare
                try:
                    result = work()
                except MemoryError:
                    result = MemoryError
                del held
                if result is not MemoryError and result != right[name]:
                    wrong.add("%s, %d KiB left: %.60r" % (name, left * step >> 10, result))
                ended["error" if result is MemoryError else "whole"].add(name)
        self.assertEqual(sorted(wrong), [])
        self.assertEqual(ended["whole"], set(WORK))
        # A page in an encoding takes less than what is left over.
        self.assertEqual(set(WORK) - ended["error"] - {"html in gbk", "html.fromstring of gbk"}, set())


if __name__ == "__main__":
    unittest.main()
