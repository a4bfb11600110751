# coding: utf-8
"""Holes of libxml2 and libxslt that our patches close, each by an input: run inside by bin/test_pynbox, with a writable /rw. For both Pythons."""

import os
import re
import shutil
import sys
import tempfile
import unittest

from lxml import etree

XSL = ('<xsl:%s version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform" xmlns:exsl="http://exslt.org/common" '
       'xmlns:dyn="http://exslt.org/dynamic" xmlns:func="http://exslt.org/functions" extension-element-prefixes="func">%s</xsl:%s>')
SCHEMA = '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">%s</xs:schema>'
ATTRIBUTE = '<xs:complexType><xs:attribute name="i"/></xs:complexType>'
SCHEMATRON = ('<sch:schema xmlns:sch="http://purl.oclc.org/dsdl/schematron"><sch:pattern id="p"><sch:rule context="b">'
              '<sch:report test="true()">at <sch:name path="%s"/>.</sch:report></sch:rule></sch:pattern></sch:schema>')
RELAXNG = '<grammar xmlns="http://relaxng.org/ns/structure/1.0">%s</grammar>'
CATALOG = '<catalog xmlns="urn:oasis:names:tc:entity:xmlns:xml:catalog">%s</catalog>'


def transform(templates, document="<r/>", top="stylesheet"):
    return etree.XSLT(etree.XML(XSL % (top, templates, top)))(etree.XML(document))


class Parsing(unittest.TestCase):
    def test_a_huge_name(self):
        # CVE-2022-40303: no length is without a bound.
        name = "a" * 10000001
        parser = etree.XMLParser(huge_tree=True)
        self.assertEqual(etree.fromstring("<%s/>" % name[2:], parser).tag, name[2:])
        self.assertRaises(etree.XMLSyntaxError, etree.fromstring, "<%s/>" % name, parser)

    def test_entities_in_a_circle(self):
        # CVE-2022-40304: the value of `c` is the same text as that of `a`, which is emptied.
        parser = etree.XMLParser(recover=True)
        text = '<!DOCTYPE r [<!ENTITY a "&b;"><!ENTITY b "&a;"><!ENTITY c "&b;"><!ENTITY d "&a;">]><r x="&a;"/>'
        tree = etree.ElementTree(etree.fromstring(text, parser))
        values = dict((entity.name, entity.content) for entity in tree.docinfo.internalDTD.iterentities())
        self.assertEqual((values["c"], values["d"]), ("&b;", "&a;"))

    def test_a_parser_that_is_used_again(self):
        # CVE-2022-2309: a prefix means nothing in the next document.
        parser = etree.XMLParser(recover=True)
        parser.feed('<r xmlns:p="urn:of-another-document"><p:a><p:b>')
        parser.close()
        parser.feed("<p:r/>")
        self.assertEqual(parser.close().tag, "p:r")

    def test_children_with_long_names(self):
        # CVE-2025-24928: the message about them lists them.
        name = "n" * 4900
        text = ('<!DOCTYPE r [<!ELEMENT r (a)><!ELEMENT a EMPTY>]><r><%s:%s xmlns:%s="urn:x"/></r>' % (name, name, name))
        self.assertRaises(etree.XMLSyntaxError, etree.fromstring, text, etree.XMLParser(dtd_validation=True))


class Schemas(unittest.TestCase):
    def test_an_extension_of_a_simple_type(self):
        # CVE-2023-28484
        text = SCHEMA % (
            '<xs:complexType name="base"><xs:simpleContent><xs:extension base="xs:int"/></xs:simpleContent></xs:complexType>'
            '<xs:complexType name="child"><xs:complexContent><xs:extension base="base"><xs:sequence>'
            '<xs:element name="a" type="xs:int"/></xs:sequence></xs:extension></xs:complexContent></xs:complexType>'
            '<xs:element name="r" type="child"/>')
        self.assertRaises(etree.XMLSchemaParseError, etree.XMLSchema, etree.XML(text))

    def test_a_substitution_group_of_itself(self):
        # CVE-2023-28484
        text = SCHEMA % ('<xs:element name="a" substitutionGroup="a"/><xs:element name="b" substitutionGroup="a" type="xs:decimal"/>')
        self.assertRaises(etree.XMLSchemaParseError, etree.XMLSchema, etree.XML(text))

    def test_many_duplicates_of_keys(self):
        # CVE-2024-56171: the list of them moves.
        schema = etree.XMLSchema(etree.XML(SCHEMA % (
            '<xs:element name="r"><xs:complexType><xs:sequence><xs:element maxOccurs="unbounded" ref="g"/></xs:sequence></xs:complexType>'
            '<xs:keyref name="f" refer="k"><xs:selector xpath="y"/><xs:field xpath="@i"/></xs:keyref></xs:element>'
            '<xs:element name="g"><xs:complexType><xs:sequence><xs:element name="x" maxOccurs="unbounded">' + ATTRIBUTE +
            '</xs:element></xs:sequence></xs:complexType><xs:key name="k"><xs:selector xpath="x"/><xs:field xpath="@i"/></xs:key>'
            '</xs:element>')))
        group = lambda numbers: "<g>%s</g>" % "".join('<x i="%s"/>' % number for number in numbers)
        text = "<r>%s%s%s</r>" % (group(range(100)), group([0]), group(range(1, 100)))
        self.assertTrue(schema.validate(etree.XML(text)), schema.error_log)

    def test_the_child_axis(self):
        # CVE-2025-27113
        schema = etree.XMLSchema(etree.XML(SCHEMA % (
            '<xs:element name="r"><xs:complexType><xs:sequence><xs:element name="x" maxOccurs="unbounded">' + ATTRIBUTE +
            '</xs:element></xs:sequence></xs:complexType>'
            '<xs:unique name="u"><xs:selector xpath="child::x"/><xs:field xpath="@i"/></xs:unique></xs:element>')))
        self.assertTrue(schema.validate(etree.XML('<r><x i="1"/><x i="2"/></r>')))
        self.assertFalse(schema.validate(etree.XML('<r><x i="1"/><x i="1"/></r>')))

    def test_reports_with_names(self):
        # CVE-2025-49794 (a namespace), CVE-2025-49796 (a document)
        for path, name in [("namespace::*", ""), ("/", ""), ("a", "a"), ("@c", "c"), ("nowhere", "b")]:
            schema = etree.Schematron(etree.XML(SCHEMATRON % path))
            self.assertFalse(schema.validate(etree.XML("<r><b c='d' xmlns:p='urn:p'><a/></b></r>")))
            self.assertTrue("at %s." % name in str(schema.error_log), (path, str(schema.error_log)))


class Files(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(dir="/rw" if os.path.isdir("/rw") else None)
        self.addCleanup(shutil.rmtree, self.folder)

    def write(self, name, text):
        with open(os.path.join(self.folder, name), "w") as file:
            file.write(text)
        return os.path.join(self.folder, name)

    def chain(self, length):
        for number in range(length):
            self.write("%s.rng" % number, RELAXNG % ('<include href="%s.rng"/>' % (number + 1)))
        self.write("%s.rng" % length, RELAXNG % '<start><element name="r"><empty/></element></start>')
        return etree.RelaxNG(file=os.path.join(self.folder, "0.rng"))

    def test_schemas_that_include_others(self):
        # CVE-2026-0989
        self.assertTrue(self.chain(50).validate(etree.XML("<r/>")))
        self.assertRaises(etree.RelaxNGParseError, self.chain, 150)

    def parse(self, catalog, address):
        text = '<?oasis-xml-catalog catalog="%s"?><!DOCTYPE r SYSTEM "%s"><r/>' % (catalog, address)
        return etree.fromstring(text, etree.XMLParser(load_dtd=True, no_network=True, recover=True))

    def test_a_catalog_that_delegates_to_itself(self):
        # CVE-2026-0990
        catalog = self.write("c.xml", CATALOG % '<delegateURI uriStartString="urn:x" catalog="c.xml"/>')
        self.assertEqual(self.parse(catalog, "urn:x:y").tag, "r")

    def test_catalogs_that_follow_many_times(self):
        # CVE-2026-0992: without the patch, this ends after 3 to the power of 30.
        for number in range(30):
            self.write("%s.xml" % number, CATALOG % ('<nextCatalog catalog="%s.xml"/>' % (number + 1) * 3))
        self.write("30.xml", CATALOG % "")
        self.assertEqual(self.parse(os.path.join(self.folder, "0.xml"), "urn:x:y").tag, "r")


class Transformations(unittest.TestCase):
    def test_an_expression_that_evaluates_itself(self):
        # CVE-2025-9714: it ends with an error, which is noted.
        for expression in ["dyn:evaluate(@e)", "dyn:map(., string(@e))"]:
            text = '<xsl:template match="r"><xsl:value-of select="%s"/></xsl:template>' % expression
            style = etree.XSLT(etree.XML(XSL % ("stylesheet", text, "stylesheet")))
            self.assertEqual(str(style(etree.XML('<r e="%s"/>' % expression))), "")
            self.assertEqual(style.error_log[0].domain_name, "XPATH")

    def test_fragments_are_no_siblings(self):
        # CVE-2025-10911
        both = "(exsl:node-set('a') | exsl:node-set('b'))"
        text = "".join('<xsl:value-of select="count(%s/%s::node())"/>,' % (both, axis)
                       for axis in ["following", "preceding", "following-sibling", "preceding-sibling", "../following-sibling",
                                    "../preceding-sibling", "../following", "../preceding"])
        result = transform('<xsl:template match="/"><r>%s</r></xsl:template>' % text)
        self.assertEqual(result.getroot().text, "0," * 8)

    def test_generated_ids(self):
        # CVE-2023-40403: no addresses.
        nodes = ["/", "r", "r/@a", "r/text()", "r/namespace::p", "r/namespace::q", "r/b", "exsl:node-set($v)", "exsl:node-set($v)/z"]
        text = "".join('<xsl:value-of select="generate-id(%s)"/>,' % node for node in nodes + nodes)
        result = transform('<xsl:template match="/"><xsl:variable name="v"><z/></xsl:variable><r>%s</r></xsl:template>' % text,
                           "<r a='1' xmlns:p='urn:p' xmlns:q='urn:q'>text<b/></r>")
        ids = result.getroot().text.split(",")[:-1]
        self.assertEqual(ids[:len(nodes)], ids[len(nodes):])
        self.assertEqual(len(set(ids)), len(nodes))
        for one in ids:
            self.assertTrue(re.match("id[0-9]{1,2}(ns[0-9a-f]*)?$", one), one)

    def test_keys_of_the_stylesheet_itself(self):
        # CVE-2025-7424
        result = transform(
            '<xsl:key name="k" match="*" use="local-name()"/><xsl:template match="/">'
            '<r><xsl:for-each select="document(\'\')"><xsl:value-of select="count(key(\'k\', \'template\'))"/></xsl:for-each>'
            '<xsl:apply-templates select="document(\'\')//xsl:if[1]"/>'
            '<xsl:if test="generate-id(document(\'\')) = generate-id(document(\'\'))">,same</xsl:if></r></xsl:template>'
            '<xsl:template match="xsl:if">,<xsl:choose><xsl:when test="@test">found</xsl:when></xsl:choose></xsl:template>')
        self.assertEqual(result.getroot().text, "2,found,same")

    def test_a_result_without_a_function(self):
        # CVE-2025-11731
        for top in ["stylesheet", "transform"]:
            self.assertRaises(etree.XSLTParseError, transform,
                              '<xsl:template match="/"><func:result select="1"/></xsl:template>', top=top)

    def test_excluded_namespaces(self):
        # CVE-2024-55549: a declaration goes with `xsl:text`.
        result = transform('<xsl:template match="/"><xsl:text xmlns:p="urn:p" exclude-result-prefixes="p">text</xsl:text>'
                           '<r xmlns:q="urn:q" xsl:exclude-result-prefixes="q"><xsl:text xmlns:s="urn:s">x</xsl:text></r></xsl:template>')
        self.assertEqual((result.getroot().tag, result.getroot().text), ("r", "x"))

    def test_numbers_and_sort_keys_in_predicates(self):
        # CVE-2025-24855: an inner evaluation leaves the outer one where it was.
        result = transform('<xsl:key name="k" match="b[position() &lt; 3]" use="@i"/><xsl:template match="/"><r>'
                           '<xsl:for-each select="r/b/namespace::p"><xsl:sort select="concat(., count(key(\'k\', \'1\')))"/>'
                           '<n v="{count(key(\'k\', ../@i))}"><xsl:number value="string-length(.)"/></n></xsl:for-each></r></xsl:template>',
                           "<r><b i='1' xmlns:p='urn:p'/><b i='2' xmlns:p='urn:pp'/></r>")
        self.assertEqual([(n.get("v"), n.text) for n in result.getroot()], [("1", "5"), ("1", "6")])


if __name__ == "__main__":
    unittest.main()
