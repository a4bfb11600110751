//! Native code of WebAssembly modules: wasm2c makes C of a module, clang compiles that twice. The
//! first time it is instrumented and run on a training set; the second time it is optimised by the
//! profile that came of it, as one program (ThinLTO).

use std::panic::Location;

use super::{Context, Handle, Take, Words};

/// The directory, below `/build`, where actions see the tools: the tree of the recipe that
/// [`Toolchain::with_native_code`](super::Toolchain::with_native_code) names.
const TOOLS: &str = "/build/tools";

/// Flags of every compilation. Instrumented or not, code has to be compiled with the same ones, or
/// the profile is for another program. Large frames are probed: a guest that uses up its stack has
/// to touch the guard page below it. (`-w` would silence errors that were warnings, too.) What is
/// read need not be read if nothing uses it, even where that would trap: otherwise no loop that
/// reads could be vectorised.
const FLAGS: &str = "-O2 -fPIC -fvisibility=hidden -fno-strict-aliasing -fstack-clash-protection -Wno-everything -DNDEBUG \
                     -DWASM_RT_NONCONFORMING_UNCHECKED_STACK_EXHAUSTION=1 \
                     -DWASM_RT_NONCONFORMING_ALLOW_OOB_READ_ELIMINATION=1";

/// What of WebAssembly a module may use: what the other engine takes, and wasi-libc's compiler
/// emits.
const FEATURES: &str = "--disable-memory64 --disable-multi-memory --disable-simd --disable-tail-call";

/// How native code reaches a guest's memory. Each way has a profile of its own: that of the other
/// one makes slow code, and the compiler does not notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryBase {
    /// Relative to the segment register `%gs`, which takes a processor and a kernel with
    /// `fsgsbase`.
    Segment,
    /// By a pointer, on any machine.
    Pointer,
}

impl MemoryBase {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Segment, Self::Pointer];

    /// A word for it: the directory of the tools for it, and part of the names of nodes.
    pub fn word(self) -> &'static str {
        match self {
            Self::Segment => "segment",
            Self::Pointer => "pointer",
        }
    }

    /// Returns the flags of all code that is compiled for it, the runtime's included.
    pub fn flags(self) -> &'static str {
        match self {
            Self::Segment => {
                "-mfsgsbase -ftls-model=initial-exec -DWASM_RT_ALLOW_SEGUE=1 -DWASM_RT_SEGUE_FREE_SEGMENT=1"
            }
            Self::Pointer => "",
        }
    }
}

/// Native code under description: of a program, or of libraries of one.
#[must_use = "native code whose description does not end is not in the graph"]
pub struct NativeCode<'c, 'a> {
    context: &'c mut Context<'a>,
    at: &'static Location<'static>,
    /// Part of the names of the steps that all share.
    name: String,
    modules: Vec<Module>,
    /// Native code of the program that loads the libraries; `None`: the only module is the program.
    program: Option<(String, Take)>,
    sees: Vec<(Take, String)>,
    arguments: Vec<String>,
}

/// A WebAssembly module: a tree with one file.
struct Module {
    name: String,
    tree: Take,
    parts: usize,
    /// Where programs see the library.
    path: Option<String>,
}

impl Module {
    /// What its symbols have in their names.
    fn symbol(&self) -> String {
        self.name.chars().filter(char::is_ascii_alphanumeric).collect()
    }

    /// The C files: the module's parts, and what it says of itself.
    fn units(&self) -> Vec<String> {
        let parts = (0..self.parts).map(|part| format!("{}_{part}", self.symbol()));
        parts.chain(["module".to_owned()]).collect()
    }
}

impl<'a> Context<'a> {
    /// Native code of a program: `module` is a tree with one file, the WebAssembly module. The name
    /// becomes part of symbols, so it has letters and digits alone.
    #[track_caller]
    pub fn native_code(&mut self, name: &str, module: impl Into<Take>) -> NativeCode<'_, 'a> {
        let at = Location::caller();
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric()) {
            self.mistake_at(
                at,
                format!("`{name}` can't be part of a symbol of C: name native code by letters and digits"),
            );
        }
        let module = Module { name: name.to_owned(), tree: module.into(), parts: 2, path: None };
        self.native(name, vec![module], None, at)
    }

    /// Native code of libraries that a program loads. `program` is its native code, a tree with
    /// `NAME.so`, by which they are trained together; those that are not trained are not optimised
    /// by a profile.
    #[track_caller]
    pub fn native_libraries(&mut self, name: &str, program: impl Into<Take>) -> NativeCode<'_, 'a> {
        let step = format!("{name}/libraries");
        self.native(&step, Vec::new(), Some((name.to_owned(), program.into())), Location::caller())
    }

    fn native(
        &mut self,
        name: &str,
        modules: Vec<Module>,
        program: Option<(String, Take)>,
        at: &'static Location<'static>,
    ) -> NativeCode<'_, 'a> {
        let (sees, arguments) = (Vec::new(), Vec::new());
        NativeCode { context: self, at, name: name.to_owned(), modules, program, sees, arguments }
    }
}

impl Context<'_> {
    /// Installs native code of a program, and the runtime that it is linked with, where the loader
    /// looks for it: in `lib/native/NAME`. The module that it was made of has to lie there too, as
    /// `NAME.wasm`, by which the loader knows whose code it is.
    #[track_caller]
    pub fn installs_native_code(&mut self, name: &str, native: &Handle, base: MemoryBase) {
        let at = Location::caller();
        let Some((_, tools)) = self.toolchain.native_code.clone() else {
            return self
                .mistake_at(at, format!("the toolchain of {} makes no native code: leave this out", self.target()));
        };
        let (tools, word) = (self.tool_at(&tools, at), base.word());
        self.install_tree(native, &format!("lib/native/{name}/{word}"));
        self.install_tree(tools.select([format!("{word}/libnative.so")]), &format!("lib/native/{name}"));
    }
}

/// Native code of a module, a tree with `NAME.so`, and what it was made of: a tree with
/// `NAME.wasm`.
struct Made {
    name: String,
    code: Handle,
    wasm: Take,
}

impl NativeCode<'_, '_> {
    /// Into how many C files the module that was named last is divided, at least 2: each is
    /// compiled by an action of its own.
    pub fn parts(mut self, parts: usize) -> Self {
        if let Some(module) = self.modules.last_mut() {
            module.parts = parts.max(2);
        }
        self
    }

    /// Adds a library: a tree with one file, the WebAssembly module, which programs see at this
    /// path. Its name is unique among all that are installed together.
    pub fn library(mut self, name: &str, module: impl Into<Take>, path: &str) -> Self {
        let path = Some(path.to_owned());
        self.modules.push(Module { name: name.to_owned(), tree: module.into(), parts: 2, path });
        self
    }

    /// What the program sees in training, at an absolute directory of its own.
    pub fn sees(mut self, take: impl Into<Take>, at: &str) -> Self {
        self.sees.push((take.into(), at.to_owned()));
        self
    }

    /// Trains with these arguments, of which the first is the program's name.
    pub fn trained_by(mut self, arguments: impl Words) -> Self {
        self.arguments = arguments.words();
        self
    }

    /// Makes the nodes of a program; gives the last one, whose tree is `NAME.so`.
    pub fn finish(mut self, base: MemoryBase) -> Handle {
        if self.arguments.is_empty() {
            let message =
                format!("the native code of `{}` is not trained: say with `trained_by` how to run it", self.name);
            self.context.mistake_at(self.at, message);
        }
        let made = self.make(base).pop();
        made.map_or_else(|| self.context.nothing(), |made| made.code)
    }

    /// Makes the nodes of libraries, and installs their code with the modules that it was made of,
    /// where the loader looks for it.
    pub fn installed(mut self, base: MemoryBase) {
        for Made { name, code, wasm } in self.make(base) {
            self.context.install_tree(&code, &format!("lib/native/{name}/{}", base.word()));
            self.context.install_tree(wasm, &format!("lib/native/{name}"));
        }
    }

    fn make(&mut self, base: MemoryBase) -> Vec<Made> {
        let Some((image, tools)) = self.context.toolchain.native_code.clone() else {
            let message = format!("the toolchain of {} makes no native code: leave this out", self.context.target());
            self.context.mistake_at(self.at, message);
            return Vec::new();
        };
        let tools = self.context.tool_at(&tools, self.at);
        let modules = std::mem::take(&mut self.modules);
        let sources: Vec<_> = modules.iter().map(|module| self.source(module, &image, &tools)).collect();
        let mut steps = Steps { code: self, image, tools, base };
        let all = modules.iter().zip(&sources);
        let profile = (!steps.code.arguments.is_empty()).then(|| {
            let instrumented: Vec<_> =
                all.clone().map(|(module, source)| (module, steps.instrumented(module, source))).collect();
            steps.profile(&instrumented)
        });
        let made = all.map(|(module, source)| {
            let code = steps.optimised(module, source, profile.as_ref());
            Made { name: module.name.clone(), code, wasm: source.select([format!("{}.wasm", module.name)]) }
        });
        made.collect()
    }

    /// The module as C: `c/NAME.h`, `c/NAME_0.c` and so on, `c/module.c` and `symbols.o` with what
    /// it says of itself, and the module as `NAME.wasm`. It is the same for both ways to reach the
    /// memory. `module.c` calls the steps that make an instance one by one, so they are not static,
    /// and fills the tags of exceptions that a library imports, so they are not constant. wasm2c
    /// puts an imported function into a table with the address of a pointer to its instance, not
    /// with the pointer: here it gets the module's instance, and finds the pointer there. What
    /// relocates a library's data is a store for each address in it, which a compiler would compare
    /// with each other, and runs once: it is not optimised. An address relative to the segment
    /// register is an element of an array at 0: of a number that was made a pointer, LLVM knows
    /// neither the steps nor the bounds in a loop. A wasm2c that writes it otherwise is an error,
    /// which slow code would not be.
    fn source(&mut self, module: &Module, image: &str, tools: &Handle) -> Handle {
        let Module { name, parts, tree, .. } = module;
        let step = format!("native/{name}/c");
        if let Some(known) = self.context.known_step(&step) {
            return known;
        }
        let symbol = module.symbol();
        let script = format!(
            "mkdir c\n\
             cp $(find module -type f) {name}.wasm\n\
             tools/bin/wasm2c {FEATURES} --module-name={symbol} --num-outputs={parts} -o c/{symbol}.c {name}.wasm\n\
             sed -i 's/^static void init_/void init_/\n\
             /wrap_w2c_env_/s/, offsetof([^)]*)}}/, 0}}/\n\
             s/(struct w2c_env[*]) instance/((w2c_{symbol} *)instance)->w2c_env_instance/\n\
             s/^void w2c_{symbol}_0x5F_wasm_apply_data_relocs_.*{{$/__attribute__((optnone, noinline)) &/' c/{symbol}_*.c\n\
             sed -i 's/^extern const wasm_rt_tag_t w2c_env_/extern wasm_rt_tag_t w2c_env_/' c/{symbol}.h\n\
             sed -i 's/((uint8_t __seg_gs[*])(uintptr_t)addr)/(\\&((uint8_t __seg_gs *)0)[addr])/' c/{symbol}-impl.h\n\
             awk 'index($0, \"(&((uint8_t __seg_gs *)0)[addr])\") {{ found = 1 }} END {{ exit !found }}' c/{symbol}-impl.h\n\
             sed -n '/wasm_rt_load_exception(/p' c/{symbol}_*.c > {symbol}.throws\n\
             sed -n '/\"wasm-rt-exceptions.h\"/q1' c/{symbol}.h || cp tools/include/wasm-rt-exceptions.h c\n\
             awk -v name={symbol} -v folder=c -f tools/module.awk c/{symbol}.h c/{symbol}_0.c {symbol}.throws\n\
             clang-19 -c c/symbols.s -o symbols.o"
        );
        self.context
            .action_at(self.at, &step)
            .in_image(image)
            .shell(&script)
            .input(tools.select("bin/wasm2c module.awk include/wasm-rt-exceptions.h"), TOOLS)
            .input(tree.clone(), "/build/module")
            .output(format!("c {name}.wasm symbols.o"))
            .finish()
    }
}

/// The steps for one way to reach the memory.
struct Steps<'s, 'c, 'a> {
    code: &'s mut NativeCode<'c, 'a>,
    image: String,
    tools: Handle,
    base: MemoryBase,
}

impl Steps<'_, '_, '_> {
    fn step(&self, name: &str, step: &str) -> String {
        format!("native/{name}/{}/{step}", self.base.word())
    }

    /// Compiles each file with these flags; `see` is what it sees beside.
    fn compile(
        &mut self,
        module: &Module,
        source: &Handle,
        folder: &str,
        flags: &str,
        sees: Option<&Take>,
    ) -> Vec<Handle> {
        let mut objects = Vec::new();
        for unit in module.units() {
            let step = self.step(&module.name, &format!("{folder}/{unit}.o"));
            let command =
                format!("clang-19 {FLAGS} {} {flags} -Ic -Itools/include -c c/{unit}.c -o {unit}.o", self.base.flags());
            let files = ["c/*.h".to_owned(), format!("c/{unit}.c")];
            // All others know wasm2c's own header alone.
            let headers = if unit == "module" { "include/*.h" } else { "include/wasm-rt.h" };
            let mut action = self
                .code
                .context
                .action_at(self.code.at, &step)
                .in_image(&self.image)
                .command(command.split_whitespace())
                .input(source.select(&files[..]).strip("c"), "/build/c")
                .input(self.tools.select(headers), TOOLS)
                .output(format!("{unit}.o"));
            if let Some(sees) = sees {
                action = action.input(sees.clone(), "/build/profile");
            }
            objects.push(action.finish());
        }
        // A table of names, with nothing to optimise.
        objects.push(source.clone());
        objects
    }

    /// Links the objects with the runtime.
    fn link(&mut self, module: &Module, step: &str, flags: &str, objects: &[Handle]) -> Handle {
        let (name, word) = (&module.name, self.base.word());
        let script = format!(
            "clang-19 -shared -fuse-ld=lld-19 {flags} -Wl,-z,defs -Wl,-z,now \
             -o {name}.so $(find objects -name '*.o' | LC_ALL=C sort) tools/{word}/libnative.so -lm"
        );
        let output = format!("{name}.so");
        let step = self.step(name, step);
        let mut action = self
            .code
            .context
            .action_at(self.code.at, &step)
            .in_image(&self.image)
            .shell(&script)
            .heavy()
            .input(self.tools.select([format!("{word}/libnative.so")]), TOOLS)
            .output(output);
        for object in objects {
            action = action.input(object.select("*.o"), "/build/objects");
        }
        action.finish()
    }

    /// Each module leaves a profile of its own, in a folder that has its name.
    fn instrumented(&mut self, module: &Module, source: &Handle) -> Handle {
        let flags = format!("-fprofile-generate=/build/profiles/{}", module.name);
        let objects = self.compile(module, source, "instrumented", &flags, None);
        self.link(module, "instrumented", &flags, &objects)
    }

    /// Runs the instrumented code: `NAME.profdata` of each module.
    fn profile(&mut self, instrumented: &[(&Module, Handle)]) -> Handle {
        let word = self.base.word();
        let names: Vec<_> = instrumented.iter().map(|(module, _)| module.name.clone()).collect();
        let program = self.code.program.as_ref().map_or(&self.code.name, |(name, _)| name).clone();
        let script = format!(
            "mkdir -p root libraries\n\
             tools/{word}/train program/{program}.so root libraries {}\n\
             for name in {}\n\
             do llvm-profdata-19 merge -o $name.profdata profiles/$name/*.profraw || exit 1; done",
            self.code.arguments.join(" "),
            names.join(" ")
        );
        let outputs: Vec<_> = names.iter().map(|name| format!("{name}.profdata")).collect();
        let step = self.step(&self.code.name, "profile");
        let tools = [format!("{word}/train"), format!("{word}/libnative.so")];
        let mut action = self
            .code
            .context
            .action_at(self.code.at, &step)
            .in_image(&self.image)
            .shell(&script)
            .input(self.tools.select(&tools[..]), TOOLS)
            .output(outputs);
        if let Some((_, code)) = &self.code.program {
            action = action.input(code.clone(), "/build/program");
        }
        for (module, code) in instrumented {
            let at = module.path.as_ref().map_or("/build/program".to_owned(), |path| format!("/build/libraries{path}"));
            action = action.input(code, &at);
            // The program looks at the library itself, too.
            if let Some((folder, _)) = module.path.as_ref().and_then(|path| path.rsplit_once('/')) {
                action = action.input(module.tree.clone(), format!("/build/root{folder}"));
            }
        }
        for (take, at) in &self.code.sees {
            action = action.input(take.clone(), format!("/build/root{at}"));
        }
        action.finish()
    }

    /// A profile of another program is an error: clang warns of each function that is another one,
    /// or has none.
    fn optimised(&mut self, module: &Module, source: &Handle, profile: Option<&Handle>) -> Handle {
        let file = format!("{}.profdata", module.name);
        let by_profile = match profile {
            Some(_) => format!(
                "-fprofile-use=profile/{file} -Werror=backend-plugin -Werror=profile-instr-out-of-date \
                 -mllvm -pgo-warn-missing-function"
            ),
            None => String::new(),
        };
        let sees = profile.map(|profile| profile.select([file]));
        let objects = self.compile(module, source, "objects", &format!("-flto=thin {by_profile}"), sees.as_ref());
        // The loader maps a library itself, and runs nothing that a compiler puts before it.
        let start = if module.path.is_some() { "-nostartfiles" } else { "" };
        let flags = format!("{FLAGS} -flto=thin {start} -Wl,--thinlto-jobs=2 -Wl,-s");
        self.link(module, "linked", &flags, &objects)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsl::tests::{action, materials, mistakes_of, set, toolchain};
    use crate::dsl::{RecipeSet, assemble, recipe};
    use crate::node::Target;

    #[test]
    fn both_ways_to_memory_share_the_c_and_have_a_profile_each() {
        let tools = recipe("tools", "1").targets(&["two"]).source_of("lib").describe(|context| {
            let source = context.unpacked("lib", 1);
            context.tree(&source, "");
        });
        let program = recipe("program", "1").targets(&["one"]).source_of("lib").describe(|context| {
            let module = context.text_file("module", "program.wasm", "", false);
            for base in MemoryBase::ALL {
                let native = context.native_code("program", &module).parts(3).sees(&module, "/data");
                let native = native.trained_by("program -x").finish(base);
                context.tree(&native, base.word());
            }
        });
        let toolchains = vec![toolchain("one").with_native_code("tools", "tools"), toolchain("two").for_actions()];
        let recipes = set().recipes.into_iter().chain([tools, program]).collect();
        let set = RecipeSet { toolchains, recipes, ..RecipeSet::default() };
        let assembled = assemble(&set, &materials(), &Target("one".into())).unwrap();
        let steps = |word: &str| {
            let beginning = format!("one/program/native/program/{word}");
            assembled.graph.nodes().iter().filter(|node| node.name.as_str().starts_with(&beginning)).count()
        };
        assert_eq!(steps("c"), 1);
        // Three parts and the description, compiled twice; two links and a profile.
        assert_eq!((steps("segment"), steps("pointer")), (11, 11));
        for base in MemoryBase::ALL {
            let step = |step: &str| format!("one/program/native/program/{}/{step}", base.word());
            let takes = |node: &str, input: &str| {
                let inputs = &action(&assembled, node).inputs;
                inputs.iter().any(|taken| taken.selection.node.as_str() == input)
            };
            assert!(takes(&step("objects/program_2.o"), &step("profile")));
            assert!(!takes(&step("instrumented/program_2.o"), &step("profile")));
            assert!(takes(&step("profile"), &step("instrumented")));
            let training = action(&assembled, &step("profile"));
            assert!(training.inputs.iter().any(|input| input.at.as_str() == "/build/root/data"));
            let script = training.command.words().last().unwrap();
            assert!(
                script.contains(&format!("tools/{}/train program/program.so root libraries program -x\n", base.word()))
            );
        }
    }

    #[test]
    fn a_shared_library_that_a_recipe_exports_is_among_those_that_it_links() {
        let made = recipe("made", "1").targets(&["one"]).source_of("lib").describe(|context| {
            let tree = context.text_file("tree", "lib/libmade.so", "", false);
            context.exports(&tree, "lib/libmade.so lib/libmade.a");
            let paths: Vec<_> = context.linked_here().into_iter().map(|(path, _)| path).collect();
            assert_eq!(paths, ["lib/libmade.so"]);
        });
        assemble(&set().with(made), &materials(), &Target("one".into())).unwrap();
    }

    #[test]
    fn mistakes_in_descriptions_of_native_code() {
        let said = mistakes_of(|context| {
            let module = context.text_file("module", "a.wasm", "", false);
            context.native_code("a-b", &module).trained_by("a").finish(MemoryBase::Segment);
            context.native_code("a", &module).finish(MemoryBase::Pointer);
        });
        // Each begins with its place.
        let said: Vec<_> = said.iter().filter_map(|line| line.split_once(": recipe `wrong` for one: ")).collect();
        let said: Vec<_> = said.into_iter().map(|(_, message)| message).collect();
        assert_eq!(
            said,
            [
                "`a-b` can't be part of a symbol of C: name native code by letters and digits",
                "the toolchain of one makes no native code: leave this out",
                "the native code of `a` is not trained: say with `trained_by` how to run it",
                "the toolchain of one makes no native code: leave this out",
            ]
        );
    }
}
