//! liblzma of XZ Utils: an archive that becomes part of Python's module `_lzma`.

use build_graph::dsl::{Pin, Recipe, fixed, recipe};

use crate::toolchains::{HOST, WASM};

/// The units of the library, as its makefiles list them, but for those that start threads.
const CHECK: &str = "check crc32_fast crc64_fast sha256";
const COMMON: &str = "alone_decoder alone_encoder auto_decoder block_buffer_decoder block_buffer_encoder block_decoder \
     block_encoder block_header_decoder block_header_encoder block_util common easy_buffer_encoder \
     easy_decoder_memusage easy_encoder easy_encoder_memusage easy_preset file_info filter_buffer_decoder \
     filter_buffer_encoder filter_common filter_decoder filter_encoder filter_flags_decoder \
     filter_flags_encoder hardware_physmem index index_decoder index_encoder index_hash lzip_decoder \
     microlzma_decoder microlzma_encoder stream_buffer_decoder stream_buffer_encoder stream_decoder \
     stream_encoder stream_flags_common stream_flags_decoder stream_flags_encoder string_conversion \
     vli_decoder vli_encoder vli_size";
const LZ: &str = "lz_decoder lz_encoder lz_encoder_mf";
const LZMA: &str = "fastpos_table lzma2_decoder lzma2_encoder lzma_decoder lzma_encoder lzma_encoder_optimum_fast \
     lzma_encoder_optimum_normal lzma_encoder_presets";
const DELTA: &str = "delta_common delta_decoder delta_encoder";
const SIMPLE: &str = "arm arm64 armthumb ia64 powerpc riscv simple_coder simple_decoder simple_encoder sparc x86";

/// Where its units find each other's headers.
const INCLUDE: &str = "src/liblzma/api src/liblzma/common src/liblzma/check src/liblzma/lz src/liblzma/rangecoder \
     src/liblzma/lzma src/liblzma/delta src/liblzma/simple src/common";

/// What its configure would find, and all filters and checks.
const DEFINES: &str = "-DTUKLIB_SYMBOL_PREFIX=lzma_ -DHAVE_STDBOOL_H -DHAVE_STDINT_H -DHAVE_INTTYPES_H -DHAVE_STRING_H \
     -DHAVE_LIMITS_H -DHAVE__BOOL -DHAVE_ENCODERS -DHAVE_DECODERS -DHAVE_LZIP_DECODER -DHAVE_CHECK_CRC32 \
     -DHAVE_CHECK_CRC64 -DHAVE_CHECK_SHA256 -DHAVE_INTERNAL_SHA256 -DHAVE_MF_HC3 -DHAVE_MF_HC4 -DHAVE_MF_BT2 -DHAVE_MF_BT3 \
     -DHAVE_MF_BT4 -DSIZEOF_SIZE_T={SIZE} -DTUKLIB_FAST_UNALIGNED_ACCESS=1 -DASSUME_RAM=128";

/// The filters, each of which has an encoder and a decoder.
const FILTERS: [&str; 11] =
    ["ARM", "ARM64", "ARMTHUMB", "DELTA", "IA64", "LZMA1", "LZMA2", "POWERPC", "RISCV", "SPARC", "X86"];

/// The source of trixie: bookworm's needs signals where there are no threads.
const PIN: Pin =
    fixed("xz-utils_5.8.1.orig.tar.xz", "0b54f79df85912504de0b14aec7971e3f964491af1812d83447005807513cd9e")
        .in_pool("pool/main/x/xz-utils/xz-utils_5.8.1.orig.tar.xz")
        .urls(&["https://github.com/tukaani-project/xz/releases/download/v5.8.1/xz-5.8.1.tar.xz"]);

pub(crate) const RECIPE: Recipe =
    recipe("xz", "5.8.1").license("0BSD").targets(&[WASM, HOST]).source(PIN).describe(|cx| {
        let filters =
            FILTERS.iter().flat_map(|name| [format!("-DHAVE_ENCODER_{name}"), format!("-DHAVE_DECODER_{name}")]);
        let size = if cx.target().as_str() == WASM { "4" } else { "8" };
        cx.c_library("lzma")
            .sources("src/common/tuklib_physmem")
            .sources_in("src/liblzma/check", CHECK)
            .sources_in("src/liblzma/common", COMMON)
            .sources_in("src/liblzma/lz", LZ)
            .sources_in("src/liblzma/lzma", LZMA)
            .sources("src/liblzma/rangecoder/price_table")
            .sources_in("src/liblzma/delta", DELTA)
            .sources_in("src/liblzma/simple", SIMPLE)
            .headers("src/common/*.h src/liblzma/**/*.h")
            .include(INCLUDE)
            .defines(DEFINES.replace("{SIZE}", size))
            .defines(filters.collect::<Vec<_>>())
            .public_headers_from("src/liblzma/api", "lzma.h lzma/*.h", "include")
            .pic_archive();
    });
