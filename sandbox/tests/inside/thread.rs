//! A thread of a process that runs, in which the test makes system calls.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use libc::user_regs_struct as Registers;

/// The instruction by which calls are made: `syscall`, and that of 32 bits, `int 0x80`.
const SYSCALL: [u8; 2] = [0x0f, 0x05];
const INTERRUPT: [u8; 2] = [0xcd, 0x80];

pub(crate) struct Thread {
    process: Child,
    thread: i32,
    /// As the thread was: in the middle of a call.
    registers: Registers,
    memory: File,
    /// Where arguments are put: on the thread's stack, below what it uses.
    free: u64,
}

impl Thread {
    /// Starts a program, waits until its thread of this name sleeps in a system call and no new one
    /// can be started, and stops that.
    pub(crate) fn of(mut command: Command, name: &str) -> Self {
        let mut process =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let tasks = format!("/proc/{}/task", process.id());
        let thread = (0..6000).find_map(|_| {
            std::thread::sleep(Duration::from_millis(10));
            assert_eq!(process.try_wait().unwrap(), None, "the loader has ended");
            sleeping(&tasks)?.into_iter().find_map(|(thread, its)| (its == name).then_some(thread))
        });
        let thread = thread.expect("the loader has a thread of that name, and waits");
        // SAFETY: the arguments are numbers.
        assert_eq!(unsafe { libc::ptrace(libc::PTRACE_ATTACH, thread, 0, 0) }, 0, "{}", last_error());
        assert!(libc::WIFSTOPPED(wait(thread)));
        let memory = File::options().read(true).write(true).open(format!("/proc/{thread}/mem")).unwrap();
        let mut this = Self { process, thread, registers: registers(thread), memory, free: 0 };
        let mut before = [0; 2];
        this.memory.read_exact_at(&mut before, this.registers.rip - 2).unwrap();
        assert_eq!(before, SYSCALL, "the thread waits in a call");
        this.rewind();
        this
    }

    pub(crate) fn process(&self) -> u32 {
        self.process.id()
    }

    /// Puts bytes into the thread's memory, and gives their address; they stay until the next call
    /// but many.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> u64 {
        if self.free < self.registers.rsp - (64 << 10) {
            self.rewind();
        }
        self.free = (self.free - bytes.len() as u64) & !15;
        self.memory.write_all_at(bytes, self.free).unwrap();
        self.free
    }

    /// The same for a string that ends with a zero.
    pub(crate) fn text(&mut self, text: &str) -> u64 {
        self.bytes(&[text.as_bytes(), &[0]].concat())
    }

    fn rewind(&mut self) {
        self.free = self.registers.rsp - 4096;
    }

    /// Makes a system call: what it gives, or the error's number.
    pub(crate) fn call(&mut self, number: i64, [rdi, rsi, rdx, r10, r8, r9]: [u64; 6]) -> Result<u64, i32> {
        let rip = self.registers.rip - 2;
        let call =
            Registers { rax: number as u64, orig_rax: u64::MAX, rip, rdi, rsi, rdx, r10, r8, r9, ..self.registers };
        let result = self.step(&call).expect("the process goes on").rax.cast_signed();
        if (-4095..0).contains(&result) { Err(i32::try_from(-result).unwrap()) } else { Ok(result.cast_unsigned()) }
    }

    /// Makes a system call without arguments, by the numbers of 32 bits: the signal that it ends
    /// the process by.
    pub(crate) fn call_as_32_bits(mut self, number: u64) -> Option<i32> {
        let rip = self.registers.rip - 2;
        self.memory.write_all_at(&INTERRUPT, rip).unwrap();
        let call = Registers { rax: number, orig_rax: u64::MAX, rip, ..self.registers };
        self.step(&call).err()
    }

    /// The address of these bytes in the program's constants, at a multiple of their length.
    pub(crate) fn find(&mut self, bytes: &[u8]) -> Option<u64> {
        let program = fs::read_link(format!("/proc/{}/exe", self.process.id())).unwrap();
        let maps = fs::read_to_string(format!("/proc/{}/maps", self.process.id())).unwrap();
        maps.lines().filter(|line| line.ends_with(program.to_str().unwrap()) && line.contains(" r--p ")).find_map(
            |line| {
                let (first, last) = line.split(' ').next()?.split_once('-')?;
                let [first, last] = [first, last].map(|number| u64::from_str_radix(number, 16).unwrap());
                let mut content = vec![0; usize::try_from(last - first).unwrap()];
                self.memory.read_exact_at(&mut content, first).ok()?;
                let place = content.chunks_exact(bytes.len()).position(|chunk| chunk == bytes)?;
                Some(first + (place * bytes.len()) as u64)
            },
        )
    }

    /// The number under which the process has this directory open.
    pub(crate) fn descriptor_of(&self, path: &str) -> u64 {
        let all = fs::read_dir(format!("/proc/{}/fd", self.process.id())).unwrap();
        let mut all = all.map(|entry| entry.unwrap().path());
        let found = all.find(|entry| fs::read_link(entry).is_ok_and(|target| target == Path::new(path)));
        found.expect("it is open").file_name().unwrap().to_str().unwrap().parse().unwrap()
    }

    /// Lets the thread do one instruction; the signal that ended the process, if one did.
    fn step(&mut self, registers: &Registers) -> Result<Registers, i32> {
        // SAFETY: the registers are a whole structure of the kernel's form, and live.
        unsafe {
            assert_eq!(libc::ptrace(libc::PTRACE_SETREGS, self.thread, 0, std::ptr::from_ref(registers)), 0);
            assert_eq!(libc::ptrace(libc::PTRACE_SINGLESTEP, self.thread, 0, 0), 0);
        }
        let status = wait(self.thread);
        if libc::WIFSIGNALED(status) {
            return Err(libc::WTERMSIG(status));
        }
        let call = registers.rax;
        assert!(libc::WIFSTOPPED(status) && libc::WSTOPSIG(status) == libc::SIGTRAP, "{status:#x} after call {call}");
        Ok(self::registers(self.thread))
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let mut status = 0;
        // Whoever traces a thread has to see it end, before the process can be seen to end.
        // SAFETY: the pointer is to a live number.
        while unsafe { libc::waitpid(self.thread, &raw mut status, libc::__WALL) } > 0 && libc::WIFSTOPPED(status) {}
        let _ = self.process.wait();
    }
}

/// The threads of a process with their names; `None` unless all of them sleep and it is confined.
fn sleeping(tasks: &str) -> Option<Vec<(i32, String)>> {
    let mut all = Vec::new();
    for task in fs::read_dir(tasks).ok()? {
        let path = task.ok()?.path();
        let status = fs::read_to_string(path.join("status")).ok()?;
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        if field("Seccomp:") != Some("2") || !field("State:")?.starts_with('S') {
            return None;
        }
        all.push((path.file_name()?.to_str()?.parse().ok()?, field("Name:")?.to_owned()));
    }
    Some(all)
}

fn registers(thread: i32) -> Registers {
    // SAFETY: zeros are such a structure, and the kernel fills it.
    unsafe {
        let mut registers: Registers = std::mem::zeroed();
        assert_eq!(libc::ptrace(libc::PTRACE_GETREGS, thread, 0, &raw mut registers), 0, "{}", last_error());
        registers
    }
}

fn wait(thread: i32) -> i32 {
    let mut status = 0;
    // SAFETY: the pointer is to a live number.
    assert_eq!(unsafe { libc::waitpid(thread, &raw mut status, libc::__WALL) }, thread, "{}", last_error());
    status
}

fn last_error() -> std::io::Error {
    std::io::Error::last_os_error()
}
