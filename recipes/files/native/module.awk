# Writes what a native module says of itself (module.h), from the header that wasm2c wrote for it, the first of its C files, and the lines of all
# of them that throw: module.c, with the functions that stand for what a library imports, and symbols.s, with the names of what it imports and
# exports.
#
#     awk -v name=NAME -v folder=FOLDER -f module.awk NAME.h NAME_0.c NAME.throws

function declared(line) {
    sub(/\(.*/, "", line)
    sub(/.*[ *]/, "", line)
    return line
}

# The letter of a type; nothing: no function has it.
function letter(type) {
    return type == "u32" ? "i" : type == "u64" ? "l" : type == "f32" ? "f" : type == "f64" ? "d" : ""
}

function fail(why) {
    print "module.awk: " why > "/dev/stderr"
    failed = 1
    exit 1
}

# The type of a declared function as text: the parameters' letters, but for the instance, `>`, and the result's. Nothing: it is a variable.
function signature(line,    result, types, count, text, i) {
    result = line
    sub(/ .*/, "", result)
    if (result ~ /\*$/)
        return ""
    sub(/^[^(]*\(/, "", line)
    sub(/\).*/, "", line)
    count = split(line, types, ", ")
    for (i = 2; i <= count; i++) {
        if (letter(types[i]) == "")
            fail("a function has a parameter of type `" types[i] "`")
        text = text letter(types[i])
    }
    if (result != "void" && letter(result) == "")
        fail("a function returns `" result "`")
    return text ">" letter(result)
}

# The functions that wasm2c's code calls for what a library imports, by the position of the import. What it defines as well, as functions may be
# that C++ has in several modules, is its own.
function stand_in(symbol, line, position, itself,    text, types, names, count, i, result, more) {
    result = line
    sub(/ .*/, "", result)
    text = line
    sub(/^[^(]*\(/, "", text)
    sub(/\).*/, "", text)
    count = split(text, types, ", ")
    text = types[1] " of"
    for (i = 2; i <= count; i++) {
        text = text ", " types[i] " a" i
        names = names ", a" i
        more = more ", " types[i]
    }
    if (itself != "") {
        printf "%s %s(w2c_%s *%s);\n\n%s %s(%s)\n{\n    ", result, itself, name, more, result, symbol, text > output
        if (result != "void")
            printf "return " > output
        printf "%s(((struct native_imports *)of)->instance%s);\n}\n\n", itself, names > output
        return
    }
    printf "%s %s(%s)\n{\n    const struct native_link *link = &IMPORT(of, %d).link;\n\n    ", result, symbol, text, position > output
    if (result != "void")
        printf "return " > output
    printf "((%s (*)(void *%s))link->code)(link->instance%s);\n}\n\n", result, more, names > output
}

function given(what, symbol, of, value) {
    printf "%s *%s(struct %s *of)\n{\n    return %s;\n}\n\n", what, symbol, of, value > output
}

function text(label, value) {
    printf "%s:\n    .asciz \"%s\"\n", label, value > symbols
}

# Where the text of a signature lies.
function type(of) {
    if (!(of in types_known)) {
        types_known[of] = types++
        types_text[types_known[of]] = of
    }
    return ".Ltype" types_known[of]
}

# The code of what is exported so: of a function that has several names, always the same.
function code(of) {
    if (!(of in body))
        return symbol[of]
    if (!(body[of] in code_of))
        code_of[body[of]] = symbol[of]
    return code_of[body[of]]
}

# The place in the table of the function that is exported so, as the module has filled it; -1 if it has none.
function entry(of) {
    if ((of in body) && (body[of] in entries))
        return entries[body[of]]
    return (of in own) && (imported[of] in entries) ? entries[imported[of]] : -1
}

function sort_exports(    gap, i, j, kept) {
    for (gap = int(exports / 2); gap > 0; gap = int(gap / 2))
        for (i = gap; i < exports; i++) {
            kept = export_names[i]
            for (j = i; j >= gap && export_names[j - gap] "" > kept ""; j -= gap)
                export_names[j] = export_names[j - gap]
            export_names[j] = kept
        }
}

BEGIN {
    output = folder "/module.c"
    symbols = folder "/symbols.s"
    exports = imports = types = globals = 0
}

# What throws: the exceptions that other modules may catch have one value, an address, as those of C++ have.
FILENAME ~ /\.throws$/ {
    sub(/.*wasm_rt_load_exception\(/, "")
    split($0, words, ", ")
    sub(/^&/, "", words[1])
    if ((words[1] in shared) && words[2] != "sizeof(u32)")
        fail("the exceptions of the tag `" shared[words[1]] "`, which other modules see, have other values than one i32")
    next
}

# The C file: which functions lie where in the table, and behind which exports they are.
FILENAME ~ /\.c$/ {
    if (/^  0x/)
        next
    if (/^const wasm_elem_segment_expr_t /) {
        segment = $3
        sub(/\[.*/, "", segment)
        elements = 0
    } else if (segment != "" && /^  \{/) {
        element = $0
        if (sub(/.*\)wrap_/, "", element)) {
            sub(/,.*/, "", element)
            element_of[segment, elements] = element
        }
        element_count[segment] = ++elements
    } else if (/^\};/) {
        segment = ""
    } else if (/^void init_[a-z_]*\(w2c_/) {
        step = $2
        sub(/\(.*/, "", step)
        has_step[step] = 1
        in_tables = step == "init_tables"
    } else if (in_tables && /^  funcref_table_init\(/) {
        split($0, words, ", ")
        offset = words[4]
        # The base is added when the library has one.
        sub(/.*_table_base\)\)?(\+\(\(u32\))?/, "", offset)
        for (i = 0; i < element_count[words[2]]; i++) {
            element = element_of[words[2], i]
            if (element != "" && !(element in entries))
                entries[element] = offset + i
        }
    } else if (/^\}/) {
        in_tables = 0
        export = ""
    } else if (/^\/\* export: /) {
        export = $3
        gsub(/\047/, "", export)
    } else if (export != "" && /^const wasm_rt_tag_t /) {
        tag = $NF
        gsub(/[&;]/, "", tag)
        shared[tag] = export
        export = ""
    } else if (export != "" && /_[0-9]+\(instance/) {
        body[export] = declared($0)
        # Not one that is imported, and exported again.
        if ((export in imported) && /\(instance[,)]/)
            own[export] = body[export]
    }
    next
}

/^typedef struct w2c_/ {
    in_instance = 1
}

/^}/ {
    in_instance = 0
}

in_instance && /^  [uf](32|64) w2c_/ {
    sub(/;/, "", $2)
    global[globals++] = sprintf("{offsetof(w2c_%s, %s), sizeof(%s)}", name, $2, $1)
}

/^void wasm2c_.*_instantiate\(/ {
    initialise = $0
    sub(/wasm2c_.*_instantiate/, "init_instance_import", initialise)
    # One host stands for every module that is imported.
    hosts = gsub(/, struct /, "&")
}

/^ *\/\* (export|import): / {
    export = $2 == "export:" ? $3 : ""
    module = $2 == "import:" ? $3 : ""
    import = $2 == "import:" ? $4 : ""
    gsub(/\047/, "", export)
    gsub(/\047/, "", module)
    gsub(/\047/, "", import)
    next
}

export != "" {
    symbol[export] = declared($0)
    # The last two are no symbols of a program.
    if ($1 ~ /^(u32|u64|f32|f64|void|u32\*)$/ && export != "__stack_pointer" && export !~ /^__(heap|data|tls)_/) {
        export_names[exports++] = export
        export_types[export] = signature($0)
    } else if (/ wasm_rt_tag_t /) {
        sub(/;/, "", symbol[export])
        export_names[exports++] = export
        export_types[export] = "!"
    }
    export = ""
}

import != "" {
    sub(/^ */, "")
    if (module == "env" && $0 ~ /\(/) {
        import_lines[imports] = $0
        import_kinds[imports] = "NATIVE_IMPORT_FUNCTION"
        imported[import] = declared($0)
    } else if (module == "env" && / wasm_rt_tag_t /) {
        import_kinds[imports] = "NATIVE_IMPORT_TAG"
    } else if (module == "GOT.func" || module == "GOT.mem") {
        import_kinds[imports] = module == "GOT.func" ? "NATIVE_IMPORT_ENTRY" : "NATIVE_IMPORT_DATUM"
    }
    if (imports in import_kinds) {
        import_symbols[imports] = declared($0)
        sub(/;$/, "", import_symbols[imports])
        if (import_kinds[imports] ~ /TAG/)
            shared[import_symbols[imports]] = import
        import_names[imports++] = import
    } else if (module == "env") {
        sub(/;$/, "")
        fixed[import] = declared($0)
    }
    import = ""
}

END {
    if (failed)
        exit 1
    program = ("memory" in symbol) && ("_start" in symbol)
    if (!program && !("memory" in fixed))
        fail("this is neither a program, which exports `memory` and `_start`, nor a library, which imports `env.memory`")
    # A program that loads nothing has no use for its names.
    if (program && !("__indirect_function_table" in symbol))
        exports = 0
    sort_exports()

    # Declared once more, as the host has them: a module that imports one with another type does not compile.
    printf "#include \"%s.h\"\n#include \"module.h\"\n#include \"declared.h\"\n\n#include <stddef.h>\n\n", name > output
    printf "#define IMPORT(of, position) (((struct native_imports *)(of))->slots[position])\n\n" > output
    printf "extern const struct native_export native_exports[];\nextern const struct native_import native_imports[];\n\n" > output
    for (i = 0; i < imports; i++)
        if (i in import_lines)
            stand_in(import_symbols[i], import_lines[i], i, import_names[i] in own ? own[import_names[i]] : "")
        else if (import_kinds[i] ~ /TAG/)
            printf "wasm_rt_tag_t %s;\n\n", import_symbols[i] > output
        else
            given("u32", import_symbols[i], import_kinds[i] ~ /ENTRY/ ? "w2c_GOT0x2Efunc" : "w2c_GOT0x2Emem", "&IMPORT(of, " i ").cell")
    count = split("memory wasm_rt_memory_t memory __indirect_function_table wasm_rt_funcref_table_t table __stack_pointer u32 stack_pointer", words, " ")
    for (i = 1; i < count; i += 3)
        if (words[i] in fixed)
            given(words[i + 1], fixed[words[i]], "w2c_env", "((struct native_imports *)of)->" words[i + 2])
    if ("__memory_base" in fixed)
        given("u32", fixed["__memory_base"], "w2c_env", "&((struct native_imports *)of)->memory_base")
    if ("__table_base" in fixed)
        given("u32", fixed["__table_base"], "w2c_env", "&((struct native_imports *)of)->table_base")

    for (i = 0; i < hosts; i++)
        given_hosts = given_hosts ", host"
    printf "static void instantiate(void *instance, void *host)\n{\n" > output
    for (i = 0; i < imports; i++)
        if (import_kinds[i] ~ /TAG/)
            printf "    %s = IMPORT(host, %d).tag;\n", import_symbols[i], i > output
    printf "    wasm2c_%s_instantiate(instance%s);\n}\n\n", name, given_hosts > output
    # The steps of that, but for those that fill the memory.
    if (hosts > 0)
        print initialise > output
    steps = split("init_globals init_tables init_elem_instances init_data_instances", all, " ")
    for (i = 1; i <= steps; i++)
        if (all[i] in has_step)
            printf "void %s(w2c_%s *);\n", all[i], name > output
    printf "\nstatic void prepare(void *instance, void *host)\n{\n" > output
    if (hosts > 0)
        printf "    init_instance_import(instance%s);\n", given_hosts > output
    for (i = 1; i <= steps; i++)
        if (all[i] in has_step)
            printf "    %s(instance);\n", all[i] > output
    printf "}\n\n" > output
    for (i = 1; i < count; i += 3)
        if (words[i] in symbol)
            printf "static %s *own_%s(void *instance)\n{\n    return %s(instance);\n}\n\n", words[i + 1], words[i + 2], symbol[words[i]] > output
    if (program)
        printf "static void start(void *instance)\n{\n    %s(instance);\n}\n\n", symbol["_start"] > output
    if ("pynbox_snapshot_resume" in symbol)
        printf "static void resume(void *instance)\n{\n    %s(instance);\n}\n\n", symbol["pynbox_snapshot_resume"] > output
    printf "static const struct native_global globals[] = {\n" > output
    for (i = 0; i < globals; i++)
        printf "    %s,\n", global[i] > output
    printf "    {0, 0},\n};\n\n" > output
    printf "__attribute__((visibility(\"default\"))) const struct native_module native_module = {\n" > output
    printf "    .version = NATIVE_VERSION,\n    .variant = NATIVE_THIS_VARIANT,\n    .size = sizeof(w2c_%s),\n", name > output
    printf "    .instantiate = instantiate,\n    .type = wasm2c_%s_get_func_type,\n", name > output
    for (i = 1; i < count; i += 3)
        if (words[i] in symbol)
            printf "    .%s = own_%s,\n", words[i + 2], words[i + 2] > output
    if (program)
        printf "    .start = start,\n" > output
    if ("pynbox_snapshot_resume" in symbol)
        printf "    .resume = resume,\n" > output
    printf "    .prepare = prepare,\n    .globals = globals,\n    .global_count = %d,\n", globals > output
    printf "    .exports = native_exports,\n    .imports = native_imports,\n    .export_count = %d,\n    .import_count = %d,\n};\n", exports, imports > output

    printf "    .section .rodata,\"a\",@progbits\n    .balign 4\n    .globl native_exports\n    .hidden native_exports\nnative_exports:\n" > symbols
    for (i = 0; i < exports; i++)
        printf "    .long .Lexport%d - .\n    .long %s - .\n    .long %s - .\n    .long %d\n", i, code(export_names[i]),
            type(export_types[export_names[i]]), entry(export_names[i]) > symbols
    printf "    .globl native_imports\n    .hidden native_imports\nnative_imports:\n" > symbols
    for (i = 0; i < imports; i++)
        printf "    .long .Limport%d - .\n    .long %s - .\n    .long %d\n", i, type(i in import_lines ? signature(import_lines[i]) : ""),
            import_kinds[i] ~ /FUNCTION/ ? 0 : import_kinds[i] ~ /ENTRY/ ? 1 : import_kinds[i] ~ /DATUM/ ? 2 : 3 > symbols
    for (i = 0; i < exports; i++)
        text(".Lexport" i, export_names[i])
    for (i = 0; i < imports; i++)
        text(".Limport" i, import_names[i])
    for (i = 0; i < types; i++)
        text(".Ltype" i, types_text[i])
    # No code of this file needs a stack that can be run.
    print "    .section .note.GNU-stack,\"\",@progbits" > symbols
}
