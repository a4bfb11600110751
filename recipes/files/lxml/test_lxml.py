# coding: utf-8
"""lxml in the sandbox: run inside by bin/test_pynbox where the package is installed, with a writable /rw."""

import io
import os
import sys
import unittest
import zlib

from lxml import builder, etree, html, isoschematron, objectify, sax

XSL = 'xmlns:xsl="http://www.w3.org/1999/XSL/Transform" version="1.0"'


class Parsing(unittest.TestCase):
    def test_versions(self):
        self.assertEqual(etree.LXML_VERSION, (4, 9, 4, 0))
        self.assertEqual(etree.LIBXML_VERSION, etree.LIBXML_COMPILED_VERSION)
        self.assertEqual(etree.LIBXSLT_VERSION, etree.LIBXSLT_COMPILED_VERSION)

    def test_characters_beyond_ascii(self):
        tree = etree.fromstring(u"<a>\u1234<b c='\u20ac'/></a>")
        self.assertEqual((tree.text, tree[0].get("c")), (u"\u1234", u"\u20ac"))
        for encoding in ["utf-8", "utf-16", "utf16", "iso-8859-15", "koi8-r", "shift_jis"]:
            text = u"<a>\u0430</a>" if encoding == "koi8-r" else u"<a>\u3042</a>" if encoding == "shift_jis" else u"<a>\u20ac</a>"
            there = etree.tostring(etree.fromstring(text), encoding=encoding, xml_declaration=True)
            self.assertEqual(etree.fromstring(there).text, text[3:-4], encoding)

    def test_encodings(self):
        texts = {
            u"\u4e2d\u6587": "gbk GB2312 gb18030 big5 big5-hkscs cp936 cp950 euc-tw iso-2022-jp",
            u"\uac00\ud55c\uae00": "euc-kr ks_c_5601-1987 cp949 johab",
            u"\u3042\u6f22": "euc-jp shift_jis windows-31j x-sjis cp932 iso-2022-jp",
            u"\u0416\u0451": "windows-1251 koi8-r koi8-u IBM866 cp866 iso-8859-5 x-mac-cyrillic",
            u"\u05d0\u05ea": "windows-1255 iso-8859-8 cp862",
            u"\u1ec7\xea": "windows-1258",
            u"\u20ac\xe9": "windows-1252 iso-8859-15 cp858",
            u"\u0e01": "tis-620 windows-874 iso-8859-11",
            u"\u20000\U00020000\ufffd": "gb18030",
        }
        for text, names in texts.items():
            for name in names.split():
                tree = etree.Element("a")
                tree.text = text
                written = etree.tostring(tree, encoding=name, xml_declaration=True)
                self.assertEqual(etree.fromstring(written).text, text, name)
                page = (u"<html><head><meta charset='%s'></head><body><p>%s</p>" % (name, text))
                there = etree.tostring(html.fromstring(page), method="html", encoding=name)
                self.assertEqual(html.fromstring(there).findtext(".//p"), text, name)
                self.assertNotIn("&#", there, name)
        # By another's tables.
        for name in ["gbk", "gb2312", "cp949", "euc_jp", "cp866", "koi8_r", "cp1250"]:
            text = u"".join(character for character in map(unichr, range(0x21, 0xd7a4))
                            if character.isalpha() and character in (character.encode(name, "ignore").decode(name) or "-"))
            page = u"<meta charset=%s><p>%s" % (name.replace("_", "-"), text)
            self.assertEqual(html.fromstring(page.encode(name)).text_content(), text, name)

    def test_what_an_encoding_lacks(self):
        tree = etree.fromstring(u"<a b='\u4e2d'>\u20ac\uac00</a>")
        self.assertEqual(etree.tostring(tree, encoding="iso-8859-2"),
                         "<?xml version='1.0' encoding='iso-8859-2'?>\n<a b=\"&#20013;\">&#8364;&#44032;</a>")
        self.assertEqual(etree.tostring(tree, encoding="gbk"),
                         "<?xml version='1.0' encoding='gbk'?>\n<a b=\"\xd6\xd0\">\x80&#44032;</a>")
        self.assertRaises(LookupError, etree.tostring, tree, encoding="no-such-encoding")
        with self.assertRaises(etree.XMLSyntaxError) as caught:
            etree.fromstring("<?xml version='1.0' encoding='no-such-encoding'?><a>\xd6\xd0</a>")
        self.assertIn("no-such-encoding", str(caught.exception))
        with self.assertRaises(etree.XMLSyntaxError):
            etree.fromstring("<?xml version='1.0' encoding='gbk'?><a>\xff\xff</a>")

    def test_errors_have_places(self):
        with self.assertRaises(etree.XMLSyntaxError) as caught:
            etree.fromstring("<a>\n<b></a>")
        self.assertEqual(caught.exception.position[0], 2)

    def test_incremental(self):
        text = b"<a>" + b"<b>1</b>" * 1000 + b"</a>"
        self.assertEqual(sum(int(e.text or 0) for _, e in etree.iterparse(io.BytesIO(text), tag="b")), 1000)
        parser = etree.XMLPullParser(["start"])
        for at in range(0, len(text), 100):
            parser.feed(text[at:at + 100])
        self.assertEqual(len(list(parser.read_events())), 1001)
        written = io.BytesIO()
        with etree.xmlfile(written, encoding="utf-16") as output:
            with output.element("a"):
                output.write(u"\u20ac")
        self.assertEqual(etree.fromstring(written.getvalue()).text, u"\u20ac")

    def test_files(self):
        etree.ElementTree(etree.XML("<a/>")).write("/rw/a.xml.gz", compression=9)
        with open("/rw/a.xml.gz", "rb") as packed:
            self.assertEqual(zlib.decompress(packed.read(), 31), b"<a/>")
        self.assertEqual(etree.parse("/rw/a.xml.gz").getroot().tag, "a")
        os.remove("/rw/a.xml.gz")
        with self.assertRaises(IOError):
            etree.parse("/rw/none.xml")

    def test_nothing_outside_is_reached(self):
        entity = '<!DOCTYPE a [<!ENTITY e SYSTEM "%s">]><a>&e;</a>'
        parser = etree.XMLParser(no_network=False)
        for place in ["file:///etc/passwd", "/proc/self/environ", "http://127.0.0.1:1/x"]:
            try:
                found = etree.fromstring(entity % place, parser).xpath("string()")
            except etree.XMLSyntaxError:
                continue
            self.assertEqual(found, "", place)

    def test_deep_trees(self):
        depth = 200
        text = "<a>" * depth + "</a>" * depth
        self.assertEqual(etree.fromstring(text).xpath("count(//a)"), depth)
        with self.assertRaises(etree.XMLSyntaxError):
            etree.fromstring("<a>" * 10000)

    def test_html(self):
        page = html.fromstring("<p>one<br>two<a href=x>three")
        self.assertEqual(html.tostring(page), "<p>one<br>two<a href=\"x\">three</a></p>")
        page.make_links_absolute("http://host/")
        self.assertEqual(page.xpath("//@href"), ["http://host/x"])


class Queries(unittest.TestCase):
    tree = etree.XML("<r><v n='1'>10</v><v n='2'>2.5</v></r>")

    def test_xpath(self):
        self.assertEqual(self.tree.xpath("sum(v)"), 12.5)
        self.assertEqual(self.tree.xpath("v[@n=$n]/text()", n="2"), ["2.5"])
        self.assertEqual(self.tree.xpath("re:test('abc', '^a.c$')",
                                         namespaces={"re": "http://exslt.org/regular-expressions"}), True)
        with self.assertRaises(etree.XPathEvalError):
            self.tree.xpath("v[")

    def test_functions_in_python(self):
        space = etree.FunctionNamespace("urn:test")
        space["twice"] = lambda context, value: value * 2
        self.assertEqual(self.tree.xpath("t:twice(3)", namespaces={"t": "urn:test"}), 6)
        space["fail"] = lambda context: 1 // 0
        self.assertRaises(ZeroDivisionError, self.tree.xpath, "t:fail()", namespaces={"t": "urn:test"})

    def test_xslt(self):
        sheet = etree.XSLT(etree.XML(
            '<xsl:stylesheet %s xmlns:m="http://exslt.org/math" xmlns:s="http://exslt.org/strings" '
            'xmlns:d="http://exslt.org/dates-and-times"><xsl:output method="text"/><xsl:param name="p"/>'
            '<xsl:template match="/"><xsl:for-each select="//v"><xsl:sort select="." data-type="number"/>'
            '<xsl:value-of select="@n"/></xsl:for-each>,<xsl:value-of select="m:max(//v)"/>,'
            '<xsl:value-of select="s:replace(\'a-b\', \'-\', \'+\')"/>,<xsl:value-of select="d:year(\'2020-02-03\')"/>,'
            '<xsl:value-of select="$p"/></xsl:template></xsl:stylesheet>' % XSL))
        self.assertEqual(str(sheet(self.tree, p="7")), "21,10,a+b,2020,7")
        with self.assertRaises(etree.XSLTApplyError):
            etree.XSLT(etree.XML('<xsl:stylesheet %s><xsl:template match="/"><xsl:message terminate="yes">no'
                                 '</xsl:message></xsl:template></xsl:stylesheet>' % XSL))(self.tree)

    def test_schemas(self):
        schema = etree.XMLSchema(etree.XML('<x:schema xmlns:x="http://www.w3.org/2001/XMLSchema">'
                                           '<x:element name="a" type="x:date"/></x:schema>'))
        self.assertTrue(schema.validate(etree.XML("<a>2020-02-29</a>")))
        self.assertFalse(schema.validate(etree.XML("<a>2021-02-29</a>")))
        grammar = etree.RelaxNG(etree.XML('<element name="a" xmlns="http://relaxng.org/ns/structure/1.0"><text/></element>'))
        self.assertTrue(grammar.validate(etree.XML("<a>t</a>")) and not grammar.validate(etree.XML("<b/>")))
        definition = etree.DTD(io.BytesIO(b"<!ELEMENT a EMPTY>"))
        self.assertTrue(definition.validate(etree.XML("<a/>")) and not definition.validate(etree.XML("<a>t</a>")))
        rules = isoschematron.Schematron(etree.XML(
            '<schema xmlns="http://purl.oclc.org/dsdl/schematron"><pattern><rule context="a">'
            '<assert test="b">no b</assert></rule></pattern></schema>'))
        self.assertTrue(rules.validate(etree.XML("<a><b/></a>")) and not rules.validate(etree.XML("<a/>")))

    def test_canonical(self):
        self.assertEqual(etree.tostring(etree.XML("<a y='1' x='2'/>"), method="c14n"), '<a x="2" y="1"></a>')


class Modules(unittest.TestCase):
    def test_objectify(self):
        root = objectify.fromstring("<r><n>3</n><n>4</n></r>")
        self.assertEqual(sum(root.n), 7)

    def test_builder_and_sax(self):
        made = builder.E.a(builder.E.b("text"), x="1")
        self.assertEqual(etree.tostring(made), '<a x="1"><b>text</b></a>')
        handler = sax.ElementTreeContentHandler()
        sax.saxify(made, handler)
        self.assertEqual(etree.tostring(handler.etree), etree.tostring(made))

    def test_libraries_are_files(self):
        for name in ["libxml2", "libxslt", "libexslt"]:
            self.assertTrue(os.path.exists("/slib/%s.so" % name), name)


if __name__ == "__main__":
    unittest.main()
