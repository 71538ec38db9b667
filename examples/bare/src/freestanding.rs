//! What std would have brought: an entry point and an end.
#![expect(unsafe_code, reason = "names that the linker looks for")]

use core::panic::PanicInfo;

/// Called by the C start-up code. 0 is success, 1 a step that went wrong, 2 a count that surprises.
#[unsafe(no_mangle)]
extern "C" fn main() -> i32 {
    match super::work() {
        Ok(allocations) if allocations == super::EXPECTED => 0,
        Ok(_) => 2,
        Err(_) => 1,
    }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    // Nobody to tell. On a microcontroller a watchdog would end this.
    loop {
        core::hint::spin_loop();
    }
}

/// The libraries that rustc ships were compiled to unwind, and name these two. Nothing here unwinds.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() {}
