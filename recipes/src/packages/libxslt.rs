//! libxslt and libexslt: two libraries of C files, with one configure script that only writes three
//! headers.

use build_graph::dsl::{Recipe, debian, recipe};

use crate::toolchains::ALL;

/// The units of the libraries, as their makefiles list them.
const XSLT: &str = "attrvt xslt xsltlocale xsltutils pattern templates variables keys numbers extensions extra functions namespaces imports \
     attributes documents preproc transform security";
const EXSLT: &str = "exslt common crypto math sets functions strings date saxon dynamic";

const HEADERS: &str = "libxslt/*.h libexslt/*.h";
const OPTIONS: &str = "--without-python --without-crypto --without-plugins --without-debugger";

pub(crate) const RECIPE: Recipe =
    recipe("libxslt", "1.1.35").license("MIT").targets(ALL).source(debian("libxslt")).describe(|cx| {
        let config = cx
            .configure(OPTIONS)
            .dep_by_program("--with-libxml-prefix", "libxml2", "xml2-config")
            .reads("configure config.guess config.sub compile missing depcomp install-sh ltmain.sh **/*.in")
            // By the first it knows the folder of the sources; the others are linked to.
            .reads("libxslt/xslt.c tests/fuzz/*.x*")
            .writes("config.h libxslt/xsltconfig.h libexslt/exsltconfig.h")
            .finish();
        let xslt = cx
            .c_library("xslt")
            .sources_in("libxslt", XSLT)
            .headers(HEADERS)
            .include(".")
            .configured_by(&config)
            .public_dep("libxml2")
            .quiet()
            .public_headers(HEADERS)
            .shared();
        cx.c_library("exslt")
            .sources_in("libexslt", EXSLT)
            .headers(HEADERS)
            .include(".")
            .configured_by(&config)
            .links(&xslt)
            .dep("libxml2")
            .quiet()
            .public_headers(HEADERS)
            .shared();
    });
