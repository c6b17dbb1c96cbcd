//! A second stack for signal handlers. Without it a recursion without end kills the process before libFuzzer can write
//! down the input that caused it.

use std::{mem, ptr};

const BYTES: usize = 1 << 20;

/// Called once on the main thread, which is the one that runs the inputs, before libFuzzer installs its handlers: they
/// run on the second stack only if those before them did.
pub fn guard() {
    let memory = Box::leak(vec![0_u8; BYTES].into_boxed_slice());
    let stack = libc::stack_t { ss_sp: memory.as_mut_ptr().cast(), ss_flags: 0, ss_size: BYTES };
    // SAFETY: the memory is never freed, and an all-zero `sigaction` is the default action with no flags.
    unsafe {
        assert_eq!(libc::sigaltstack(&stack, ptr::null_mut()), 0, "no second stack");
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_flags = libc::SA_ONSTACK;
        assert_eq!(libc::sigaction(libc::SIGSEGV, &action, ptr::null_mut()), 0, "no action for SIGSEGV");
    }
}
