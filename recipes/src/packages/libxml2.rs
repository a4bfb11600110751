//! libxml2: one library of C files; its configure script only writes two headers.

use build_graph::dsl::{Recipe, debian, recipe};

use crate::toolchains::ALL;

/// The units of the library, as its makefile lists them, but for those that open connections
/// (nanohttp, nanoftp), which there are none of.
const UNITS: &str = "SAX entities encoding error parserInternals parser tree hash list xmlIO xmlmemory uri valid xlink HTMLparser HTMLtree \
     debugXML xpath xpointer xinclude catalog globals threads c14n xmlstring buf xmlregexp xmlschemas xmlschemastypes xmlunicode xmlreader \
     relaxng dict SAX2 xmlwriter legacy chvalid pattern xmlsave xmlmodule schematron";

/// No network and no threads in the sandbox, no modules of the library's own, and nobody packs XML
/// with LZMA.
const OPTIONS: &str =
    "--without-http --without-ftp --without-threads --without-modules --without-python --without-lzma";

pub(crate) const RECIPE: Recipe =
    recipe("libxml2", "2.9.14").license("MIT").targets(ALL).source(debian("libxml2")).describe(|cx| {
        let config = cx
            .configure(OPTIONS)
            .dep("--with-zlib", "zlib")
            .reads("configure config.guess config.sub compile missing depcomp install-sh ltmain.sh **/*.in")
            .reads("xml2-config.in xml2Conf.sh.in")
            // By these it knows the folder of the sources.
            .reads("entities.c tree.c xmlregexp.c")
            .writes("config.h include/libxml/xmlversion.h")
            .finish();
        cx.c_library("xml2")
            .sources(UNITS)
            .headers("*.h include/**/*.h")
            .include("include")
            .configured_by(&config)
            // The interpreter has only those parts of zlib that its own module uses.
            .dep("zlib")
            .quiet()
            // The archive has one of these already, of another configuration.
            .public_headers("include/libxml/*.h !include/libxml/xmlversion.h")
            .shared();
    });
