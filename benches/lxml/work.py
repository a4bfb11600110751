"""What benches/lxml.rs has done in the sandbox and natively: prints, for each thing, its name and the processor's seconds.

    work.py FOLDER    (writable; the document is made in it)
"""

import os
import sys
import time

from lxml import etree

SIZE = 10 << 20
STYLE = b"""<xsl:stylesheet xmlns:xsl="http://www.w3.org/1999/XSL/Transform" version="1.0">
  <xsl:key name="kind" match="entry" use="@kind"/>
  <xsl:template match="/"><result><xsl:apply-templates select="//entry[@kind='3']"/></result></xsl:template>
  <xsl:template match="entry"><row id="{@id}"><xsl:value-of select="name"/>: <xsl:value-of select="count(value)"/></row></xsl:template>
</xsl:stylesheet>"""


def document():
    """A document of SIZE bytes, the same each time: entries with attributes, names and text beyond ASCII."""
    parts = [u'<?xml version="1.0" encoding="utf-8"?>\n<entries xmlns:x="urn:x">\n']
    size = number = 0
    while size < SIZE:
        part = (
            u'<entry id="e%d" kind="%d" x:mark="yes"><name>Name \xe4\u20ac %d</name><value>%d</value><value>%d</value>'
            u"<text>Some &lt;text&gt; with &amp; in it, and a few more words for entry number %d.</text></entry>\n"
        ) % (number, number % 10, number, number * 7, number * 13, number)
        parts.append(part)
        size += len(part.encode("utf-8"))
        number += 1
    parts.append(u"</entries>\n")
    return u"".join(parts).encode("utf-8")


def best(name, function):
    start = time.clock()
    function()
    print("%s %.6f" % (name, time.clock() - start))


def main(folder):
    path = os.path.join(folder, "document.xml")
    content = document()
    with open(path, "wb") as stream:
        stream.write(content)
    tree = etree.parse(path)
    transform = etree.XSLT(etree.XML(STYLE))
    query = etree.XPath("//entry[@kind='3']/value[. > 1000]/text()")

    def iterate():
        count = 0
        for _, element in etree.iterparse(path, tag="entry"):
            count += len(element)
            element.clear()
        assert count > 0

    best("parse a file", lambda: etree.parse(path))
    best("parse bytes", lambda: etree.fromstring(content))
    best("serialise", lambda: etree.tostring(tree, encoding="utf-8"))
    best("XPath", lambda: query(tree))
    best("XSLT", lambda: transform(tree))
    best("iterparse", iterate)
    os.remove(path)


main(sys.argv[1])
