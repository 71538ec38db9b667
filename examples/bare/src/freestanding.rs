//! Replacements for what std provides: an entry point and a panic handler.
#![expect(unsafe_code, reason = "names that the linker looks for")]

use core::panic::PanicInfo;

/// Entry point, called by the C start-up code. Returns 0 on success, 1 if a step failed, 2 if a count differs.
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
    // There is no output to report to. On a microcontroller a watchdog would reset the device.
    loop {
        core::hint::spin_loop();
    }
}

/// The libraries that come with rustc were compiled to unwind and refer to these two symbols. Nothing here unwinds.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() {}
