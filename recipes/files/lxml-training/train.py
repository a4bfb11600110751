# -*- coding: utf-8 -*-
"""Does what programs do with lxml, so that the compiler learns which paths of it, and of the libraries below it, are taken, and how often.

The documents are made here, and are the same each time: no clock is looked at, and no random number. What comes out is checked. The program
runs with Python 2.7 and with Python 3.
"""
import io
import sys

import lxml.builder
import lxml.html
import lxml.objectify
import lxml.sax
from lxml import etree

ROWS = 1500


def catalog(rows):
    """A document with attributes, text, entities, comments, namespaces and letters of other scripts."""
    parts = [u'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE catalog [<!ENTITY maker "A &#38;#38; B">]>\n'
             u'<catalog xmlns="urn:catalog" xmlns:p="urn:price" created="2001-02-03">\n']
    for n in range(rows):
        parts.append(u'  <item id="i%d" kind="%s" p:class="c%d">\n    <name>Thing %d &lt;%s&gt;</name>\n    <p:price currency="EUR">%d.%02d'
                     u'</p:price>\n' % (n, u'abc'[n % 3], n % 7, n, u'\u00e4\u03b2\u4e2d'[n % 3], n % 90, n % 100))
        if n % 4 == 0:
            parts.append(u'    <!-- row %d --><maker>&maker;</maker><note><![CDATA[a < b & c]]></note>\n' % n)
        if n % 9 == 0:
            parts.append(u'    <?render fast?><list>%s</list>\n' % u''.join(u'<entry n="%d"/>' % i for i in range(n % 5)))
        parts.append(u'  </item>\n')
    parts.append(u'</catalog>\n')
    return u''.join(parts).encode('utf-8')


DOCUMENT = catalog(ROWS)
NAMES = {'c': 'urn:catalog', 'p': 'urn:price'}
C = '{urn:catalog}'

PAGE = (u'<html><head><title>Page</title><meta charset=utf-8><style>p { margin: 0 }</style></head><body class="a b">'
        + u''.join(u'<div id=d%d><p class="line x%d">Line %d <b>bold <i>both</b> rest</i><br>&nbsp;&copy; <a href="/page/%d?x=1&y=2">'
                   u'link</a><img src=p.png><ul><li>one<li>two</ul></div>' % (n, n % 3, n, n) for n in range(300))
        + u'<table><tr><td>1<td>2<tr><td>3</table><form action="/go"><input name=q value=v><select name=s><option selected>o</select>'
          u'</form><script>if (a < b) c();</script></body></html>')

SHEET = '''<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform" xmlns:c="urn:catalog" xmlns:p="urn:price"
    xmlns:exsl="http://exslt.org/common" exclude-result-prefixes="c p exsl">
  <xsl:output method="xml" indent="yes"/>
  <xsl:param name="limit" select="10"/>
  <xsl:key name="by-kind" match="c:item" use="@kind"/>
  <xsl:variable name="kinds"><k>a</k><k>b</k><k>c</k></xsl:variable>
  <xsl:template match="/c:catalog">
    <report made="{@created}">
      <xsl:for-each select="exsl:node-set($kinds)/k">
        <xsl:variable name="kind" select="string(.)"/>
        <group kind="{$kind}"/>
      </xsl:for-each>
      <xsl:apply-templates select="c:item[position() mod 3 = 1]">
        <xsl:sort select="p:price" data-type="number" order="descending"/>
      </xsl:apply-templates>
      <xsl:call-template name="count"><xsl:with-param name="left" select="$limit"/></xsl:call-template>
    </report>
  </xsl:template>
  <xsl:template match="c:item">
    <row id="{@id}" others="{count(key('by-kind', @kind))}">
      <xsl:choose>
        <xsl:when test="p:price &gt; 50"><dear><xsl:value-of select="normalize-space(c:name)"/></dear></xsl:when>
        <xsl:otherwise><cheap><xsl:value-of select="concat(substring(c:name, 1, 5), '-', format-number(p:price, '0.0'))"/></cheap></xsl:otherwise>
      </xsl:choose>
      <xsl:if test="c:list"><xsl:copy-of select="c:list"/></xsl:if>
    </row>
  </xsl:template>
  <xsl:template name="count">
    <xsl:param name="left"/>
    <xsl:if test="$left &gt; 0"><step n="{$left}"/>
      <xsl:call-template name="count"><xsl:with-param name="left" select="$left - 1"/></xsl:call-template>
    </xsl:if>
  </xsl:template>
</xsl:stylesheet>'''

GRAMMAR = '''<element name="catalog" xmlns="http://relaxng.org/ns/structure/1.0" datatypeLibrary="http://www.w3.org/2001/XMLSchema-datatypes">
  <zeroOrMore><element name="item"><attribute name="id"><data type="integer"/></attribute><optional><element name="name"><text/></element>
  </optional></element></zeroOrMore></element>'''

SCHEMA = '''<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="catalog"><xs:complexType><xs:sequence>
  <xs:element name="item" minOccurs="0" maxOccurs="unbounded"><xs:complexType><xs:sequence><xs:element name="name" type="xs:string" minOccurs="0"/>
  </xs:sequence><xs:attribute name="id" type="xs:integer" use="required"/></xs:complexType></xs:element></xs:sequence></xs:complexType></xs:element>
</xs:schema>'''


def parse_and_write():
    for _ in range(4):
        root = etree.fromstring(DOCUMENT)
        assert len(root) == ROWS
        text = etree.tostring(root, encoding='utf-8')
        assert etree.tostring(etree.fromstring(text), encoding='utf-8') == text
        assert len(etree.tostring(root)) > len(etree.tostring(root, encoding='unicode' if sys.version_info[0] > 2 else unicode))
    parser = etree.XMLParser(remove_blank_text=True, remove_comments=True, resolve_entities=True)
    tree = etree.parse(io.BytesIO(DOCUMENT), parser)
    out = io.BytesIO()
    tree.write(out, pretty_print=True, xml_declaration=True, encoding='iso-8859-1')
    assert out.getvalue().startswith(b'<?xml')
    assert etree.tostring(tree, method='c14n').startswith(b'<catalog')


def read_in_steps():
    total = 0
    for _ in range(2):
        for event, element in etree.iterparse(io.BytesIO(DOCUMENT), events=('start', 'end'), tag=C + 'item'):
            if event == 'end':
                total += len(element)
                element.clear()
                while element.getprevious() is not None:
                    del element.getparent()[0]
    assert total > 4 * ROWS
    parser = etree.XMLPullParser(events=('end',))
    for start in range(0, len(DOCUMENT), 4096):
        parser.feed(DOCUMENT[start:start + 4096])
        for _, element in parser.read_events():
            total += 1
    assert parser.close().tag == C + 'catalog'

    class Target(object):
        def __init__(self):
            self.count = 0

        def start(self, tag, attributes):
            self.count += len(attributes)

        def end(self, tag):
            self.count += 1

        def data(self, text):
            self.count += len(text)

        def close(self):
            return self.count

    assert etree.fromstring(DOCUMENT, etree.XMLParser(target=Target())) > ROWS


def walk_and_change():
    for _ in range(3):
        root = etree.fromstring(DOCUMENT)
        count = prices = 0
        for element in root.iter():
            count += 1
            if isinstance(element.tag, str) and element.tag.endswith('price'):
                prices += float(element.text)
        assert count > 3 * ROWS and prices > 0
        for n, item in enumerate(root.iterchildren(C + 'item')):
            item.set('seen', str(n))
            assert item.get('id') == 'i%d' % n and item.attrib['kind'] in 'abc'
            name = item.find(C + 'name')
            name.text = name.text + '!'
            if n % 5 == 0:
                etree.SubElement(item, C + 'extra', n=str(n)).tail = '\n'
            if n % 11 == 0:
                item.remove(name)
            assert [child.tag for child in item][-1:] and item.getparent() is root
        root[:] = sorted(root, key=lambda item: item.get('kind'))
        root.extend([root[0], root[1]])
        assert len(root.findall('.//' + C + 'extra')) == ROWS // 5
        assert root.findtext('c:item/c:name', namespaces=NAMES).endswith('!')
        assert len(list(root.itertext())) > ROWS


def build():
    E = lxml.builder.ElementMaker(namespace='urn:x', nsmap={None: 'urn:x'})
    root = E.root(*[E.row(E.cell(str(n)), E.cell('text %d' % n, kind='t'), id='r%d' % n) for n in range(400)])
    assert len(etree.tostring(root, pretty_print=True)) > 400 * 40
    plain = etree.Element('plain')
    for n in range(800):
        child = etree.SubElement(plain, 'child', {'n': str(n)})
        child.text = u'\u00e9 %d' % n
        child.append(etree.Comment('c'))
    handler = lxml.sax.ElementTreeContentHandler()
    lxml.sax.saxify(plain, handler)
    assert len(handler.etree.getroot()) == 800


def paths():
    root = etree.fromstring(DOCUMENT)
    kinds = etree.XPath('//c:item[@kind = $kind]/c:name/text()', namespaces=NAMES)
    for _ in range(4):
        assert sum(len(kinds(root, kind=kind)) for kind in 'abc') == ROWS
        assert root.xpath('count(//p:price[. > 50])', namespaces=NAMES) > 0
        assert root.xpath('string(c:item[10]/@id)', namespaces=NAMES) == 'i9'
        assert len(root.xpath('c:item[starts-with(c:name, "Thing 1") and not(c:list)]', namespaces=NAMES)) > 100
        assert root.xpath('sum(//c:entry/@n) >= 0', namespaces=NAMES) is True
        assert root.xpath('//c:list/following-sibling::* | //c:maker/preceding-sibling::c:name', namespaces=NAMES)
    for item in root[:300]:
        assert item.xpath('p:price/@currency', namespaces=NAMES) == ['EUR']
    function = etree.FunctionNamespace('urn:f')
    function['twice'] = lambda context, value: value * 2
    assert root.xpath('f:twice(21)', namespaces={'f': 'urn:f'}) == 42


def transform():
    document, sheet = etree.fromstring(DOCUMENT), etree.XSLT(etree.fromstring(SHEET))
    for _ in range(2):
        result = sheet(document, limit='25')
        assert len(result.getroot().findall('row')) == ROWS // 3 and str(result).count('<step') == 25


def pages():
    for _ in range(4):
        document = lxml.html.document_fromstring(PAGE)
        assert len(document.findall('.//li')) == 600 and document.body.get('class') == 'a b'
        document.make_links_absolute('http://example.org/')
        assert sum(1 for _ in document.iterlinks()) > 600
        assert len(lxml.html.tostring(document)) > len(PAGE) // 2
        assert document.get_element_by_id('d7').text_content().strip().startswith('Line 7')
        assert dict(document.forms[0].fields) == {'q': 'v', 's': 'o'}
    for fragment in lxml.html.fragments_fromstring('<p>a<p>b<div>c'):
        assert fragment.tag in ('p', 'div')


def objects():
    root = lxml.objectify.fromstring(DOCUMENT)
    total = 0
    for item in root.item[:700]:
        total += item['{urn:price}price'] + len(item.name.text)
        item.name = 'other'
    assert total > 0 and root.item[5].name == 'other'
    tree = lxml.objectify.Element('tree')
    tree.a, tree.b, tree.c = 1, 2.5, [True, 'x']
    assert tree.a + tree.b == 3.5 and lxml.objectify.dump(tree)


def check_grammars():
    rows = ''.join('<item id="%d"><name>n</name></item>' % n for n in range(500))
    document = etree.fromstring('<catalog>%s</catalog>' % rows)
    wrong = etree.fromstring('<catalog><item id="x"/></catalog>')
    for grammar in etree.RelaxNG(etree.fromstring(GRAMMAR)), etree.XMLSchema(etree.fromstring(SCHEMA)):
        assert grammar.validate(document) and not grammar.validate(wrong) and len(grammar.error_log) > 0
    dtd = etree.DTD(io.StringIO(u'<!ELEMENT catalog (item*)><!ELEMENT item (name?)><!ELEMENT name (#PCDATA)><!ATTLIST item id CDATA #IMPLIED>'))
    assert dtd.validate(document)


def fail():
    for text in '<a>', '<a></b>', '', '<a b="1" b="2"/>', '<a>&nothing;</a>':
        for _ in range(20):
            try:
                etree.fromstring(text)
            except etree.XMLSyntaxError as error:
                assert str(error)
            else:
                raise AssertionError(text)
    recovered = etree.fromstring('<a><b>text</a>', etree.XMLParser(recover=True))
    assert recovered.findtext('b') == 'text'


TASKS = [parse_and_write, read_in_steps, walk_and_change, build, paths, transform, pages, objects, check_grammars, fail]


def main():
    for task in TASKS:
        task()
    sys.stdout.write('trained: lxml, %d tasks\n' % len(TASKS))


if __name__ == '__main__':
    main()
