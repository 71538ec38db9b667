//! Entry point, panic handler and report on a Cortex-M. The debugger's channel (semihosting) is the only output; on a
//! device without a debugger a program must not use it.
#![expect(unsafe_code, reason = "the linker script's symbols, and the memory between them")]

use core::panic::PanicInfo;

use cortex_m_rt::{ExceptionFrame, STACK_PAINT_VALUE, entry, exception};
use semihosting::process::ExitCode;
use semihosting::{eprintln, println};

/// Returns 0 on success, 1 if a step failed, 2 if a count differs.
#[entry]
fn main() -> ! {
    let result = super::work();
    println!("stack: at most {} bytes", stack_used());
    let heap = *super::ALLOCATOR.lock().counters();
    let (count, bytes) = (heap.total_allocation_count, heap.total_allocated_bytes);
    println!("heap: {bytes} bytes in {count} allocations in all, of {}", super::HEAP);
    let code = match result {
        Ok(allocations) => {
            println!("{allocations:?}");
            if allocations == super::EXPECTED { 0 } else { 2 }
        }
        Err(step) => {
            eprintln!("wrong result: {step}");
            1
        }
    };
    ExitCode::from(code).exit_process()
}

/// Returns the size of the stack at its largest so far: start-up code fills it with a value, and the words that still
/// have this value were never used.
fn stack_used() -> usize {
    unsafe extern "C" {
        /// Lowest address of the stack, from the linker script.
        static _stack_end: u32;
        /// Address behind the highest word of the stack.
        static _stack_start: u32;
    }
    let (end, start) = (&raw const _stack_end, &raw const _stack_start);
    let words = (start as usize - end as usize) / size_of::<u32>();
    // SAFETY: every word from one symbol to the other is memory of the stack.
    let read = |word| unsafe { end.add(word).read_volatile() };
    let untouched = (0..words).take_while(|&word| read(word) == STACK_PAINT_VALUE);
    (words - untouched.count()) * size_of::<u32>()
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    eprintln!("{info}");
    ExitCode::from(3).exit_process()
}

/// Ends the program at an access to memory that does not exist. The default would wait for a debugger forever.
#[exception]
unsafe fn HardFault(_: &ExceptionFrame) -> ! {
    eprintln!("hard fault");
    ExitCode::from(4).exit_process()
}
