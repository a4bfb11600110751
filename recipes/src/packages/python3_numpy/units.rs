//! What meson would compile of numpy, which the recipe's configure step compares with this.

/// Units that are compiled alike.
#[derive(Debug)]
pub(super) struct Part {
    /// Meson's target, if it is not the module itself.
    pub(super) target: Option<&'static str>,
    /// The folder that the units are named from.
    pub(super) folder: &'static str,
    /// The units; `.c` is left out.
    pub(super) units: &'static str,
    /// Flags of their own.
    pub(super) flags: &'static str,
    /// Flags of those in C++.
    pub(super) cxx_flags: &'static str,
}

/// A module that Python imports.
#[derive(Debug)]
pub(super) struct Module {
    /// Its name; the last word is the name of meson's target.
    pub(super) name: &'static str,
    /// What it is linked from.
    pub(super) parts: &'static [&'static Part],
    /// Archives that it takes in what it needs of.
    pub(super) archives: &'static [&'static str],
    /// Whether there is C++ in it.
    pub(super) cxx: bool,
}

/// The archives: what numpy computes with, and what it draws random numbers by.
pub(super) const ARCHIVES: &[Part] = &[
    Part {
        target: Some("npymath"),
        ..part("numpy/_core/src/npymath", "halffloat.cpp ieee754 npy_math npy_math_complex", "")
    },
    Part {
        target: Some("npyrandom"),
        ..part(
            "numpy/random/src/distributions",
            "distributions logfactorial random_hypergeometric random_mvhg_count random_mvhg_marginals",
            "",
        )
    },
];

/// All modules, those among them that tests import and nobody else.
pub(super) const MODULES: &[Module] = &[
    Module {
        cxx: true,
        ..module("numpy._core._multiarray_umath", &[&MULTIARRAY_UMATH, &WITH_API, &UNIQUE, &DISPATCHED], &["npymath"])
    },
    Module {
        cxx: true,
        ..module(
            "numpy._core._multiarray_tests",
            &[&core("common/mem_overlap common/npy_argparse common/npy_hashtable.cpp multiarray/_multiarray_tests")],
            &["npymath"],
        )
    },
    module(
        "numpy._core._umath_tests",
        &[&core("common/npy_cpu_features umath/_umath_tests"), &baseline("umath/_umath_tests.dispatch.c")],
        &[],
    ),
    module("numpy._core._rational_tests", &[&core("umath/_rational_tests")], &[]),
    module("numpy._core._struct_ufunc_tests", &[&core("umath/_struct_ufunc_tests")], &[]),
    module("numpy._core._operand_flag_tests", &[&core("umath/_operand_flag_tests")], &[]),
    module(
        "numpy._core._simd",
        &[&core("_simd/_simd common/npy_cpu_features"), &baseline("_simd/_simd.dispatch.c")],
        &["npymath"],
    ),
    Module {
        cxx: true,
        ..module("numpy.fft._pocketfft_umath", &[&part("numpy/fft", "_pocketfft_umath.cpp", "")], &[])
    },
    module("numpy.linalg.lapack_lite", &[&LAPACK_LITE, &part("numpy/linalg", "lapack_litemodule", "")], &[]),
    Module {
        cxx: true,
        ..module(
            "numpy.linalg._umath_linalg",
            &[&LAPACK_LITE, &part("numpy/linalg", "umath_linalg.cpp", "")],
            &["npymath"],
        )
    },
    random("numpy.random._bounded_integers", &[&part("numpy/random", "_bounded_integers", CYTHON)]),
    random("numpy.random._common", &[&part("numpy/random", "_common", CYTHON)]),
    random(
        "numpy.random._mt19937",
        &[&part("numpy/random", "_mt19937 src/mt19937/mt19937 src/mt19937/mt19937-jump", CYTHON)],
    ),
    random("numpy.random._philox", &[&part("numpy/random", "_philox src/philox/philox", CYTHON)]),
    random("numpy.random._pcg64", &[&part("numpy/random", "_pcg64 src/pcg64/pcg64", CYTHON)]),
    random("numpy.random._sfc64", &[&part("numpy/random", "_sfc64 src/sfc64/sfc64", CYTHON)]),
    random("numpy.random.bit_generator", &[&part("numpy/random", "bit_generator", CYTHON)]),
    random("numpy.random._generator", &[&part("numpy/random", "_generator", CYTHON)]),
    module(
        "numpy.random.mtrand",
        &[&part(
            "numpy/random",
            "mtrand src/distributions/distributions src/legacy/legacy-distributions",
            "-DNPY_NO_DEPRECATED_API=0 -DNP_RANDOM_LEGACY=1",
        )],
        &["npymath"],
    ),
];

/// The modules in Cython.
pub(super) const CYTHON_MODULES: &str =
    "_bounded_integers _common _generator _mt19937 _pcg64 _philox _sfc64 bit_generator mtrand";

/// For the C that Cython writes.
const CYTHON: &str = "-DNPY_NO_DEPRECATED_API=0";

const INTERNAL: &str = "-DNPY_INTERNAL_BUILD -DHAVE_NPY_CONFIG_H";

const fn part(folder: &'static str, units: &'static str, flags: &'static str) -> Part {
    Part { target: None, folder, units, flags, cxx_flags: "" }
}

/// Units of the core.
const fn core(units: &'static str) -> Part {
    part("numpy/_core/src", units, INTERNAL)
}

/// Units that are compiled once for each set of a processor's features: here for none.
const fn baseline(units: &'static str) -> Part {
    Part {
        target: Some("dispatch"),
        cxx_flags: "-fno-exceptions -fno-rtti",
        ..part("numpy/_core/src", units, "-DNPY_INTERNAL_BUILD -DHAVE_NPY_CONFIG_H -O3 -DNPY_MTARGETS_BASELINE")
    }
}

const fn module(name: &'static str, parts: &'static [&'static Part], archives: &'static [&'static str]) -> Module {
    Module { name, parts, archives, cxx: false }
}

/// A module of random numbers.
const fn random(name: &'static str, parts: &'static [&'static Part]) -> Module {
    module(name, parts, &["npyrandom", "npymath"])
}

const MULTIARRAY_UMATH: Part = Part {
    cxx_flags: "-fno-exceptions -fno-rtti",
    ..core(
        "common/array_assign common/blas_utils common/gil_utils common/mem_overlap common/npy_argparse \
     common/npy_cpu_dispatch common/npy_cpu_features common/npy_hashtable.cpp common/npy_import \
     common/npy_longdouble common/numpyos common/ufunc_override multiarray/abstractdtypes \
     multiarray/alloc multiarray/array_api_standard multiarray/array_assign_array \
     multiarray/array_assign_scalar multiarray/array_coercion multiarray/array_converter \
     multiarray/array_method multiarray/arrayfunction_override multiarray/arrayobject \
     multiarray/arraytypes multiarray/arraywrap multiarray/buffer multiarray/calculation \
     multiarray/common multiarray/common_dtype multiarray/compiled_base multiarray/conversion_utils \
     multiarray/convert multiarray/convert_datatype multiarray/ctors multiarray/datetime \
     multiarray/datetime_busday multiarray/datetime_busdaycal multiarray/datetime_strings \
     multiarray/descriptor multiarray/dlpack multiarray/dragon4 multiarray/dtype_transfer \
     multiarray/dtype_traversal multiarray/dtypemeta multiarray/einsum multiarray/einsum_sumprod \
     multiarray/flagsobject multiarray/getset multiarray/hashdescr multiarray/item_selection \
     multiarray/iterators multiarray/legacy_dtype_implementation multiarray/lowlevel_strided_loops \
     multiarray/mapping multiarray/methods multiarray/nditer_api \
     multiarray/nditer_constr multiarray/nditer_pywrap multiarray/nditer_templ \
     multiarray/npy_static_data multiarray/number multiarray/public_dtype_api multiarray/refcount \
     multiarray/scalarapi multiarray/scalartypes multiarray/sequence multiarray/shape \
     multiarray/strfuncs multiarray/stringdtype/casts.cpp multiarray/stringdtype/dtype \
     multiarray/stringdtype/static_string multiarray/stringdtype/utf8_utils multiarray/temp_elide \
     multiarray/textreading/conversions multiarray/textreading/field_types \
     multiarray/textreading/growth multiarray/textreading/readtext multiarray/textreading/rows \
     multiarray/textreading/str_to_int multiarray/textreading/stream_pyobject \
     multiarray/textreading/tokenize.cpp multiarray/usertypes multiarray/vdot npymath/arm64_exports \
     npysort/binsearch.cpp npysort/heapsort.cpp npysort/mergesort.cpp npysort/quicksort.cpp \
     npysort/radixsort.cpp npysort/selection.cpp npysort/timsort.cpp umath/_scaled_float_dtype \
     umath/clip.cpp umath/dispatching.cpp umath/extobj umath/legacy_array_method umath/loops \
     umath/matmul umath/override umath/reduction umath/scalarmath \
     umath/special_integer_comparisons.cpp umath/string_ufuncs.cpp umath/stringdtype_ufuncs.cpp \
     umath/ufunc_object umath/ufunc_type_resolution umath/umathmodule umath/wrapping_array_method",
    )
};

/// The unit that holds the C API's tables, which were written beside its headers.
const WITH_API: Part = part(
    "numpy/_core/src",
    "multiarray/multiarraymodule",
    "-DNPY_INTERNAL_BUILD -DHAVE_NPY_CONFIG_H -Iheaders/numpy/_core/include/numpy",
);

/// The one unit of the core whose C++ may throw: it catches what it throws where memory is short.
const UNIQUE: Part = Part { target: Some("unique_hash"), cxx_flags: "-fno-rtti", ..core("multiarray/unique.cpp") };

const DISPATCHED: Part = baseline(
    "multiarray/argfunc.dispatch.c umath/loops_arithm_fp.dispatch.c \
     umath/loops_arithmetic.dispatch.c umath/loops_autovec.dispatch.c \
     umath/loops_comparison.dispatch.c umath/loops_exponent_log.dispatch.c \
     umath/loops_half.dispatch.c umath/loops_hyperbolic.dispatch.cpp \
     umath/loops_logical.dispatch.cpp umath/loops_minmax.dispatch.c umath/loops_modulo.dispatch.c \
     umath/loops_trigonometric.dispatch.cpp umath/loops_umath_fp.dispatch.c \
     umath/loops_unary.dispatch.c umath/loops_unary_complex.dispatch.c \
     umath/loops_unary_fp.dispatch.c umath/loops_unary_fp_le.dispatch.c",
);

const LAPACK_LITE: Part = part(
    "numpy/linalg",
    "lapack_lite/f2c lapack_lite/f2c_blas lapack_lite/f2c_c_lapack lapack_lite/f2c_config \
     lapack_lite/f2c_d_lapack lapack_lite/f2c_lapack lapack_lite/f2c_s_lapack \
     lapack_lite/f2c_z_lapack lapack_lite/python_xerbla",
    "",
);
